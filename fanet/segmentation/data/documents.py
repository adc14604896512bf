"""Read the text files in which people describe data: JSON, YAML and lines of numbers."""

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml

from fanet.errors import UserError, one_line
from fanet.unique_keys import UniqueKeyLoader


def read_text(path: Path) -> str:
    """Return the text of a file, without a byte order mark.

    Raises:
        UserError: The file cannot be read, or is not text in UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not text in UTF-8 (at byte {error.start}): save it as UTF-8") from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:  # a name that no file can have
        raise UserError(f"cannot read {path!r}: {error}") from error


def read_json(path: Path, object_hook: Callable[[dict[str, Any]], Any] | None = None) -> Any:
    """Return what a JSON file holds.

    Args:
        path: The file.
        object_hook: Called with every object, inner ones first; what it returns takes the object's place.

    Raises:
        UserError: The file cannot be read, is not JSON, or an object in it has a key twice.
    """
    text = read_text(path)

    def unique(pairs: list[tuple[str, Any]]) -> Any:
        found = dict(pairs)
        if len(found) < len(pairs):
            keys = [key for key, _ in pairs]
            repeated = next(key for key in found if keys.count(key) > 1)
            raise UserError(f"{path} has the key {repeated!r} twice in one object: keep one of them")
        return object_hook(found) if object_hook else found

    try:
        return json.loads(text, object_pairs_hook=unique)
    except UserError:
        raise
    except RecursionError:
        raise UserError(f"{path} is not valid JSON: it is nested too deeply") from None
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON: {one_line(error)}") from error


def read_yaml(path: Path) -> Any:
    """Return what a YAML file holds.

    Raises:
        UserError: The file cannot be read, is not YAML, or has a key twice.
    """
    text = read_text(path)
    try:
        return yaml.load(text, Loader=UniqueKeyLoader)
    except RecursionError:
        raise UserError(f"{path} is not valid YAML: it is nested too deeply") from None
    # Beside its own errors, PyYAML passes on those of Python at dates, numbers and binary values that do not exist.
    except (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
        raise UserError(f"{path} is not valid YAML: {one_line(error)}") from error


def numbered_lines(lines: Sequence[str]) -> dict[int, str] | None:
    """Return names by the numbers before them, `0 can`, `1: can` or `2. can`; None if the lines are names as they are.

    Numbers without a colon or the like may be a part of the name, `2 axle truck`: these must rise from 0 or 1.
    """
    for mark, is_clear in ((r"\s*[:;=]\s*", True), (r"[.,]\s+", False), (r"\s+", False)):
        found = [re.fullmatch(rf"(\d{{1,9}}){mark}(\S.*)", line) for line in lines]
        entries = [(int(match[1]), match[2].strip()) for match in found if match is not None]
        named = dict(entries)
        if not entries or not len(lines) == len(entries) == len(named) == len(set(named.values())):
            continue
        if is_clear or (list(named) == sorted(named) and entries[0][0] in (0, 1)):
            return named
    return None
