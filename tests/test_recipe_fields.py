from dataclasses import dataclass, field
from typing import Annotated

import pytest

from fanet.errors import UserError
from fanet.recipes.fields import (
    AtLeast,
    Between,
    CountOrCounts,
    OneOf,
    Positive,
    PositivePair,
    optional_keys,
    read_section,
)

WORDS = {"red": 1, "blue": 2}


@dataclass(frozen=True)
class Inner:
    name: str
    count: int = 3
    options: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Whole:
    ratio: float
    flag: bool
    size: list[int] | None
    inner: Inner
    last: str | None = None


VALUES = {"ratio": 0.5, "flag": True, "size": [1, 2], "inner": {"name": "a"}}


def test_a_section_becomes_its_dataclass_and_those_of_its_fields():
    assert read_section(Whole, VALUES) == Whole(0.5, True, [1, 2], Inner("a", 3, {}), None)
    values = VALUES | {"last": "x", "inner": {"name": "b", "count": 1, "options": {"deep": {"er": 1}}}}
    assert read_section(Whole, values) == Whole(0.5, True, [1, 2], Inner("b", 1, {"deep": {"er": 1}}), "x")


def test_defaults_are_not_shared():
    first, second = (read_section(Inner, {"name": "a"}) for _ in range(2))
    assert first.options is not second.options


def test_keys_with_defaults_are_optional_and_named_with_dots():
    assert optional_keys(Whole) == {"last": None, "inner.count": 3, "inner.options": {}}
    assert optional_keys(Inner, "model.") == {"model.count": 3, "model.options": {}}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"ratoi": 1}, r"the recipe has no key 'ratoi': did you mean ratio\?"),
        ({"inner": {"name": "a", "cuont": 1}}, "the recipe has no key 'inner.cuont': did you mean inner.count or .*"),
        ({"inner": {}}, "the recipe lacks the key 'inner.name': it must state every setting"),
        ({"inner": None}, "inner must be a mapping of keys to values, got None"),
        ({"inner": [1]}, r"inner must be a mapping of keys to values, got \[1\]"),
        ({3: 4}, "the recipe has no key '3'"),
        ({"ratio": "0.5"}, "ratio must be a finite number, got '0.5'"),
        ({"ratio": True}, "ratio must be a finite number, got True"),
        ({"ratio": float("nan")}, "ratio must be a finite number, got nan"),
        ({"ratio": float("inf")}, "ratio must be a finite number, got inf"),
        ({"ratio": None}, "ratio must be a finite number, got None"),
        ({"flag": 1}, "flag must be true or false, got 1"),
        ({"size": 1}, "size must be a list, each item a whole number or null, got 1"),
        ({"size": [1, 2.0]}, "size must be a whole number, got 2.0"),
        ({"size": [1, True]}, "size must be a whole number, got True"),
        ({"last": 1}, "last must be text or null, got 1"),
        ({"inner": {"name": None}}, "inner.name must be text, got None"),
        ({"inner": {"name": "a", "count": 1.0}}, "inner.count must be a whole number, got 1.0"),
        ({"inner": {"name": "a", "options": None}}, "inner.options must be a mapping, got None"),
    ],
)
def test_what_does_not_fit_is_an_error_of_one_line_that_names_the_key(values, message):
    with pytest.raises(UserError, match=f"^{message}$") as caught:
        read_section(Whole, VALUES | values)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("values", [None, [], "text"])
def test_a_recipe_that_is_no_mapping_is_an_error(values):
    with pytest.raises(UserError, match="^a recipe must be a mapping of keys to values"):
        read_section(Whole, values)


def test_of_several_missing_keys_the_first_is_named():
    for _ in range(5):
        with pytest.raises(UserError, match="lacks the key 'ratio'"):
            read_section(Whole, {})


def test_a_whole_number_is_a_number_and_becomes_one():
    read = read_section(Whole, VALUES | {"ratio": 2})
    assert read.ratio == 2.0 and type(read.ratio) is float


@dataclass(frozen=True)
class Ranges:
    least: Annotated[int, AtLeast(1)] = 1
    above: Annotated[float, Positive()] = 1.0
    each: Annotated[list[float] | None, Positive()] = None
    share: Annotated[float, Between(0, 1)] = 0.0
    decay: Annotated[float | None, Positive(), Between(0, 1)] = None
    word: Annotated[str, OneOf(WORDS)] = "red"
    pair: Annotated[list[int] | None, PositivePair()] = None
    ratios: Annotated[list[float], PositivePair()] = field(default_factory=lambda: [1.0, 1.0])
    amount: Annotated[int | dict, CountOrCounts(WORDS)] = 1


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("least", 1),
        ("least", 7),
        ("above", 1e-9),
        ("each", None),
        ("each", [0.1, 3]),
        ("share", 0),
        ("share", 1),
        ("decay", None),
        ("decay", 1),
        ("decay", 0.1),
        ("word", "blue"),
        ("pair", None),
        ("pair", [1, 1]),
        ("ratios", [0.5, 2]),
        ("amount", 7),
        ("amount", {"red": 2, "blue": 1}),
    ],
)
def test_values_in_range_are_taken(key, value):
    assert getattr(read_section(Ranges, {key: value}), key) == value


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("least", 0, "at least 1, got 0"),
        ("above", 0, "positive, got 0"),
        ("above", -1.5, "positive, got -1.5"),
        ("each", [1, 0], r"positive or null, got \[1, 0\]"),
        ("each", [], r"positive or null, got \[\]"),
        ("share", -0.1, r"in 0\.\.1, got -0.1"),
        ("share", 1.1, r"in 0\.\.1, got 1.1"),
        ("decay", 0, "positive or null, got 0"),
        ("decay", 1.5, r"in 0\.\.1 or null, got 1.5"),
        ("word", "green", "red or blue, got 'green'"),
        ("pair", [1], r"two numbers above 0 or null, got \[1\]"),
        ("pair", [1, 2, 3], r"two numbers above 0 or null, got \[1, 2, 3\]"),
        ("amount", 0, "a number above 0, or such a number for some of red, blue, got 0"),
        ("amount", {}, r"a number above 0, or .*, got \{\}"),
        ("amount", {"green": 1}, "a number above 0, or .*, got {'green': 1}"),
        ("amount", {"red": 0}, "a number above 0, or .*, got {'red': 0}"),
        ("amount", {"red": 1.5}, "a number above 0, or .*, got {'red': 1.5}"),
        ("pair", [0, 1], r"two numbers above 0 or null, got \[0, 1\]"),
        ("pair", [], r"two numbers above 0 or null, got \[\]"),
        ("ratios", [1.0, -1.0], r"two numbers above 0, got \[1.0, -1.0\]"),
    ],
)
def test_values_out_of_range_are_an_error_that_names_the_range(key, value, message):
    with pytest.raises(UserError, match=f"^section.{key} must be {message}$"):
        read_section(Ranges, {key: value}, "section.")


def test_words_that_come_later_count(monkeypatch):
    with pytest.raises(UserError, match="word must be red or blue"):
        read_section(Ranges, {"word": "green"})
    monkeypatch.setitem(WORDS, "green", 3)
    assert read_section(Ranges, {"word": "green"}).word == "green"
