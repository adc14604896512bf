"""Training of a segmentation model from a recipe."""
