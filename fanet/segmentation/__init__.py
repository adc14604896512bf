"""Semantic segmentation: models around a backbone, their data, training, evaluation and prediction."""

from fanet.segmentation.batches import BatchPredictor
from fanet.segmentation.network.decoders import Decoder, register_decoder
from fanet.segmentation.network.model import SegmentationModel, UperNet
from fanet.segmentation.network.shipped import load_model
from fanet.segmentation.prediction.objects import SegmentedObject, find_objects, to_detections
from fanet.segmentation.preprocessing import Preprocessing

__all__ = [
    "BatchPredictor",
    "Decoder",
    "Preprocessing",
    "SegmentationModel",
    "SegmentedObject",
    "UperNet",
    "find_objects",
    "load_model",
    "register_decoder",
    "to_detections",
]
