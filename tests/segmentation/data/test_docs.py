"""The snippets of docs/data.md work as written."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from fanet.segmentation.data import open_dataset

from .forms import BOTTLE, CAN, coco, expected, labelme, write_image, yolo

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


@pytest.mark.parametrize("kind", ["coco", "yolo", "labelme"])
def test_yaml_snippet_of_a_form_of_labels_describes_a_split(tmp_path, kind):
    blocks = re.findall(r"```yaml\n(.*?)```", TEXT, flags=re.DOTALL)
    text = next(block for block in blocks if f"mask_kind: {kind}\n" in block)
    places = yaml.safe_load(text)["splits"]["train"]
    files = {
        "coco": {places["annotations"]: coco()},
        "yolo": {f"{places['annotations']}/a.txt": yolo((0, BOTTLE), (1, CAN)), "data.yaml": "names: [bottle, can]"},
        "labelme": {f"{places['annotations']}/a.json": labelme()},
    }
    (tmp_path / "dataset.yaml").write_text(text)
    write_image(tmp_path / places["images"] / "a.png")
    for file, content in files[kind].items():
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text(content if isinstance(content, str) else json.dumps(content))
    dataset = open_dataset("folder", tmp_path, "train")
    assert (dataset[0].labels == expected()).all() and not dataset.notes
