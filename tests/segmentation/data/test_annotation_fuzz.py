"""Damaged descriptions and annotations are read or refused in one line, in little time and memory."""

import copy
import json
import os
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from fanet.errors import UserError
from fanet.segmentation.data import list_splits, open_dataset

from .forms import write_form

resource = pytest.importorskip("resource", reason="Windows counts no memory by `getrusage`")

MUTATIONS = int(os.environ.get("FANET_MUTATIONS", "60"))  # of each file; `make test-all` tries 500
SECONDS, BYTES = 10, 1 << 30  # that reading a damaged file may take

VALUES: list[Any] = [
    None, True, 0, -1, 3, 0.5, -0.0, 1e308, -1e308, 10**9, -(10**9), 2**31, 2**63, 10**30, float("nan"), float("inf"),
    "", "x", "7", "../..", "\0", "ü", "\ud800", "**", "{name}", "a" * 5000, "/", "images", [], {}, [[]], [None],
    [0] * 7, ["x"] * 6, [[1, 2], [3]], {"size": [10**9, 10**9], "counts": "0"}, {"counts": [10**9] * 3, "size": [6, 8]},
    [[1e300] * 8], [[0, 0, 1e9, 0, 1e9, 1e9]], [[0, 0, 8, 0, 8, 6] * 2000], {"__class__": "x"},
]  # fmt: skip


def nodes(tree: Any) -> Iterator[tuple[Any, Any]]:
    """Yield every container of a tree with each of its keys."""
    for key in list(tree) if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ():
        yield tree, key
        yield from nodes(tree[key])


def mutated_tree(tree: Any, rng: random.Random) -> Any:
    tree = copy.deepcopy(tree)
    for _ in range(rng.choice((1, 1, 2, 5))):
        places = list(nodes(tree))
        if not places:
            break
        parent, key = rng.choice(places)
        action = rng.randrange(6)
        if action == 0:
            del parent[key]
        elif action == 1:
            parent[key] = [parent[key]] * rng.choice((1, 2, 50))
        elif action == 2 and isinstance(parent, list):
            parent.append(copy.deepcopy(parent[key]))
        elif action == 3:
            other, place = rng.choice(places)
            parent[key] = copy.deepcopy(other[place]) if place in other or isinstance(other, list) else None
        else:
            parent[key] = copy.deepcopy(rng.choice(VALUES))
    return tree


def mutated_bytes(data: bytes, rng: random.Random) -> bytes:
    first, second = sorted(rng.randrange(len(data) + 1) for _ in range(2))
    noise = bytes(rng.randrange(256) for _ in range(rng.choice((1, 8, 300))))
    text = data.decode("utf-8")
    return rng.choice(
        (
            data[:first],
            data[:first] + data[second:],
            data[:first] + noise + data[first:],
            data[:first] + data[first:second] * 3 + data[second:],
            noise,
            text.encode("utf-16"),
            b"\xef\xbb\xbf" + data,
            data[:first] + b"[" * 3000 + data[first:],
            data[:first] + b'{"a":' * 3000 + data[first:],
            data[:first] + b"9" * 5000 + data[first:],
            data.replace(b"1", b"1e9"),
            data.replace(b"0", b"-7"),
            data.replace(b"a", b"\0"),
            data.replace(b" ", b"\t"),
            b"",
        )
    )


def mutated_lines(data: bytes, rng: random.Random) -> bytes:
    words = data.decode().split(" ")
    for _ in range(rng.choice((1, 3))):
        place = rng.randrange(len(words))
        words[place] = rng.choice(("", "x", "-1", "1e9", "1e400", "nan", "0x1", "1_0", "7 7", "\n", "0.5\n", "9" * 400))
    return " ".join(words).encode()


def as_json(tree: Any) -> bytes:
    return json.dumps(tree).encode()


def as_yaml(tree: Any) -> bytes:
    return yaml.safe_dump(tree).encode()


FILES: list[tuple[str, str, Callable | None, Callable | None]] = [
    ("coco", "objects.json", json.loads, as_json),
    ("labelme", "labels/a.json", json.loads, as_json),
    ("yolo", "labels/a.txt", None, None),
    ("yolo", "data.yaml", yaml.safe_load, as_yaml),
    *((kind, "dataset.yaml", yaml.safe_load, as_yaml) for kind in ("index", "colour", "coco", "yolo", "labelme")),
]


def read_all(root: Path) -> str:
    """Read every sample of a data set; return the first refusal, or nothing."""
    try:
        for split in list_splits("folder", root):
            dataset = open_dataset("folder", root, split, strict=False)
            for index in range(len(dataset)):
                dataset[index]
            for note in dataset.notes:
                assert "\n" not in note
    except UserError as error:
        assert "\n" not in str(error), "a refusal is one line"
        return str(error)
    return ""


@pytest.mark.parametrize(("kind", "name", "load", "dump"), FILES, ids=[f"{file[0]}-{file[1]}" for file in FILES])
def test_damaged_file_is_read_or_refused(tmp_path, kind, name, load, dump):
    root = write_form(tmp_path, kind)
    assert read_all(root) == ""
    path, rng = root / name, random.Random(f"{kind} {name}")
    good = path.read_bytes()
    tree = load(good.decode()) if load else None
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    refused = 0
    for number in range(MUTATIONS):
        if number % 3 == 0:
            data = mutated_bytes(good, rng)
        elif dump:
            data = dump(mutated_tree(tree, rng))
        else:
            data = mutated_lines(good, rng)
        path.write_bytes(data)
        start = time.process_time()
        try:
            refused += read_all(root) != ""
        except Exception as error:
            raise AssertionError(f"mutation {number}: {data[:2000]!r}") from error
        assert time.process_time() - start < SECONDS, data[:2000]
    assert refused > MUTATIONS / 10, "most damage is noticed"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before < BYTES
