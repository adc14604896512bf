"""Semantic segmentation: UperNet around a backbone, its data, training, evaluation and prediction."""

from fanet.segmentation.batches import BatchPredictor
from fanet.segmentation.network.model import UperNet, load_model
from fanet.segmentation.preprocessing import Preprocessing

__all__ = ["BatchPredictor", "Preprocessing", "UperNet", "load_model"]
