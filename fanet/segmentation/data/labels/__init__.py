"""The forms in which people keep labels: one file for each."""

from fanet.segmentation.data.labels.base import LABEL_READERS, LabelReader
from fanet.segmentation.data.labels.coco import CocoLabels
from fanet.segmentation.data.labels.colour import ColourLabels
from fanet.segmentation.data.labels.index import IndexLabels
from fanet.segmentation.data.labels.labelme import LabelmeLabels
from fanet.segmentation.data.labels.yolo import YoloLabels

__all__ = [
    "LABEL_READERS",
    "CocoLabels",
    "ColourLabels",
    "IndexLabels",
    "LabelReader",
    "LabelmeLabels",
    "YoloLabels",
]
