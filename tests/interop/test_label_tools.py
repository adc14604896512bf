"""Label tools read, by their own readers, the regions that `fanet predict --annotations` writes."""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.ndimage import maximum_filter

from fanet.cli import main
from fanet.scenes import scene
from fanet.segmentation import load_model
from fanet.segmentation.data.folder import FolderDataset

HERE = Path(__file__).parent
CLASSES = load_model("clutter").classes


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `photos` of two sizes, and in `out` all that was predicted for them."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "photos").mkdir()
    for index, size in enumerate([(128, 160), (150, 96)]):
        Image.fromarray(scene(3, index, size)[0]).save(folder / "photos" / f"{index}.png")
    arguments = ["--annotations", "coco,yolo,labelme", "--min-area", "1"]
    assert main(["predict", str(folder / "photos"), *arguments, "-o", str(folder / "out")]) == 0
    return folder


def read_with(tool: str, python: Path, work: Path) -> dict[str, np.ndarray]:
    target = work / f"{tool}.npz"
    command = [python, HERE / "label_tools.py", tool, work / "out", ",".join(CLASSES.names), target]
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | {
        "HOME": str(work),
        "FIFTYONE_DO_NOT_TRACK": "true",
    }
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    with np.load(target) as maps:
        return dict(maps)


def predicted(work: Path) -> dict[str, np.ndarray]:
    return {path.name.split("_")[0]: np.array(Image.open(path)) for path in (work / "out").glob("*_labels.png")}


@pytest.mark.parametrize("tool", ["label_studio", "fiftyone"])
def test_tool_reads_the_regions_that_were_predicted(tool: str, work: Path, label_tools_python: Path) -> None:
    expected, found = predicted(work), read_with(tool, label_tools_python, work)
    assert sorted(found) == sorted(expected) == ["0", "1"]
    for name, labels in expected.items():
        assert len(np.unique(labels)) > 2
        np.testing.assert_array_equal(found[name], labels)


def test_datumaro_reads_the_regions_that_were_predicted_and_exports_a_data_set_of_them(
    work: Path, label_tools_python: Path
) -> None:
    expected, found = predicted(work), read_with("datumaro", label_tools_python, work)
    root = work / "out" / "again"
    places = "{images: images/train, annotations: annotations/instances_train.json}"
    (root / "dataset.yaml").write_text(
        f"classes: [{', '.join(CLASSES.names)}]\nmask_kind: coco\nsplits:\n  train: {places}\n"
    )
    dataset = FolderDataset(root, "train")
    assert sorted(found) == sorted(dataset.names) == sorted(expected)
    for index, name in enumerate(dataset.names):
        np.testing.assert_array_equal(found[name], expected[name])
        np.testing.assert_array_equal(dataset.load_labels(index), expected[name])


def test_labelme_reads_the_regions_up_to_a_pixel_at_their_edges(work: Path, label_tools_python: Path) -> None:
    expected, found = predicted(work), read_with("labelme", label_tools_python, work)
    assert sorted(found) == sorted(expected)
    for name, labels in expected.items():
        lowest, highest = -maximum_filter(-labels.astype(int), 3), maximum_filter(labels, 3)
        np.testing.assert_array_equal(found[name][lowest == highest], labels[lowest == highest])
        assert (found[name] == labels).mean() > 0.9
