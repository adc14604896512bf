"""Read annotations with a label tool's own reader: TOOL OUT NAMES MAPS.

A program for the environment of `label_tools.txt`, which has no fanet. OUT is what `fanet predict` wrote, NAMES the
classes, separated by commas, and MAPS the file of the label maps (H, W) uint8 that the tool makes of it, by image.
"""

import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
from pycocotools import mask as runs

os.environ["QT_QPA_PLATFORM"] = "offscreen"


def fill(labels: np.ndarray, points: list[float], value: int) -> None:
    """Draw a polygon x, y, x, y, … as COCO's own library does."""
    labels[runs.decode(runs.merge(runs.frPyObjects([points], *labels.shape))) > 0] = value


def datumaro(out: Path, names: list[str]) -> dict[str, np.ndarray]:
    """Datumaro wants COCO's folders; what it exports again goes to `again`."""
    from datumaro.components.annotation import AnnotationType, Polygon
    from datumaro.components.dataset import Dataset

    (out / "coco" / "annotations").mkdir(parents=True)
    shutil.copy(out / "coco.json", out / "coco" / "annotations" / "instances_train.json")
    shutil.copytree(out.parent / "photos", out / "coco" / "images" / "train")
    dataset = Dataset.import_from(str(out / "coco"), "coco_instances")
    categories = [category.name for category in dataset.categories()[AnnotationType.label]]
    maps = {}
    for item in dataset:
        maps[item.id] = np.zeros(item.media.size, np.uint8)
        for annotation in item.annotations:
            if isinstance(annotation, Polygon):  # boxes come with them
                fill(maps[item.id], annotation.points, names.index(categories[annotation.label]))
    dataset.export(str(out / "again"), "coco_instances", save_media=True)
    return maps


def labelme(out: Path, names: list[str]) -> dict[str, np.ndarray]:
    from labelme._label_file import read_label_file
    from labelme.utils import img_data_to_arr, shape_to_mask

    maps = {}
    for file in sorted((out / "labelme").glob("*.json")):
        content = read_label_file(str(file))
        maps[file.stem] = labels = np.zeros(img_data_to_arr(content.image_data).shape[:2], np.uint8)
        for shape in content.shapes:
            labels[shape_to_mask(labels.shape, shape["points"], shape["shape_type"])] = names.index(shape["label"])
    return maps


def label_studio(out: Path, names: list[str]) -> dict[str, np.ndarray]:
    tasks = out / "tasks.json"
    program = Path(sys.executable).with_name("label-studio-converter")
    command = [program, "import", "coco", "-i", out / "coco.json", "-o", tasks, "--out-type", "predictions"]
    command += ["--image-root-url", "/photos"]
    subprocess.run(command, check=True, capture_output=True)
    maps = {}
    for task in json.loads(tasks.read_text()):
        (prediction,) = task["predictions"]
        polygons = [entry for entry in prediction["result"] if entry["type"] == "polygonlabels"]
        size = (polygons[0]["original_height"], polygons[0]["original_width"])
        maps[Path(task["data"]["image"]).stem] = labels = np.zeros(size, np.uint8)
        for entry in polygons:
            corners = np.array(entry["value"]["points"]) / 100 * size[::-1]
            fill(labels, corners.ravel().tolist(), names.index(entry["value"]["polygonlabels"][0]))
    return maps


def fiftyone(out: Path, names: list[str]) -> dict[str, np.ndarray]:
    """The readers alone: its datasets and its app need a MongoDB."""
    import fiftyone.utils.yolo
    import yaml
    from PIL import Image

    categories = yaml.safe_load((out / "yolo" / "data.yaml").read_text())["names"]
    maps = {}
    for file in sorted((out / "yolo" / "labels" / "train").glob("*.txt")):
        lines = fiftyone.utils.yolo.load_yolo_annotations(str(file), list(categories.values()), label_type="polylines")
        with Image.open(next((out.parent / "photos").glob(f"{file.stem}.*"))) as image:
            width, height = image.size
        maps[file.stem] = np.zeros((height, width), np.uint8)
        for line in lines.polylines:
            assert line.closed and line.filled and len(line.points) == 1
            corners = np.array(line.points[0]) * (width, height)
            fill(maps[file.stem], corners.ravel().tolist(), names.index(line.label))
    return maps


PACKAGES = {"label_studio": "label-studio-sdk"}

if __name__ == "__main__":
    tool, folder, classes, target = sys.argv[1:]
    np.savez(target, **globals()[tool](Path(folder), classes.split(",")))
    print(f"{tool} {version(PACKAGES.get(tool, tool))}")
