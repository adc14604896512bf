"""Write an ImageNet-like folder of generated images: single objects cropped from scenes of cluttered waste.

`ROOT/{train,validation}/{material}/d{difficulty}-{scene}-{object}.png`: four materials, as many at each difficulty.
"""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import cv2
import numpy as np

from fanet.classes import ZEROWASTE
from fanet.files import make_folder
from fanet.media.images import write_png
from fanet.scenes import scene

MATERIALS = ZEROWASTE.names[1:]  # without the background
DIFFICULTIES = (0.2, 0.5, 0.8)
SEEDS = {"train": 5, "validation": 1000005}  # of the scenes, which differ between the splits
SCENE = 128  # side of a scene, pixels
SMALLEST = 250  # pixels of an object; smaller ones are specks of film or half hidden
LEAST_SHARE = 0.35  # share of the crop that the object fills; below this, the crop mostly shows something else
MARGIN = 1.15  # side of a crop relative to the longer side of the object


def write_crops(root: Path, split: str, per_cell: int, size: int) -> Path:
    """Write `per_cell` crops of `size` x `size` pixels for every material and difficulty; return the folder."""
    for difficulty in DIFFICULTIES:
        missing = dict.fromkeys(MATERIALS, per_cell)
        for index in count():
            image, labels = scene(SEEDS[split], index, SCENE, difficulty)
            for number, (material, crop) in enumerate(object_crops(image, labels, size)):
                if missing[material]:
                    missing[material] -= 1
                    write_png(make_folder(root / split / material) / f"d{difficulty}-{index}-{number}.png", crop)
            if not any(missing.values()):
                break
    return root / split


def object_crops(image: np.ndarray, labels: np.ndarray, size: int) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the objects of a scene that are large enough: material and image (size, size, 3) uint8.

    Args:
        image: (H, W, 3) uint8 RGB.
        labels: (H, W) uint8, indices into `ZEROWASTE.names`.
        size: Side of the images, pixels.
    """
    for index, material in enumerate(MATERIALS, start=1):
        _, _, boxes, _ = cv2.connectedComponentsWithStats((labels == index).astype(np.uint8))
        for left, top, width, height, area in boxes[1:]:  # the first is what is not of this material
            if area < SMALLEST:
                continue
            side = min(round(MARGIN * max(width, height)), *labels.shape)
            y = int(np.clip(top + (height - side) // 2, 0, labels.shape[0] - side))
            x = int(np.clip(left + (width - side) // 2, 0, labels.shape[1] - side))
            window = np.s_[y : y + side, x : x + side]
            if np.mean(labels[window] == index) >= LEAST_SHARE:
                yield material, cv2.resize(image[window], (size, size), interpolation=cv2.INTER_AREA)
