"""supervision: objects of a label map as its detections, annotated and counted by it."""

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import supervision as sv

from fanet.media.images import read_image
from fanet.segmentation import find_objects, load_model, to_detections
from fanet.segmentation.network.shipped import DEFAULT, FOLDER


def test_objects_become_detections() -> None:
    image = read_image(FOLDER / DEFAULT / "scene.png")
    net = load_model()
    labels, confidence = net.predictor().labels_and_confidence(image)
    found = to_detections(labels, net.classes, confidence, min_area=64)
    objects = find_objects(labels, net.classes, confidence, min_area=64)
    assert isinstance(found, sv.Detections) and len(found) == len(objects) > 0
    np.testing.assert_array_equal(found.area, [entry.area for entry in objects])
    assert list(found["class_name"]) == [entry.name for entry in objects]
    np.testing.assert_array_equal(found.class_id, [entry.label for entry in objects])
    np.testing.assert_allclose(found.confidence, [entry.probability for entry in objects], rtol=1e-6)
    for mask, label, box in zip(found.mask, found.class_id, found.xyxy, strict=True):
        assert (labels[mask] == label).all()
        rows, columns = np.nonzero(mask)
        assert box.tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    metal = found[found["class_name"] == "metal"]
    assert (metal.class_id == net.classes.names.index("metal")).all()
    annotated = sv.MaskAnnotator().annotate(image.copy(), found)
    assert (annotated != image).any()


def test_label_map_without_objects_becomes_empty_detections() -> None:
    net = load_model()
    found = to_detections(np.zeros((40, 50), np.uint8), net.classes)
    assert len(found) == 0
    assert len(sv.Detections.merge([found, found])) == 0


def test_snippet_of_the_documentation_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (Path(__file__).parents[2] / "docs" / "prediction.md").read_text(encoding="utf-8")
    (snippet,) = (
        code for code in re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.M) if "supervision" in code
    )
    shutil.copy(FOLDER / DEFAULT / "scene.png", tmp_path / "belt.jpg")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(snippet, names)
    assert isinstance(names["detections"], sv.Detections) and names["rings"]
