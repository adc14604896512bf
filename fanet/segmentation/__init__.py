"""Semantic segmentation: UperNet around a backbone, its data, training, evaluation and prediction."""

from .model import UperNet, load_model
from .preprocessing import Preprocessing

__all__ = ["Preprocessing", "UperNet", "load_model"]
