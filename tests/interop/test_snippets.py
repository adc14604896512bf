"""The examples of docs/interop.md run as they are printed."""

import re
from pathlib import Path
from typing import Any

import pytest
import timm
import torch

import fanet  # noqa: F401  registers the models
from fanet.scenes import scene
from fanet.segmentation import SegmentationModel

PAGE = Path(__file__).parents[2] / "docs" / "interop.md"
SNIPPETS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
pytestmark = pytest.mark.filterwarnings("ignore")  # the libraries' own


@pytest.mark.parametrize("snippet", SNIPPETS, ids=lambda snippet: snippet.splitlines()[0])
def test_snippet_runs(snippet: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    image, labels = scene(0, 0, (128, 160))
    names: dict[str, Any] = {
        "net": SegmentationModel("test_fanet", 5, head_channels=8, aux_channels=8).eval(),
        "model": timm.create_model("test_fanet", num_classes=3),
        "image": image,
        "labels": labels,
        "images": torch.from_numpy(image).permute(2, 0, 1)[None].repeat(2, 1, 1, 1),
        "masks": torch.from_numpy(labels)[None].repeat(2, 1, 1),
        "torch": torch,
    }
    exec(snippet, names)
    if "loss" in names:
        assert names["main"].shape[-2:] == (256, 256)
        names["loss"].backward()
    if "transform" in names:  # what came in does not count
        assert 255 in (names["sample"]["mask"] if "sample" in names else names["labels"])
