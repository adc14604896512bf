"""Which recording each image is from, so that recordings, not images, are what a calibration draws."""

import csv
from collections.abc import Sequence
from pathlib import Path

from fanet.errors import UserError, printable_line
from fanet.segmentation.data.dataset import SegmentationDataset, shortened

#: Instead of a file: recordings are told by folders, dates and running numbers in the names.
BY_NAME = "names"
_COLUMNS = ("name", "group")


def read_groups(dataset: SegmentationDataset, groups: str) -> list[str]:
    """Return the recording of each image.

    Args:
        dataset: The images.
        groups: `names`; or a CSV file with the columns `name`, of an image, with or without its suffix, and `group`.
            Names of other images are not used.

    Raises:
        UserError: The file is no such table, has a name in two groups, or does not name each image.
    """
    if groups == BY_NAME:
        return groups_of_names(dataset.names)
    try:
        with Path(groups).open(newline="", encoding="utf-8-sig") as file:
            table = csv.DictReader(file)
            if not set(_COLUMNS) <= set(table.fieldnames or ()):
                raise UserError(f"{groups} must have the columns name and group")
            known: dict[str, str] = {}
            for row in table:
                name, group = row["name"], row["group"]
                if group and known.setdefault(name, group) != group:
                    raise UserError(
                        f"{groups} has {printable_line(name)} in two groups, {printable_line(known[name])} and "
                        f"{printable_line(group)}: leave one of them"
                    )
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(
            f"--groups must be {BY_NAME}, or a CSV file with the columns name and group; {groups} cannot be read"
        ) from error
    found = [known.get(name, known.get(_bare(name))) for name in dataset.names]
    missing = [name for name, group in zip(dataset.names, found, strict=True) if not group]
    if missing:
        raise UserError(f"{groups} has no group for {len(missing)} of the images: {shortened(missing)}")
    return [group for group in found if group]


def groups_of_names(names: Sequence[str]) -> list[str]:
    """Return the recording of each image by its name, as `fanet init` tells it for its splits."""
    from fanet.segmentation.data.survey.groups import group_images  # needs OpenCV

    found = group_images([_bare(name) for name in names], [0] * len(names))
    return [str(group) for group in found.recordings]


def _bare(name: str) -> str:
    folder, slash, file = name.rpartition("/")
    return folder + slash + (file.rpartition(".")[0] or file)
