"""Engines that run a network for a predictor, one file each."""
