"""The keys of a recipe as fields of dataclasses: annotations give types and ranges, which are checked on reading.

    lr: Annotated[float, Positive()]
    layer_decay: Annotated[float | None, Between(0, 1)]

A field without a default must be in every recipe. Keys added later have defaults, so that older recipes stay valid.
"""

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from types import UnionType
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

from fanet.errors import UserError
from fanet.recipes import unknown_key

Section = TypeVar("Section")


@dataclass(frozen=True)
class Allowed:
    """The values that a field takes: a test, and the words after "must be" in an error."""

    test: Callable[[Any], bool]
    words: Callable[[], str]


def AtLeast(low: float) -> Allowed:
    """Allow numbers that are not below `low`."""
    return Allowed(lambda value: value >= low, lambda: f"at least {low}")


def Between(low: float, high: float) -> Allowed:
    """Allow numbers from `low` to `high`, both included."""
    return Allowed(lambda value: low <= value <= high, lambda: f"in {low}..{high}")


def Positive() -> Allowed:
    """Allow numbers above 0, and lists of them."""
    return Allowed(lambda value: min(value if isinstance(value, list) else [value], default=0) > 0, lambda: "positive")


def PositiveOr(word: str) -> Allowed:
    """Allow numbers above 0, lists of them, and a word."""
    positive = Positive()
    return Allowed(
        lambda value: value == word if isinstance(value, str) else positive.test(value),
        lambda: f"positive, or {word}",
    )


def PositivePair() -> Allowed:
    """Allow lists of two numbers above 0."""
    return Allowed(lambda value: len(value) == 2 and min(value) > 0, lambda: "two numbers above 0")


def OneOf(words: Collection[str]) -> Allowed:
    """Allow the words in a collection, including those that are added to it later."""
    return Allowed(lambda value: value in words, lambda: " or ".join(words))


def CountOrCounts(kinds: Collection[str]) -> Allowed:
    """Allow a number above 0, or a mapping from some of the kinds to such numbers."""
    return Allowed(
        lambda value: (
            bool(value) and all(kind in kinds and type(count) is int and count > 0 for kind, count in value.items())
            if isinstance(value, dict)
            else value > 0
        ),
        lambda: f"a number above 0, or such a number for some of {', '.join(kinds)}",
    )


def read_section(section: type[Section], values: Any, prefix: str = "") -> Section:
    """Build the dataclass `section` from the mapping `values`, including dataclasses among its fields.

    Args:
        section: Dataclass of a section or of a whole recipe.
        values: Its keys and values.
        prefix: Prefix of its keys in messages, such as `train.`.

    Raises:
        UserError: A key is unknown or missing, or a value has the wrong type or is out of range.
    """
    if not isinstance(values, Mapping):
        raise UserError(f"{prefix.rstrip('.') or 'a recipe'} must be a mapping of keys to values, got {values!r}")
    kinds = get_type_hints(section, include_extras=True)
    for key in values:
        if key not in kinds:
            raise unknown_key(f"{prefix}{key}", [f"{prefix}{name}" for name in kinds])
    given = {key: values[key] for key in kinds if key in values}
    if missing := [key for key in kinds if key not in given and key not in _defaults(section)]:
        raise UserError(f"the recipe lacks the key {prefix + missing[0]!r}: it must state every setting")
    return section(**{key: _value(kinds[key], value, f"{prefix}{key}") for key, value in given.items()})


def optional_keys(section: type, prefix: str = "") -> dict[str, Any]:
    """Return the dotted keys below a section that a recipe may leave out, with their defaults."""
    found: dict[str, Any] = {}
    kinds = get_type_hints(section)
    for key, default in _defaults(section).items():
        if not is_dataclass(kinds[key]):
            found[f"{prefix}{key}"] = default
    for key, kind in kinds.items():
        if is_dataclass(kind):
            found |= optional_keys(kind, f"{prefix}{key}.")  # type: ignore[arg-type]
    return found


def _defaults(section: type) -> dict[str, Any]:
    found = {}
    for field in fields(section):
        if field.default is not MISSING:
            found[field.name] = field.default
        elif field.default_factory is not MISSING:
            found[field.name] = field.default_factory()
    return found


def _value(kind: Any, value: Any, key: str) -> Any:
    """Convert `value` to the type in a field's annotation `kind`, and check its range."""
    if is_dataclass(kind):
        return read_section(kind, value, f"{key}.")  # type: ignore[arg-type]
    if get_origin(kind) is not Annotated:
        return _typed(kind, value, key)
    plain, *ranges = get_args(kind)
    typed = _typed(plain, value, key)
    for allowed in ranges if typed is not None else ():
        if not allowed.test(typed):
            or_null = " or null" if _is_optional(plain) else ""
            raise UserError(f"{key} must be {allowed.words()}{or_null}, got {value!r}")
    return typed


def _typed(kind: Any, value: Any, key: str) -> Any:
    for option in get_args(kind) if isinstance(kind, UnionType) else (kind,):
        if option is float:
            if type(value) in (int, float) and math.isfinite(value):
                return float(value)
            continue
        if get_origin(option) is list and isinstance(value, list):
            return [_typed(get_args(option)[0], item, key) for item in value]
        if type(value) is option:
            return value
    raise UserError(f"{key} must be {_in_words(kind)}, got {value!r}")


def _is_optional(kind: Any) -> bool:
    return isinstance(kind, UnionType) and type(None) in get_args(kind)


def _in_words(kind: Any) -> str:
    if isinstance(kind, UnionType):
        return " or ".join(_in_words(option) for option in get_args(kind))
    if get_origin(kind) is list:
        return f"a list, each item {_in_words(get_args(kind)[0])}"
    words = {int: "a whole number", float: "a finite number", bool: "true or false", str: "text", dict: "a mapping"}
    return words.get(kind, "null")
