"""Scores of a segmentation model on labelled images."""
