"""Images without labels, such as ZeroWaste-s: some 6,000 frames for learning from unlabelled images.

ZeroWaste-s is published in parts, `zerowaste-s-parts.z01`, … and `.zip` of Zenodo record 6412647, which unpack to
`zerowaste-s-parts/data/*.PNG`.
"""

from pathlib import Path

import numpy as np

from fanet.classes import ClassScheme
from fanet.errors import UserError
from fanet.media.channels import read_channels
from fanet.media.images import is_image_file
from fanet.segmentation.data.dataset import SegmentationDataset, shortened
from fanet.segmentation.data.walking import walk
from fanet.segmentation.data.zerowaste import IMAGES


class ImageFolder(SegmentationDataset):
    """All images in a folder and its subfolders, or in its subfolder `data` if there is one; no pixel is labelled.

    Args:
        root: The folder.
        classes: The classes that images with labels have.
        channels: Channels of the images.

    Raises:
        UserError: It has no images, or a folder cannot be read.
    """

    def __init__(self, root: str | Path, classes: ClassScheme, channels: int = 3) -> None:
        folder = Path(root) / IMAGES
        folder = folder if folder.is_dir() else Path(root)
        self.classes, self.channels = classes, channels
        found = walk(folder, None)
        images = [file for file in found.files if is_image_file(Path(file.path))]
        if not images:
            raise UserError(f"{folder} has no images: name another folder, or unpack it completely")
        self.names = [file.name for file in images]
        self.paths = [file.path for file in images]
        if others := [file.name for file in found.files if not is_image_file(Path(file.path))]:
            self.notes = [f"{len(others)} files left out (no images): {shortened(others)}"]

    def load_image(self, index: int) -> np.ndarray:
        return read_channels(self.paths[index], self.channels)

    def load_labels(self, index: int) -> np.ndarray:
        return self.load(index)[1]

    def load(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        image = self.load_image(index)
        return image, np.full(image.shape[:2], self.classes.ignore_index, dtype=np.uint8)
