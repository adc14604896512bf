"""Annotations from predictions, read by COCO's own library."""

from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO

from fanet.classes import ClassScheme
from fanet.segmentation import find_objects
from fanet.segmentation.prediction.annotations import write_annotations

CLASSES = ClassScheme(("background", "bottle", "can", "film"))


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
def test_coco_masks_are_the_regions_that_were_predicted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    patches = np.random.default_rng(0).integers(0, 4, (12, 17), dtype=np.uint8)
    labels = patches.repeat(3, axis=0).repeat(2, axis=1)
    with write_annotations("coco", tmp_path, CLASSES) as annotations:
        annotations.add(Path("a.png"), Path("a"), labels.shape, find_objects(labels, CLASSES))
    coco = COCO(str(tmp_path / "coco.json"))
    drawn = np.zeros_like(labels)
    for annotation in coco.loadAnns(coco.getAnnIds()):
        mask = coco.annToMask(annotation).astype(bool)
        assert mask.sum() == annotation["area"]
        drawn[mask] = CLASSES.names.index(coco.loadCats(annotation["category_id"])[0]["name"])
    np.testing.assert_array_equal(drawn, labels)
