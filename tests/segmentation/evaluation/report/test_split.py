import numpy as np

from fanet.classes import ZEROWASTE, ClassScheme
from fanet.cli import main
from fanet.errors import UserError
from fanet.segmentation.data import ClutterScenes
from fanet.segmentation.evaluation.metrics import ConfusionMatrix, ImageCounts
from fanet.segmentation.evaluation.report.examples import own_miou, worst_and_best
from fanet.segmentation.evaluation.report.labels import LabelCounts, label_table
from fanet.segmentation.evaluation.report.scores import class_table, confusion_table


def margins_of_hits(shares):
    """Margins of images of 100 pixels of class 1, of which a share was predicted so, the others as class 0."""
    matrices = np.array([[[0, 0], [100 - hit, hit]] for hit in shares])
    return ImageCounts.of(matrices).margins


def test_miou_of_an_image_is_that_of_its_own_confusion_matrix():
    matrices = np.random.default_rng(0).integers(0, 50, size=(6, 4, 4))
    matrices[:, 2], matrices[:, :, 2] = 0, 0  # a class that does not occur
    matrices[5] = 0
    expected = [ConfusionMatrix.of(matrix).miou for matrix in matrices]
    np.testing.assert_allclose(own_miou(ImageCounts.of(matrices).margins), expected)


def test_worst_and_best_images_are_those_at_the_ends_and_none_is_both():
    shares = [50, 90, 10, 70, 30]
    assert worst_and_best(margins_of_hits(shares), 2) == ([2, 4], [1, 3])
    assert worst_and_best(margins_of_hits(shares)) == ([2, 4, 0], [1, 3])
    assert worst_and_best(margins_of_hits([50])) == ([0], [])
    assert worst_and_best(np.zeros((2, 3, 2), int)) == ([], []), "images without labels have no score"


def test_tables_name_classes_and_say_where_there_is_no_score():
    classes = ClassScheme(("a", "<b>", "c"))
    text = class_table(classes, {"IoU": [50.0, None, 100.0]})
    assert "&lt;b&gt;" in text and "–" in text and ">75.0<" in text
    text = confusion_table(np.array([[3, 1, 0], [0, 0, 0], [0, 0, 5]]), classes)
    assert ">75.0<" in text and ">25.0<" in text and "–" in text


def test_confusion_of_many_classes_shows_the_most_frequent():
    matrix = np.diag(np.arange(100))
    text = confusion_table(matrix, ClassScheme.numbered(100))
    assert "30 most frequent of 100" in text and "class_99" in text and "class_69" not in text


class Stripes(ClutterScenes):
    """Masks of known shares, one of which cannot be read."""

    def load_labels(self, index):
        if index == 3:
            raise UserError("broken")
        labels = np.full((10, 10), 255, np.uint8)
        labels[:5], labels[5:9] = 0, 1 + index % 2
        return labels


def test_labels_of_a_split_are_counted(monkeypatch):
    counts = LabelCounts.sampled(Stripes("train", 4, size=32))
    assert counts.pixels.tolist() == [150, 80, 40, 0, 0] and counts.images.tolist() == [3, 2, 1, 0, 0]
    assert (counts.ignored, counts.read, counts.total) == (30, 3, 4)
    text = label_table({"train": counts}, ZEROWASTE)
    assert "55.56" in text and "10.00" in text and "4 images, of which 3 were counted" in text
    monkeypatch.setattr("fanet.segmentation.evaluation.report.labels._SECONDS", 0.0)
    assert LabelCounts.sampled(Stripes("train", 3, size=32)).read == 1, "reading ends when its time does"


def test_evaluation_writes_its_page(tmp_path):
    command = f"evaluate --dataset clutter --count 3 --size 64 64 --bootstrap 10 -o {tmp_path}"
    assert main(command.split()) == 0
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    for part in ("Scores by class", "Confusion", "Worst", "Best", "Labels", "scene_000001.PNG", "soft_plastic"):
        assert part in text
    assert text.count("<img") == 3 * 4 and "Curves" not in text and "http" not in text
