"""What labels mean: the classes, and the keys of `dataset.yaml` by which the labels are read as them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from fanet.classes import ClassScheme, background_of

BACKGROUND, OBJECT = "background", "object"
MOST = 40  # numbers or colours that are taken for classes without a file that names them


@dataclass
class Meaning:
    """The keys of a `dataset.yaml` that say what labels mean.

    Attributes:
        kind: `mask_kind`.
        classes: Names of the classes.
        palette: Their colours; distinct ones by default.
        options: Further keys: `values`, `ignore_index`, `ignore_colour`, `names_file`.
        notes: A line for each thing that was guessed.
    """

    kind: str
    classes: Sequence[str]
    palette: Sequence[tuple[int, int, int]] = ()
    options: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if not self.palette:
            self.palette = ClassScheme(tuple(self.classes)).palette


def with_background(names: Sequence[str]) -> list[str]:
    """Return class names of objects with one for the rest, first if it has to be added."""
    unique = list(dict.fromkeys(names))
    return unique if background_of(unique) is not None else [BACKGROUND, *unique]


def described(meaning: Meaning, splits: Mapping[str, Mapping[str, str]], header: str) -> str:
    """Return the text of a `dataset.yaml`.

    Args:
        meaning: What the labels mean.
        splits: The keys of each split.
        header: A comment.
    """
    content: dict[str, Any] = {
        "classes": list(meaning.classes),
        "palette": [list(colour) for colour in meaning.palette],
        "mask_kind": meaning.kind,
        **meaning.options,
        "splits": {name: dict(places) for name, places in splits.items()},
    }
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, default_flow_style=None, width=120)
    return f"# {header}\n{text}"
