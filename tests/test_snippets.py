"""The Python of the documentation runs as written; tests/interop, tests/weights and others run what needs more."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
import torch
from PIL import Image

from fanet.cli import main
from fanet.scenes import scene
from fanet.segmentation import load_model

DOCS = Path(__file__).parents[1] / "docs"


def snippets(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (DOCS / page).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", ["clutterbench.md", "quickstart.md", "training.md"])
def test_page_runs_from_top_to_bottom(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for snippet in snippets(page):
        exec(snippet, names)


@pytest.fixture(scope="module")
def predicted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images, and what `fanet predict` and a job on many machines write about them."""
    folder = tmp_path_factory.mktemp("predicted")
    image = Image.fromarray(scene(0, 0, (96, 128))[0])
    for name in ("belt.jpg", "image.jpg", "heap.jpg", "map.tif"):
        image.save(folder / name)
    assert main(["predict", str(folder / "belt.jpg"), "--probabilities", "-o", str(folder / "out")]) == 0
    (folder / "out" / "belt_labels.png").rename(folder / "label.png")
    frames = [str(folder / "belt.jpg")] * 2
    write_video(folder / "belt.mp4", frames)
    assert main(["predict", str(folder / "belt.mp4"), "-o", str(folder / "out")]) == 0
    (folder / "label.png").rename(folder / "out" / "belt_labels.png")
    png = (folder / "out" / "belt_labels.png").read_bytes()
    pyarrow.parquet.write_table(pa.table({"path": frames, "labels": [png, png]}), folder / "labels")
    return folder


def write_video(path: Path, frames: list[str]) -> None:
    import av

    with av.open(str(path), "w") as video:
        stream = video.add_stream("mpeg4", 5, width=128, height=96)
        for frame in frames:
            video.mux(stream.encode(av.VideoFrame.from_image(Image.open(frame))))
        video.mux(stream.encode(None))


# the one that describes ONNX files runs in tests/test_export.py, the one for supervision in tests/interop
@pytest.mark.parametrize(
    "snippet",
    [snippet for snippet in snippets("prediction.md") if not re.search("onnxruntime|supervision", snippet)],
    ids=lambda snippet: next(line for line in reversed(snippet.splitlines()) if line)[:40],
)
def test_prediction(snippet: str, predicted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if "cuda" in snippet and not torch.cuda.is_available():
        snippet = snippet.replace('.to("cuda").half()', ".to(torch.bfloat16)")
    monkeypatch.chdir(predicted)
    names: dict[str, Any] = {"torch": torch, "net": load_model("clutter"), "load_model": load_model}
    exec(snippet, names)
    labels = names.get("labels", [])
    for one in labels if isinstance(labels, list) else [labels]:
        assert (one.shape, one.dtype) == ((96, 128), np.uint8)


def test_card_of_the_model_inside_the_package(predicted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(predicted)
    (snippet,) = snippets("../fanet/models/bags/README.md")
    exec(snippet, {})


def test_variant_of_the_guide_has_feature_maps_and_a_classifier() -> None:
    (snippet,) = snippets("architecture.md")
    check = """
import fanet.backbone.fanet, timm, torch
exec(SNIPPET, vars(fanet.backbone.fanet))
assert len(timm.create_model("fanet_wide", features_only=True)(torch.zeros(1, 3, 64, 64))) == 4
model = timm.create_model("fanet_wide")
model.reset_classifier(7)
assert model(torch.zeros(1, 3, 64, 64)).shape == (1, 7)
"""
    # in a process of its own, as models cannot be taken out of timm's registry
    done = subprocess.run([sys.executable, "-c", f"SNIPPET = {snippet!r}\n{check}"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
