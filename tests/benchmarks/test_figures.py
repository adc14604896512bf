"""Figures by command, on a few scenes and on a folder of images."""

from pathlib import Path

import figures
import numpy as np
import pytest
from PIL import Image

from fanet.classes import ClassScheme
from fanet.segmentation.data import ClutterScenes, Sample

CLASSES = ClassScheme(("background", "can"))


def sample(labels: np.ndarray, image: np.ndarray | None = None) -> Sample:
    return Sample("x", np.zeros((*labels.shape, 3), np.uint8) if image is None else image, labels)


def test_measures_have_known_answers():
    labels = np.zeros((100, 200), np.uint8)
    labels[10:15, 10:15] = labels[50:53, 50:53] = labels[60:90, 100:160] = 1
    assert figures.small_objects(sample(labels), CLASSES) == 2
    image = np.zeros((100, 200, 3), np.uint8)
    assert figures.border_contrast(sample(labels, image), CLASSES) == 0
    assert figures.inner_edges(sample(labels, image), CLASSES) == 0
    image[labels == 1] = 255
    assert figures.border_contrast(sample(labels, image), CLASSES) == pytest.approx(100, rel=0.01)  # L of white
    assert figures.inner_edges(sample(labels, image), CLASSES) == pytest.approx(0, abs=1e-4)
    image[labels == 1] = np.where(np.arange(200) % 2, 0, 255)[None, :, None].repeat(100, 0)[labels == 1]
    assert figures.inner_edges(sample(labels, image), CLASSES) == pytest.approx(100, rel=0.01)
    halves = np.zeros((256, 256), np.uint8)
    halves[:, 128:] = 1
    assert figures.crowded(sample(halves), CLASSES) == pytest.approx(100 * 6 / 256)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    scenes = ClutterScenes("test", count=4, size=(40, 56))
    for index in range(4):
        for kind, pixels in (("images", scenes[index].image), ("masks", scenes[index].labels)):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(folder / kind / f"{index}.png")
    names = "[background, rigid_plastic, cardboard, metal, soft_plastic]"
    (folder / "dataset.yaml").write_text(f"classes: {names}\nsplits: {{val: {{images: images, masks: masks}}}}\n")
    return folder


def test_figures_are_drawn_on_any_labelled_images(photos, tmp_path, capsys):
    argv = ["--dataset", "folder", "--data", str(photos), "--split", "val", "-o", str(tmp_path / "out")]
    assert figures.main([*argv, "--model", "one=clutter"]) == 0
    drawn = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert drawn == ["challenges.png", "frequencies.png", "models.png", "refinement.png"]
    assert capsys.readouterr().out.count(".png") == 4
    for name in drawn:
        with Image.open(tmp_path / "out" / name) as figure:
            assert figure.size[0] == 700 and figure.size[1] > 100, name


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["maps"], "there is no figure 'maps', only challenges"),
        (["models", "--model", "clutter"], "name a folder by -o"),
        (["models", "--data", "nowhere", "--dataset", "folder", "-o", "out"], "nowhere"),
    ],
)
def test_mistakes_end_in_one_line(argv, message, capsys):
    with pytest.raises(SystemExit) as stop:
        figures.main(argv)
    assert stop.value.code == 2 and message in capsys.readouterr().err
