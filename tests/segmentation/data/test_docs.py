"""The snippets of docs/data.md work as written."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fanet.segmentation.data import open_dataset

TEXT = (Path(__file__).parents[3] / "docs" / "data.md").read_text(encoding="utf-8")


def snippet(language: str) -> str:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, flags=re.DOTALL)[0]


def test_python_snippet_runs(capsys):
    exec(snippet("python"), {})
    assert capsys.readouterr().out.startswith("(64, 64, 3) (64, 64) ('background', ")


@pytest.mark.parametrize(
    ("split", "image", "mask"),
    [
        ("train", "images/train/a.jpg", "masks/train/a.png"),
        ("val", "images/val/a.jpg", "masks/val/a.png"),
        ("test", "scans/x/a.tif", "truth/x/a.png"),
    ],
)
def test_yaml_snippet_describes_every_split(tmp_path, split, image, mask):
    (tmp_path / "dataset.yaml").write_text(snippet("yaml"))
    for file, shape in ((image, (8, 8, 3)), (mask, (8, 8))):
        (tmp_path / file).parent.mkdir(parents=True)
        Image.fromarray(np.zeros(shape, np.uint8)).save(tmp_path / file)
    assert open_dataset("folder", tmp_path, split)[0].labels.shape == (8, 8)
