"""Write any data set that can be read as images and plain masks of class indices."""

import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from fanet.errors import UserError
from fanet.files import atomic_path, make_folder
from fanet.media.images import is_image_file, write_png
from fanet.segmentation.data import list_splits, open_dataset, takes_option
from fanet.segmentation.data.dataset import SegmentationDataset, shortened
from fanet.segmentation.data.folder_config import CONFIG
from fanet.segmentation.data.parallel import parallel_map

IMAGES, MASKS = "images", "masks"
_PLAIN = re.compile(r"\w[\w.-]*")  # names of splits that can be names of folders
_FEWEST_PER_WORKER = 32  # images: for fewer, starting a process takes longer than writing them


@dataclass
class ConvertReport:
    """What was written.

    Attributes:
        root: The folder of the new data set.
        images: Number of images by split.
        notes: A line for each thing that was left out or changed, with its count.
    """

    root: Path
    images: dict[str, int] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def convert_dataset(
    kind: str,
    root: str | Path | None,
    output: str | Path,
    splits: Sequence[str] | None = None,
    workers: int | None = None,
    **options: Any,
) -> ConvertReport:
    """Write a data set as `OUT/images/SPLIT`, `OUT/masks/SPLIT` and `OUT/dataset.yaml`.

    Images are copied unchanged. Masks are PNGs of class indices that show the colours of the palette. `dataset.yaml`
    describes them; the new data set has the same samples with the same labels. Images without labels are left out. If
    anything fails, nothing stays of it.

    Args:
        kind: As for `open_dataset`.
        root: As for `open_dataset`.
        output: The new folder, created if it is missing.
        splits: Names of the splits; all by default.
        workers: Number of processes; by default one per core, and 1 writes in this process.
        options: As for `open_dataset`.

    Raises:
        UserError: There is no such data set or split, a sample cannot be read, or the folder has files or cannot be
            written to.
    """
    target = Path(output)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UserError(f"{target} has files, which would be overwritten or mixed up: name a new or empty folder")
    verify = {key: value for key, value in options.items() if key == "verify"}
    names = list(dict.fromkeys(splits or list_splits(kind, root, **verify)))
    if takes_option(kind, root, "strict"):
        options["strict"] = False  # images without labels are counted
    datasets = {split: open_dataset(kind, root, split, **options) for split in names}
    folders = {split: split if _PLAIN.fullmatch(split) else f"split_{number}" for number, split in enumerate(datasets)}
    report = ConvertReport(target)
    with _removed_on_failure(target):
        make_folder(target)
        for split, dataset in datasets.items():
            write = partial(_write_sample, dataset, target, folders[split], _stems(dataset))
            with parallel_map(write, len(dataset), split, "image", workers, _FEWEST_PER_WORKER) as results:
                report.images[split] = sum(1 for _ in results)
            if not report.images[split]:
                raise UserError(f"{split}: none of its images has labels: {'; '.join(_left_out(dataset))}")
            report.notes += [f"{split}: {note}" for note in _left_out(dataset)]
        _write_description(target, datasets, folders)
    return report


@contextmanager
def _removed_on_failure(folder: Path) -> Iterator[None]:
    """Remove what is in a new folder if the block fails: half a data set could be taken for a whole one."""
    existed = folder.exists()
    try:
        yield
    except BaseException:
        for name in (IMAGES, MASKS):
            shutil.rmtree(folder / name, ignore_errors=True)
        if not existed:
            shutil.rmtree(folder, ignore_errors=True)
        raise


def _stems(dataset: SegmentationDataset) -> list[str]:
    """Return the name of each sample without the suffix of its image, unless that would make two of them the same."""
    stems = [os.path.splitext(name)[0] for name in dataset.names if is_image_file(Path(name))]
    return stems if len(set(stems)) == len(dataset.names) else list(dataset.names)


def _write_sample(dataset: SegmentationDataset, target: Path, folder: str, stems: Sequence[str], index: int) -> None:
    sample = dataset[index]
    assert sample.labels is not None, "data sets have labels"
    suffix, contents = dataset.image_file(index)
    image = target / IMAGES / folder / f"{stems[index]}{suffix}"
    mask = target / MASKS / folder / f"{stems[index]}.png"
    for path in (image, mask):
        make_folder(path.parent)
    try:
        with atomic_path(image) as temporary:
            temporary.write_bytes(contents)
        write_png(mask, sample.labels, dataset.classes.palette)
    except OSError as error:
        raise UserError(f"cannot write {image} and its mask: {error.strerror}") from error


def _left_out(dataset: SegmentationDataset) -> list[str]:
    missing = (("images without labels", dataset.missing_masks), ("labels without an image", dataset.missing_images))
    lines = [f"left out: {len(files)} {what} ({shortened(files)})" for what, files in missing if files]
    return [*lines, *dataset.notes]


def _places(dataset: SegmentationDataset, folder: str) -> dict[str, str]:
    """Return where a split's images and masks are; with subfolders, they are found by patterns."""
    if any("/" in name for name in dataset.names):
        return {"images": f"{IMAGES}/{folder}/**/*", "masks": f"{MASKS}/{folder}/{{name}}.png"}
    return {"images": f"{IMAGES}/{folder}", "masks": f"{MASKS}/{folder}"}


def _write_description(target: Path, datasets: Mapping[str, SegmentationDataset], folders: Mapping[str, str]) -> None:
    first = datasets[next(iter(datasets))]
    classes = first.classes
    description: dict[str, Any] = {
        "classes": list(classes.names),
        "palette": [list(colour) for colour in classes.palette],
        "ignore_index": classes.ignore_index,
        "mask_kind": "index",
        "splits": {split: _places(datasets[split], folder) for split, folder in folders.items()},
    }
    if first.channels != 3:
        description["channels"] = first.channels
    text = yaml.safe_dump(description, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120)
    try:
        with atomic_path(target / CONFIG) as path:
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write {target / CONFIG}: {error.strerror}") from error
