"""What a `dataset.yaml` will say, and the lists of images beside it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fanet.errors import UserError
from fanet.segmentation.data.folder import FolderDataset
from fanet.segmentation.data.folder_config import CONFIG
from fanet.segmentation.data.survey.drafts import draft_prefix, drafted
from fanet.segmentation.data.survey.meaning import Meaning, described

_HEADER = "Written by `fanet init`; docs/data.md explains the keys."


@dataclass
class Entry:
    """A split.

    Attributes:
        places: The keys `images` and `masks` or `annotations`.
        images: Its images, relative to the data set's folder.
        listed: A file that lists them, if there is one already.
        needs_list: Whether one has to be written.
    """

    places: Mapping[str, str]
    images: list[str]
    listed: str | None = None
    needs_list: bool = True


@dataclass
class Plan:
    """The splits of a data set by name, and what their labels mean."""

    meaning: Meaning
    entries: dict[str, Entry]

    def texts(self, prefix: str = "") -> dict[str, str]:
        """Return the contents of the files to write by their names, with `prefix` before all names."""
        splits, texts = {}, {}
        for split, entry in self.entries.items():
            splits[split] = dict(entry.places)
            if entry.listed is not None:
                splits[split]["list"] = entry.listed
            elif entry.needs_list:
                splits[split]["list"] = name = f"{prefix}{split}.txt"
                # a line that starts with # would be a comment
                texts[name] = "".join(f"{'./' * image.startswith('#')}{image}\n" for image in entry.images)
        return {f"{prefix}{CONFIG}": described(self.meaning, splits, _HEADER), **texts}


@contextmanager
def opened(root: Path, plan: Plan) -> Iterator[dict[str, FolderDataset]]:
    """Yield the splits of a data set as a draft of its files describes them.

    Raises:
        UserError: They cannot be opened, or have other images than they should.
    """
    prefix = draft_prefix()
    with drafted(root, plan.texts(prefix)):
        try:
            datasets = {split: FolderDataset(root, split, description=f"{prefix}{CONFIG}") for split in plan.entries}
            for split, dataset in datasets.items():
                if len(dataset) != len(plan.entries[split].images):
                    raise UserError(
                        f"{root} cannot be described: {len(dataset)} instead of {len(plan.entries[split].images)} "
                        f"images of {split} would be found; write {CONFIG} by hand, as docs/data.md says"
                    )
            yield datasets
        except UserError as error:
            raise UserError(str(error).replace(prefix, "")) from error


def drop_needless_lists(root: Path, plan: Plan) -> None:
    """Leave out the lists of splits that have the same images without them."""
    for entry in plan.entries.values():
        if entry.listed is None:
            entry.needs_list = False
            try:
                with opened(root, Plan(plan.meaning, {"train": entry})):
                    pass
            except UserError:
                entry.needs_list = True
