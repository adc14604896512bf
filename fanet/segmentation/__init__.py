"""Semantic segmentation: UperNet around a backbone, its data, training, evaluation and prediction."""

from .engine.predictor import BatchPredictor
from .model import UperNet, load_model
from .preprocessing import Preprocessing

__all__ = ["BatchPredictor", "Preprocessing", "UperNet", "load_model"]
