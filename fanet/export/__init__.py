"""Networks as files that run without this package and prove themselves: ONNX, and PyTorch's compiled packages."""

from fanet.export.check import check_file, labels_of
from fanet.export.compiled import export_pt2
from fanet.export.digest import check_digest
from fanet.export.onnx_file import SIZES, export_onnx
from fanet.export.scores import compare_scores

__all__ = ["SIZES", "check_digest", "check_file", "compare_scores", "export_onnx", "export_pt2", "labels_of"]
