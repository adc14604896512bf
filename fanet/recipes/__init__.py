"""Recipes: experiments as YAML files, each with its expected result, cost and command in the header.

A recipe states every setting, so the file shows what runs, and overriding a key that is not in it is an error. One of
your own may begin with `base: NAME` and state what differs from that recipe.

There are two kinds: for segmentation, read by `load_recipe` and run by `fanet train`; and for ImageNet, read by timm's
train.py itself, by `-c`.
"""

import difflib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import takewhile
from pathlib import Path

import yaml

from fanet.errors import UserError, one_line
from fanet.unique_keys import UniqueKeyLoader

FOLDER = Path(__file__).parent
FREE_SUFFIX = "_kwargs"  # a mapping with this suffix is passed to a constructor, so it may have any key
TIMM_KEY = "device_modules"  # only recipes for timm's train.py have this key, which makes it register the models
BASE_KEY = "base"  # the recipe that another one changes
RECIPE_NAME = "recipe.yaml"  # in a folder that is named as a recipe


class _Loader(UniqueKeyLoader):
    """YAML as people write it: plain PyYAML reads 3e-3 as a string, because it has no decimal point."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def available() -> list[str]:
    """Return the names of the recipes that come with the package."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def recipe_path(name: str) -> Path:
    """Return the file of a recipe that comes with the package.

    Raises:
        UserError: There is no recipe of this name.
    """
    if name not in available():
        raise UserError(
            f"there is no recipe {name!r}{_suggestion(name, available())}; choose one of {', '.join(available())}, "
            "or give your own file with its suffix, .yaml, or a folder with a recipe.yaml"
        )
    return FOLDER / f"{name}.yaml"


def is_for_timm(path: str | Path) -> bool:
    """Return whether a recipe is for timm's train.py, not for `fanet train`.

    Raises:
        UserError: The file cannot be read or is not a recipe.
    """
    return TIMM_KEY in _read(Path(path))


def summary(path: str | Path) -> str:
    """Return the first sentence of a recipe's header."""
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    header = " ".join(line.lstrip("# ") for line in takewhile(lambda line: line.startswith("#"), lines))
    return re.split(r"(?<=\.) |(?<=[:;]) ", header, maxsplit=1)[0].rstrip(".:;")


def load_recipe(name_or_path: str | Path, overrides: Sequence[str] = (), optional: Collection[str] = ()) -> dict:
    """Read a recipe for segmentation and override single values.

    Args:
        name_or_path: A name from `available()`, a YAML file, or a folder with a `recipe.yaml`. A file that has the key
            `base` states only what differs from that recipe, a name or a path relative to the file. Where it reads a
            `folder` and `data.root` is null, the data is in the file's own folder.
        overrides: `KEY=VALUE` each, KEY with dots between the levels, VALUE in YAML: `optimizer.lr=1e-3`,
            `data.size=[128, 128]`. A key must be in the recipe, except below a mapping called `…_kwargs`.
        optional: Keys that may be overridden even if they are not in the recipe.

    Raises:
        UserError: There is no such recipe, it is not a YAML mapping, it is for timm's train.py, or an override has no
            value or an unknown key.
    """
    path = _located(name_or_path)
    recipe = _with_base(path)
    if TIMM_KEY in recipe:
        raise UserError(
            f"the recipe {name_or_path} is for timm's train.py, not for segmentation: "
            f"fanet run train.py -c {path} --data-dir IMAGENET"
        )
    for override in overrides:
        _override(recipe, override, optional)
    data = recipe.get("data")
    is_own = path.parent != FOLDER
    if is_own and isinstance(data, dict) and data.get("dataset") == "folder" and data.get("root") is None:
        data["root"] = str(path.parent)
    return recipe


def flatten(recipe: Mapping, prefix: str = "") -> Iterator[tuple[str, object]]:
    """Yield pairs of dotted key and value, in the recipe's order; an empty mapping counts as a value."""
    for key, value in recipe.items():
        if isinstance(value, Mapping) and value:
            yield from flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def unknown_key(key: str, known: Sequence[str]) -> UserError:
    """Build the error for an unknown dotted key; it suggests similar keys."""
    return UserError(f"the recipe has no key {key!r}{_suggestion(key, known)}")


def _located(name_or_path: str | Path) -> Path:
    path = Path(name_or_path)
    if path.suffix in (".yaml", ".yml"):
        return path
    if str(name_or_path) not in available() and path.is_dir():
        return path / RECIPE_NAME
    return recipe_path(str(name_or_path))


def _with_base(path: Path, changed: tuple[Path, ...] = ()) -> dict:
    """Read a recipe and lay it over the one that it changes, section by section.

    Raises:
        UserError: It or its base cannot be read, or it is its own base.
    """
    recipe = _read(path)
    base = recipe.pop(BASE_KEY, None)
    if base is None:
        return recipe
    if not isinstance(base, str):
        raise UserError(f"{path}: base must be the name of a recipe or a YAML file, got {base!r}")
    if path.resolve() in changed:
        raise UserError(f"{path} is its own base: name another recipe")
    is_file = Path(base).suffix in (".yaml", ".yml")
    merged = _with_base(path.parent / base if is_file else recipe_path(base), (*changed, path.resolve()))
    for key, value in recipe.items():
        is_section = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merged[key] | value if is_section else value
    return merged


def _read(path: Path) -> dict:
    try:
        recipe = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)
    except OSError as error:
        raise UserError(f"cannot read the recipe {path}: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid YAML: {one_line(error)}") from error
    if not isinstance(recipe, dict):
        raise UserError(f"{path} is not a recipe: it must be a mapping of keys to values")
    return recipe


def _override(recipe: dict, override: str, optional: Collection[str]) -> None:
    key, equals, text = override.partition("=")
    if not equals or not key:
        raise UserError(f"{override!r} changes nothing: write KEY=VALUE, for example optimizer.lr=1e-3")
    try:
        value = yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise UserError(f"the value of {override!r} is not valid YAML: {one_line(error)}") from error
    known = list(dict.fromkeys([*(name for name, _ in flatten(recipe)), *optional]))
    *levels, last = key.split(".")
    section = recipe
    is_free = key in optional or any(name.endswith(FREE_SUFFIX) and key.startswith(f"{name}.") for name in optional)
    for level in levels:
        inner = section.setdefault(level, {}) if is_free else section.get(level)
        if not isinstance(inner, dict):
            raise unknown_key(key, known)
        section, is_free = inner, is_free or level.endswith(FREE_SUFFIX)
    if not is_free and last not in section:
        raise unknown_key(key, known)
    section[last] = value


def _suggestion(name: str, known: Sequence[str]) -> str:
    by_last_part = {candidate.rpartition(".")[2]: candidate for candidate in known}
    close = difflib.get_close_matches(name, known, n=3)
    close += [by_last_part[part] for part in difflib.get_close_matches(name.rpartition(".")[2], by_last_part, n=3)]
    return f": did you mean {' or '.join(dict.fromkeys(close))}?" if close else ""
