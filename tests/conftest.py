"""The environment of the tests, and data sets that several of them read."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest
import torch
from PIL import Image

from fanet.export import export_onnx
from fanet.scenes import scene
from fanet.segmentation import Preprocessing, UperNet

# The tests do not depend on the settings of a terminal, a proxy or a cluster.
for _name in [*os.environ]:
    if _name.startswith("TQDM_") or _name in ("COLUMNS", "LINES", "RAY_ADDRESS", "FORCE_COLOR"):
        del os.environ[_name]
os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"

FRAMES = {"train": 3, "val": 1, "test": 2}


@pytest.fixture(scope="session")
def belt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A read-only data set in ZeroWaste-f's layout with frames of 1920x1080. `clip_00.PNG` is in every split with
    different pixels, like some names of the real one.
    """
    root = tmp_path_factory.mktemp("belt")
    for seed, (split, count) in enumerate(FRAMES.items()):
        folder = root / "splits_final_deblurred" / split
        for name in ("data", "sem_seg"):
            (folder / name).mkdir(parents=True)
        names = [f"clip_{index:02d}.PNG" if index == 0 else f"{split}_{index:02d}.PNG" for index in range(count)]
        for index, name in enumerate(names):
            image, labels = scene(seed, index, size=(270, 480))
            for kind, pixels, how in (("data", image, cv2.INTER_CUBIC), ("sem_seg", labels, cv2.INTER_NEAREST)):
                frame = cv2.resize(pixels, (1920, 1080), interpolation=how)
                Image.fromarray(frame).save(folder / kind / name, format="PNG", compress_level=1)
        listed = [{"id": index, "file_name": name, "width": 1920, "height": 1080} for index, name in enumerate(names)]
        (folder / "labels.json").write_text(json.dumps({"images": listed, "annotations": [], "categories": []}))
    return root


@pytest.fixture(scope="session")
def small_model() -> UperNet:
    """A segmentation model with random weights, for tests that do not change it."""
    torch.manual_seed(0)
    preprocessing = Preprocessing(multiple=32)
    return UperNet("test_fanet", 5, head_channels=8, aux_channels=0, preprocessing=preprocessing).eval()


@pytest.fixture(scope="session")
def small_onnx(small_model: UperNet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`small_model` as an ONNX file for images of any size."""
    path = tmp_path_factory.mktemp("onnx") / "net.onnx"
    assert export_onnx(small_model, path) < 1e-4
    return path


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of 24 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.name == "nt":
        pytest.skip("Windows has no file systems in memory")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("only root may mount a file system")
    yield folder
    subprocess.run(["umount", folder], check=True)
