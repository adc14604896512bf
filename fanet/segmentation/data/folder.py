"""Your own data: a folder with images, their labels, and a file `dataset.yaml` that describes them."""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from fanet.errors import UserError, counted
from fanet.media.channels import read_channels
from fanet.media.images import read_orientation
from fanet.segmentation.data.dataset import SegmentationDataset, require_pairs, require_split, shortened
from fanet.segmentation.data.folder_config import CONFIG, Places, Share, read_config
from fanet.segmentation.data.labels import LABEL_READERS
from fanet.segmentation.data.pairing import NAME, find_images, fixed_folder, pair_files
from fanet.segmentation.data.splitting import deal, ends_alike, listed_images
from fanet.segmentation.data.suggest import suggest_masks


class FolderDataset(SegmentationDataset, kind="folder"):
    """One split of a data set that a `dataset.yaml` describes.

        classes: [background, bottle, can]
        palette: [[0, 0, 0], [230, 5, 5], [4, 200, 3]]    # RGB; optional, except for masks in colours
        ignore_index: 255                                 # optional
        mask_kind: index                                  # or colour, coco, yolo, labelme; index by default
        splits:
          train: {images: images/train, masks: masks/train}
          val: {images: images/val, masks: masks/val}         # scored during training
          test: {images: "scans/**/*.tif", masks: "truth/{name}.png", list: test.txt}

    `images` is a folder or a glob pattern. A sample is named after the path of its image below that folder (or below
    the fixed part of the pattern), without suffix, or after the part of the pattern that is `{name}`. `masks` is a
    folder with files of these names, with any suffix, or a pattern in which `{name}` stands for the name. With outlines
    (`coco`, `yolo`, `labelme`) a split has `annotations` instead. `list` is a text file that names the images of the
    split; without it all belong to it. `val: {from: train, share: 0.2, seed: 0}` splits off a share of another split's
    images at random.
    """

    def __init__(self, root: str | Path, split: str, strict: bool = True, description: str = CONFIG) -> None:
        """
        Args:
            root: The folder with `dataset.yaml`.
            split: One of the splits in that file.
            strict: Refuse images without a mask instead of leaving them out.
            description: What that file is called.

        Raises:
            UserError: The file is missing or invalid, there is no such split, or a mask is missing.
        """
        self.root = Path(root)
        self.config = config = read_config(root, description)
        self.classes, self.channels = config.classes, config.channels
        require_split(split, list(config.splits), f"{config.path} has")
        where = f"the split {split} of {self.root}"
        places, reader = config.places(split), LABEL_READERS[config.kind]
        found = find_images(self.root, places.images, reader.beside)
        images, masks, notes = self._of_split(split, found.files)
        if not images:
            raise UserError(" ".join((f"{where} has no images in {places.images}", *(f"({n})" for n in found.notes))))
        self.reader = reader(self.root, places.labels, found.files, config.classes, config.options)
        if reader.place == "masks":
            images, more = _without_masks(images, self.reader.files)
            notes = [*notes, *more]
        others = found.files.keys() - images.keys()
        labels = {name: file for name, file in self.reader.files.items() if name not in others}
        self._pairs, self.missing_masks, self.missing_images = pair_files(images, labels)
        self._require_listed(masks, places)
        self._require_one_case(images, labels)
        self.names = [name for name, _, _ in self._pairs]
        options = config.options
        if reader.place != "masks":
            self.cure_of_sizes = "use the images that were annotated, at the size that they had"
        self.ignores_by_default = config.kind == "index" and not options.keys() & {"ignore_index", "values"}
        self.notes = [*found.notes, *self.reader.notes, *notes]
        self._split, self._images = split, found.files
        if self.missing_masks:
            self.missing_hint = self._hint(places, images, labels)
        require_pairs(self, where, strict)

    def _of_split(self, split: str, images: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str], list[str]]:
        """Return the images of a split, out of all that its folder or pattern stands for.

        Returns:
            The images; the masks that its list names, by the name of the image; a line for each oddity.
        """
        part = self.config.splits[split]
        source = part.source if isinstance(part, Share) else split
        listed = self.config.places(split).listed
        chosen, masks, notes = dict(images), dict[str, str](), list[str]()
        if listed is not None:
            chosen, masks, notes = listed_images(self.root, listed, images)
        shares = {name: (share.share, share.seed) for name, share in self.config.shares(source).items()}
        if shares:
            chosen = {name: chosen[name] for name in deal(list(chosen), shares, source)[split]}
        return chosen, masks, notes

    def unlisted(self) -> list[str]:
        if self.config.places(self._split).listed is None:
            return []
        lists: list[str] = []
        named: set[str] = set()
        found = {self.config.places(self._split).images: self._images}
        try:
            for places in {self.config.places(split) for split in self.config.splits}:
                if places.images not in found:
                    found[places.images] = find_images(self.root, places.images, self.reader.beside).files
                images = found[places.images]
                named |= set((listed_images(self.root, places.listed, images)[0] if places.listed else images).values())
                lists += [places.listed] if places.listed else []
        except UserError:  # said where that split is opened
            return []
        named |= set(self.reader.files.values())  # masks beside the images
        rest = [path for name, path in self._images.items() if name in self.reader.files and path not in named]
        if not rest:
            return []
        what = f"{counted(len(rest), 'labelled image')} left out, in no list ({', '.join(sorted(set(lists)))})"
        return [f"images: {what}: {shortened(rest)}: add their names to one"]

    def _require_listed(self, masks: Mapping[str, str], places: Places) -> None:
        """Refuse a list that pairs an image with another mask than the data set's description does."""
        for name, image, mask in self._pairs:
            wanted = masks.get(name)
            if wanted is not None and not ends_alike(self.root, wanted, mask):
                raise UserError(
                    f"{self.root / str(places.listed)} pairs {image} with {wanted}, but `masks: {places.labels}` in "
                    f"{self.config.path} with {mask}: correct one of them"
                )

    def _require_one_case(self, images: Mapping[str, str], labels: Mapping[str, str]) -> None:
        """Refuse masks of no image whose names differ from that of an image's mask in case only: which one is meant?"""
        if self.reader.place != "masks":
            return
        paired = {name.casefold(): name for name in images if name in labels}
        for name in labels.keys() - images.keys():
            other = paired.get(name.casefold())
            if other is not None:
                raise UserError(
                    f"{labels[other]} and {labels[name]} differ in upper and lower case only, and both may belong to "
                    f"{images[other]}: keep one of them"
                )

    def _hint(self, places: Places, images: Mapping[str, str], labels: Mapping[str, str]) -> str:
        """Return what was looked for, and what may have been meant."""
        first = next(name for name in sorted(images) if name not in labels)
        if self.reader.place != "masks":
            return f"{places.labels} does not list {first}"
        there = fixed_folder(self.root, places.labels)[0]
        if NAME in places.labels:
            wanted = places.labels.replace(NAME, first)
        else:
            wanted = f"{os.path.relpath(there, self.root)}/{first}.png"
        masks: dict[str, str] = {}
        with suppress(UserError):  # such as two files of one name
            masks = {name: file for name, file in find_images(there, "**/*").files.items() if name not in images}
        unpaired = {name: path for name, path in images.items() if name not in labels}
        folders = tuple(
            os.path.relpath(folder, self.root) for folder in (fixed_folder(self.root, places.images)[0], there)
        )
        guess = suggest_masks(folders, unpaired, masks)
        return f"looked for {wanted}" + (f"; {guess}" if guess else "")

    @staticmethod
    def splits(root: str | Path) -> list[str]:
        """Return the splits that `dataset.yaml` names, in its order.

        Raises:
            UserError: The file is missing or invalid.
        """
        return list(read_config(root).splits)

    def load_image(self, index: int) -> np.ndarray:
        return read_channels(self._pairs[index][1], self.channels)

    def pair(self, index: int) -> tuple[str, str]:
        _, image, file = self._pairs[index]
        return image, f"mask {file}" if self.reader.place == "masks" else "annotation"

    def image_paths(self) -> set[str]:
        return {os.path.realpath(path) for _, path, _ in self._pairs}

    def turned_image(self, index: int) -> str | None:
        _, image, file = self._pairs[index]
        is_turned = Path(image).suffix.lower() != ".npy" and read_orientation(image) > 1
        return image if is_turned and not self.reader.turned(file) else None

    def turned_labels(self, index: int) -> str | None:
        file = self._pairs[index][2]
        return file if self.reader.turned(file) else None

    def cure(self, values: Sequence[int]) -> str | None:
        return self.reader.cure(values)

    def image_file(self, index: int) -> tuple[str, bytes]:
        path = Path(self._pairs[index][1])
        try:
            return path.suffix, path.read_bytes()
        except OSError as error:
            raise UserError(f"cannot read {path}: {error.strerror}") from error

    def load_labels(self, index: int) -> np.ndarray:
        _, image, file = self._pairs[index]
        return self.reader.labels(file, image)


def _without_masks(images: Mapping[str, str], masks: Mapping[str, str]) -> tuple[dict[str, str], list[str]]:
    """Leave out the files that are masks of other images, as where both are in one folder.

    Returns:
        The images, and a line for what was left out.

    Raises:
        UserError: A file is its own mask.
    """
    paths = {masks[name] for name in images if name in masks}
    chosen = {name: path for name, path in images.items() if path not in paths}
    left_out = [path for name, path in images.items() if name not in chosen]
    itself = next((path for name, path in images.items() if masks.get(name) == path), None)
    if itself is not None:
        raise UserError(f"{itself} is an image and its own mask: `images` and `masks` must stand for different files")
    return chosen, [f"images: {len(left_out)} files left out (masks): {shortened(left_out)}"] if left_out else []
