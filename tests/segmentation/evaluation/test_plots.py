import numpy as np
from PIL import Image

from fanet.segmentation.evaluation.plots import plot_confusion_matrix


def test_plot_is_drawn_whole(tmp_path):
    matrix = np.array([[90, 10, 0], [0, 50, 50], [0, 0, 0]])
    plot_confusion_matrix(matrix, ["background", "a rather long name", "never true"], tmp_path / "plot.png")
    with Image.open(tmp_path / "plot.png") as image:
        pixels = np.asarray(image.convert("RGB"))
    assert min(pixels.shape[:2]) > 400
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 100
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    assert (border == 255).all(), "nothing is cut off"
    assert [path.name for path in tmp_path.iterdir()] == ["plot.png"]


def test_many_classes_can_be_plotted(tmp_path):
    plot_confusion_matrix(np.eye(150, dtype=np.int64), [f"class_{i}" for i in range(150)], tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 1000
