"""Your own data: a folder with images, their labels, and a file `dataset.yaml` that describes them."""

from pathlib import Path

import numpy as np

from fanet.errors import UserError
from fanet.media.channels import read_channels
from fanet.media.images import read_orientation
from fanet.segmentation.data.dataset import SegmentationDataset, require_pairs, require_split
from fanet.segmentation.data.folder_config import read_config
from fanet.segmentation.data.labels import LABEL_READERS
from fanet.segmentation.data.pairing import find_images, pair_files


class FolderDataset(SegmentationDataset, kind="folder"):
    """One split of a data set that a `dataset.yaml` describes.

        classes: [background, bottle, can]
        palette: [[0, 0, 0], [230, 5, 5], [4, 200, 3]]    # RGB; optional, except for masks in colours
        ignore_index: 255                                 # optional
        mask_kind: index                                  # or colour, coco, yolo, labelme; index by default
        splits:
          train: {images: images/train, masks: masks/train}
          val: {images: images/val, masks: masks/val}         # scored during training
          test: {images: "scans/**/*.tif", masks: "truth/{name}.png"}

    `images` is a folder or a glob pattern. A sample is named after the path of its image below that folder (or below
    the fixed part of the pattern), without suffix. `masks` is a folder with files of these names, with any suffix, or a
    pattern in which `{name}` stands for the name. With outlines (`coco`, `yolo`, `labelme`) a split has `annotations`
    instead. Masks in colours may have one more colour, `ignore_colour`, for pixels that do not count.
    """

    def __init__(self, root: str | Path, split: str, strict: bool = True) -> None:
        """
        Args:
            root: The folder with `dataset.yaml`.
            split: One of the splits in that file.
            strict: Refuse images without a mask instead of leaving them out.

        Raises:
            UserError: The file is missing or invalid, there is no such split, or a mask is missing.
        """
        self.root = Path(root)
        config = read_config(root)
        self.classes, self.channels = config.classes, config.channels
        require_split(split, list(config.splits), f"{config.path} has")
        places, reader = config.splits[split], LABEL_READERS[config.kind]
        images = find_images(self.root, places["images"])
        self.reader = reader(self.root, places[reader.place], images, config.classes, config.options)
        self._pairs, self.missing_masks, self.missing_images = pair_files(images, self.reader.files)
        self.names = [name for name, _, _ in self._pairs]
        self.notes = self.reader.notes
        require_pairs(self, f"the split {split} of {self.root}", strict)

    @staticmethod
    def splits(root: str | Path) -> list[str]:
        """Return the splits that `dataset.yaml` names, in its order.

        Raises:
            UserError: The file is missing or invalid.
        """
        return list(read_config(root).splits)

    def load_image(self, index: int) -> np.ndarray:
        return read_channels(self._pairs[index][1], self.channels)

    def turned_image(self, index: int) -> str | None:
        file = self._pairs[index][1]
        return file if read_orientation(file) > 1 else None

    def image_file(self, index: int) -> tuple[str, bytes]:
        path = Path(self._pairs[index][1])
        try:
            return path.suffix, path.read_bytes()
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror}") from error

    def load_labels(self, index: int) -> np.ndarray:
        _, image, file = self._pairs[index]
        return self.reader.labels(file, image)
