"""Thresholds that keep a promise of purity: the statistics, the counts that they need, and both together."""
