"""The Python of the documentation that loads from the Hub, or pushes there, runs as written."""

import re
from pathlib import Path

import pytest
import timm
from huggingface_hub import constants

from fanet.segmentation import UperNet

from .hub_stand_in import Hub

DOCS = Path(__file__).parents[2] / "docs"


def snippets(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def test_what_is_shared_is_loaded(
    hub: Hub, converted: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    Path("runs/mine").mkdir(parents=True)
    Path("runs/mine/metrics.json").write_text('{"miou": 50.0, "pixel_accuracy": 90.0, "iou": {"metal": 30.0}}')
    names = {
        "net": UperNet.from_pretrained(converted["segmentation"]),
        "model": timm.create_model("fanet_pico"),  # the smallest, in place of the one with published weights
        "timm": timm,
    }
    segmentation, backbone = snippets("weights.md")
    exec(segmentation, names)
    assert (hub.root / "ORG" / "NAME" / "model.safetensors").is_file()
    exec(backbone.replace("ORG/NAME", "ORG/fanet_base_in1k"), names)
    (hub.root / "ORG" / "fanet_base_in1k").rename(hub.root / "ORG" / "fanet_pico_in1k")
    Path("fanet_pico_in1k").symlink_to(hub.root / "ORG" / "fanet_pico_in1k")
    for snippet in snippets("pretraining.md"):
        exec(snippet.replace("fanet_base", "fanet_pico"), {})
