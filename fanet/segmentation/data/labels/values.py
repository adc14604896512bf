"""What the numbers in index masks mean: `ignore_index` and `values` in `dataset.yaml`."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fanet.classes import ClassScheme, background_of
from fanet.errors import UserError
from fanet.segmentation.data.dataset import UnknownLabelError, shortened
from fanet.segmentation.data.labels.masks import lookup

IGNORE = "ignore"
_MOST_VALUES = 12  # in a line to copy


class ValueMap:
    """Class indices by the numbers that masks hold; numbers that are not listed are unknown labels."""

    def __init__(self, meanings: Mapping[int, int], classes: ClassScheme) -> None:
        """
        Args:
            meanings: Class index, or `classes.ignore_index`, by number.
            classes: The classes.
        """
        self.classes = classes
        self.meanings = dict(sorted(meanings.items()))
        self._codes = np.array(list(self.meanings), dtype=np.int64)
        self._indices = np.array(list(self.meanings.values()), dtype=np.uint8)
        self._is_known = np.isin(np.arange(256), self._codes)
        self._table = np.array([self.meanings.get(value, 0) for value in range(256)], dtype=np.uint8)

    def labels(self, values: np.ndarray, file: str) -> np.ndarray:
        """Return the labels (H, W) uint8 of a mask that holds `values`.

        Raises:
            UnknownLabelError: A number has no meaning.
        """
        if values.dtype == np.uint8:  # nearly all masks; a table is far faster
            labels, unknown = self._table[values], np.unique(values[~self._is_known[values]])
        else:
            labels, unknown = lookup(values, self._codes, self._indices)
        if unknown.size:
            known = shortened([str(value) for value in self.meanings])
            seen = [int(value) for value in np.unique(values)]
            raise UnknownLabelError(file, [str(value) for value in unknown], known, seen)
        return labels


def value_map(options: Mapping[str, Any], classes: ClassScheme, where: str) -> ValueMap | None:
    """Return what the numbers in masks mean, or None if they are the class indices of `classes` themselves.

    Args:
        options: `values` and `ignore_index` of the `dataset.yaml`, if it has them.
        classes: The classes; their `ignore_index` is that of the labels, not of the files.
        where: How errors name the `dataset.yaml`.

    Raises:
        UserError: `values` is not a mapping from whole numbers to classes.
    """
    ignored = options.get("ignore_index")
    if "values" in options:
        meanings = _checked(options["values"], classes, where)
        if ignored is not None and meanings.get(ignored, classes.ignore_index) != classes.ignore_index:
            name = classes.names[meanings[ignored]]
            raise UserError(
                f"{where}: {ignored} is {name} by values, and ignored by ignore_index: {ignored}: remove one of them"
            )
        return ValueMap(({} if ignored is None else {ignored: classes.ignore_index}) | meanings, classes)
    if ignored is None or ignored >= len(classes):
        return None
    others = [value for value in range(len(classes) + 1) if value != ignored]
    return ValueMap({ignored: classes.ignore_index} | {value: i for i, value in enumerate(others)}, classes)


def _checked(values: Any, classes: ClassScheme, where: str) -> dict[int, int]:
    example = f"such as values: {{0: {IGNORE}, 255: 1}}"
    if not isinstance(values, Mapping) or not values:
        raise UserError(f"{where}: values must say which class each number in the masks is, {example}")
    meanings = {}
    for value, meaning in values.items():
        if type(value) is not int:
            raise UserError(f"{where}: values has the key {value!r}, but must have whole numbers, {example}")
        if meaning in classes.names:
            meanings[value] = classes.names.index(meaning)
        elif meaning == IGNORE:
            meanings[value] = classes.ignore_index
        elif type(meaning) is int and 0 <= meaning < len(classes):
            meanings[value] = meaning
        else:
            raise UserError(
                f"{where}: values maps {value} to {meaning!r}, but must map it to a class, by its name or as 0 to "
                f"{len(classes) - 1}, or to {IGNORE}"
            )
    if not any(meaning < len(classes) for meaning in meanings.values()):
        raise UserError(f"{where}: values maps every number to {IGNORE}: no label is left")
    return meanings


def suggestion(seen: Sequence[int], classes: ClassScheme) -> str | None:
    """Return the line of `dataset.yaml` that most likely gives all numbers in masks a meaning, or two of them.

    Args:
        seen: The numbers.
        classes: The classes.

    Returns:
        None if there are too many numbers to say.
    """
    numbers, count = sorted(set(seen)), len(classes)
    if len(numbers) > min(count + 1, _MOST_VALUES):
        return None
    has_background = numbers[:1] == [0] and background_of(classes.names) == 0
    if numbers == list(range(count + 1)):
        line = "ignore_index: 0"
        return f"{line} (1 is then {classes.names[0]}), or one more class for {count}," if has_background else line
    void = None
    if len(numbers) > count:  # one that is no class: white, the middle of black and white, or one at the end
        if numbers[0] == 0 and len(numbers) == 3 and numbers[2] == 255:
            void = numbers[1]
        else:
            void = numbers[-1] if has_background or (255 in numbers and numbers[0] != 0) else numbers[0]
    meanings = {number: str(i) for i, number in enumerate(number for number in numbers if number != void)}
    if void is not None:
        meanings[void] = IGNORE
    return "values: {" + ", ".join(f"{number}: {meanings[number]}" for number in numbers) + "}"
