"""ZeroWaste-f (Bashkirova et al., CVPR 2022) in its published layout, as a folder or straight from the archive.

The archive is `zerowaste-f-final.zip` of Zenodo record 6412647. File names are unique only within a split: three names
occur in two splits with different pixels.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np

from fanet.classes import ZEROWASTE
from fanet.errors import UserError
from fanet.media.images import read_image, read_orientation
from fanet.media.label_maps import read_values
from fanet.segmentation.data.dataset import (
    SegmentationDataset,
    check_labels,
    require_pairs,
    require_split,
    shortened,
)
from fanet.segmentation.data.pairing import pair_files
from fanet.segmentation.data.storage import Storage, ZipStorage, open_storage, verify_archive

LAYOUT = "splits_final_deblurred"  # the folder that holds the splits
SPLITS = ("train", "val", "test")
COUNTS = {"train": 3002, "val": 572, "test": 929}
# As reported by two independent audits of the archive.
ARCHIVE = "zerowaste-f-final.zip"
ARCHIVE_BYTES = 7_518_242_799
ARCHIVE_MD5 = "e26e31a58080bca6782dca0e56074c5d"

_PNG = ".png"
IMAGES, MASKS, DESCRIPTION = "data", "sem_seg", "labels.json"


class ZeroWaste(SegmentationDataset, kind="zerowaste"):
    """One split of ZeroWaste-f, or of any data set with its layout and classes.

    The layout is `splits_final_deblurred/{train,val,test}/{data,sem_seg}/*.PNG`; image and mask share their name, and
    masks hold class indices.
    """

    classes = ZEROWASTE

    def __init__(self, root: str | Path, split: str, verify: bool = True, strict: bool = True) -> None:
        """
        Args:
            root: The folder that holds `splits_final_deblurred`, that folder itself, or the zip archive.
            split: `train`, `val` or `test`.
            verify: Check that an archive is the published one, by size and md5.
            strict: Refuse images without a mask instead of leaving them out.

        Raises:
            UserError: There is no such data set or split, the archive is not the published one, or a mask is missing.
        """
        self.storage, top = _open(root, verify)
        self.folder = f"{top}/{split}" if top else split
        require_split(split, _splits(self.storage, top), f"{root} has")
        images, masks = (_png_files(self.storage, f"{self.folder}/{part}") for part in (IMAGES, MASKS))
        self.notes = self._left_out()
        self._pairs, self.missing_masks, self.missing_images = pair_files(images, masks)
        self.names = [name for name, _, _ in self._pairs]
        require_pairs(self, self.storage.describe(self.folder), strict)

    def _left_out(self) -> list[str]:
        """Return a line for each folder with files that are no PNGs."""
        lines = []
        for part in (IMAGES, MASKS):
            other = [name for name in self.storage.files(f"{self.folder}/{part}") if not name.lower().endswith(_PNG)]
            if other:
                lines.append(f"{part}: {len(other)} files left out (no PNGs): {shortened(other)}")
        return lines

    @staticmethod
    def splits(root: str | Path, verify: bool = True) -> list[str]:
        """Return the splits that exist, train before val before test.

        Raises:
            UserError: There is no such data set, or the archive is not the published one.
        """
        return _splits(*_open(root, verify))

    def load_image(self, index: int) -> np.ndarray:
        name = self._pairs[index][1]
        return read_image(self.storage.read(name), self.storage.describe(name))

    def image_file(self, index: int) -> tuple[str, bytes]:
        name = self._pairs[index][1]
        return Path(name).suffix, self.storage.read(name)

    def turned_image(self, index: int) -> str | None:
        name = self._pairs[index][1]
        called = self.storage.describe(name)
        return called if read_orientation(self.storage.read(name), called) > 1 else None

    def load_labels(self, index: int) -> np.ndarray:
        name = self._pairs[index][2]
        called = self.storage.describe(name)
        return check_labels(read_values(self.storage.read(name), called).pixels, self.classes, called)

    def oddities(self, split: str) -> list[str]:
        found = self.listing_oddities()
        if len(self) != COUNTS.get(split):
            found.insert(0, f"{len(self)} images, but ZeroWaste-f has {COUNTS.get(split, 'no such split')}")
        return found

    def listing_oddities(self) -> list[str]:
        """Return a line for each difference between `labels.json` and the files."""
        try:
            listed = self.listed_images()
        except UserError as error:
            return [str(error)]
        if listed is None:
            return ["there is no labels.json"]
        missing, unlisted = sorted(set(listed) - set(self.names)), sorted(set(self.names) - set(listed))
        found = [f"{len(missing)} images of labels.json have no file: {shortened(missing)}"] if missing else []
        return found + ([f"{len(unlisted)} images are not in labels.json: {shortened(unlisted)}"] if unlisted else [])

    def listed_images(self) -> list[str] | None:
        """Return the names of the images that `labels.json` of this split lists; None without that file.

        Raises:
            UserError: The file does not list images.
        """
        if DESCRIPTION not in self.storage.files(self.folder):
            return None
        name = f"{self.folder}/{DESCRIPTION}"
        try:
            content: Any = json.loads(self.storage.read(name))
            return [Path(image["file_name"]).name for image in content["images"]]
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{self.storage.describe(name)} does not list images as COCO does") from error


def _open(root: str | Path, verify: bool) -> tuple[Storage, str]:
    """Open the files of a data set, and find the folder that holds the splits."""
    if not Path(root).exists():
        what = "file" if Path(root).suffix.lower() == ".zip" else "folder"
        source = f"download {ARCHIVE} from zenodo.org/records/6412647, or " if verify else ""
        raise UserError(f"there is no {what} {root}: {source}say where the data is (--data, in training data.root)")
    storage = open_storage(root)
    if verify and isinstance(storage, ZipStorage):
        verify_archive(root, ARCHIVE_BYTES, ARCHIVE_MD5)
    # The root is the layout's folder, its parent, or the parent of a folder that an archive was unpacked to.
    tops = ["", LAYOUT, *(f"{name}/{LAYOUT}" for name in storage.subfolders(""))]
    for top in tops[Path(root).name != LAYOUT :]:
        if _splits(storage, top):
            return storage, top
    archives = sorted(Path(root).glob("*.zip")) if Path(root).is_dir() else []
    hint = f"name {archives[0]} itself" if archives else "name the folder or the archive that holds it"
    raise UserError(f"{root} has no {LAYOUT}/SPLIT/{{{IMAGES},{MASKS}}}: {hint}")


def _splits(storage: Storage, top: str) -> list[str]:
    found = [name for name in storage.subfolders(top) if IMAGES in storage.subfolders(f"{top}/{name}" if top else name)]
    return sorted(found, key=lambda split: (SPLITS.index(split) if split in SPLITS else len(SPLITS), split))


def _png_files(storage: Storage, folder: str) -> dict[str, str]:
    """Return the path of every PNG file in a folder, by its name."""
    return {name: f"{folder}/{name}" for name in storage.files(folder) if name.lower().endswith(_PNG)}
