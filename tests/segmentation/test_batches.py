import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from fanet.errors import UserError
from fanet.media.images import write_png
from fanet.segmentation import BatchPredictor, UperNet
from fanet.segmentation.processes import find_device

DOCUMENT = Path(__file__).parents[2] / "README.md"
MARK = "<!-- the test of BatchPredictor runs this -->\n```python\n"
# Ray sends usage statistics by default.
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DATA_DISABLE_PROGRESS_BARS": "1", "OMP_NUM_THREADS": "1"}
# The fewest on which it can work: an actor takes one processor, reading the other.
LOCAL = """
import ray
ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=10**8)
"""
KEEP = """
import pyarrow.parquet
table = pyarrow.parquet.read_table("labels")
names = [Path(path).stem for path in table["path"].to_pylist()]
labels = [np.array(Image.open(io.BytesIO(file))) for file in table["labels"].to_pylist()]
np.savez("labels.npz", **dict(zip(names, labels)))
"""


@pytest.fixture(scope="module")
def model(small_model: UperNet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("work") / "my_model"
    small_model.save_pretrained(folder)
    return folder


def _frames(count: int, size: tuple[int, int] = (40, 56)) -> np.ndarray:
    return np.random.default_rng(count).integers(256, size=(count, *size, 3), dtype=np.uint8)


def test_batch_gets_the_labels_of_single_images(small_model, model):
    frames = _frames(3)
    frames.flags.writeable = False  # as Ray hands them out
    names = np.array(["a", "b", "c"])
    batch = BatchPredictor(model)({"image": frames, "name": names})
    assert list(batch) == ["image", "name", "labels"] and batch["name"] is names
    assert batch["labels"].dtype == np.uint8
    np.testing.assert_array_equal(batch["labels"], np.stack([small_model.predict(frame) for frame in frames]))


def test_images_of_different_sizes_are_labelled(small_model, model):
    frames = np.empty(2, dtype=object)
    frames[:] = [_frames(1)[0], _frames(1, (64, 33))[0]]
    labels = BatchPredictor(model, image_column="frame", labels_column="map")({"frame": frames})["map"]
    assert labels.dtype == object
    for frame, map_ in zip(frames, labels, strict=True):
        np.testing.assert_array_equal(map_, small_model.predict(frame))


def test_window_reaches_the_predictor(small_model, model):
    frame = _frames(1, (64, 96))[0]
    labels = BatchPredictor(model, window=(32, 48), overlap=0.5)({"image": frame[None]})["labels"][0]
    np.testing.assert_array_equal(labels, small_model.predict(frame, (32, 48), 0.5))


def test_missing_column_or_invalid_window_is_refused(model):
    with pytest.raises(UserError, match="no 'image', only 'frame'"):
        BatchPredictor(model)({"frame": _frames(1)})
    with pytest.raises(UserError, match="at least 32"):
        BatchPredictor(model, window=(8, 8))


@pytest.mark.parametrize("name", ["cuda:99", "gpu", "meta", ""])
def test_missing_device_is_refused_in_one_line(name, model):
    with pytest.raises(UserError, match=f"there is no device '{name}' .*: this machine has cpu") as caught:
        BatchPredictor(model, device=name)
    assert "\n" not in str(caught.value)


def test_gpu_is_used_by_default(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert find_device() == torch.device("cuda") and find_device("cpu") == torch.device("cpu")


def test_labels_as_png_hold_the_class_indices_in_the_colours_of_the_model(small_model, model):
    frames = np.empty(2, dtype=object)
    frames[:] = [_frames(1)[0], _frames(1, (64, 33))[0]]
    files = BatchPredictor(model, png=True)({"image": frames})["labels"]
    for frame, file in zip(frames, files, strict=True):
        image = Image.open(io.BytesIO(file))
        np.testing.assert_array_equal(np.array(image), small_model.predict(frame))
        assert image.getpalette()[:15] == [value for colour in small_model.classes.palette for value in colour]


def test_documented_example_on_two_processors_gives_one_table_of_images_of_two_sizes(small_model, model):
    work = model.parent
    (work / "frames").mkdir()
    frames = [*_frames(4), *_frames(4, (64, 33))]
    for index, frame in enumerate(frames):
        write_png(work / "frames" / f"{index}.png", frame)
    example = DOCUMENT.read_text(encoding="utf-8").split(MARK)[1].split("```")[0]
    script = f"import io\nfrom pathlib import Path\nimport numpy as np\nfrom PIL import Image\n{LOCAL}{example}{KEEP}"
    environment = {**os.environ, **QUIET, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run([sys.executable, "-c", script], cwd=work, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    with np.load(work / "labels.npz") as labels:
        assert sorted(labels) == [str(index) for index in range(8)]
        for index, frame in enumerate(frames):
            np.testing.assert_array_equal(labels[str(index)], small_model.predict(frame))
