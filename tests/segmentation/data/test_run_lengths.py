"""COCO's run lengths. Expected values without another source are those of pycocotools 2.0."""

import numpy as np
import pytest

from fanet.errors import UserError
from fanet.segmentation.data.labels.runs import decompress, run_mask

# a disc with stripes, of 40 x 50 pixels
STRIPED = (
    "_:510j01VO00Kg05YO00Me03[O000b00^O0000K`05@0000L?4A0000N=2C00000<OD10000<OD100000L:2F200000M:0F300000N:NF40000"
    "0O:LF5000000;0E00000;0E000000K:4F100000L:2F200000M:0F300000N:NF400000O<1D0000O<1D00000=NC20000?LA40000`0K@5000"
    "0b00^O000e0M[O300g0KYO500j0OVO0e`0"
)


def striped() -> np.ndarray:
    y, x = np.mgrid[:40, :50]
    return ((y - 20) ** 2 + (x - 22) ** 2 < 15**2) & ((x + y) % 7 > 0)


def small() -> np.ndarray:
    mask = np.zeros((6, 8), bool)
    mask[1:3, 1:4] = mask[5, 7] = mask[0, 5] = True
    return mask


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ("7240005O70", small()),
        (b"7240005O70", small()),
        ("b'7240005O70'", small()),
        ([7, 2, 4, 2, 4, 2, 9, 1, 16, 1], small()),
        ("`1", np.zeros((6, 8), bool)),
        ("0`1", np.ones((6, 8), bool)),
    ],
    ids=["string", "bytes", "bytes as text", "numbers", "nothing", "all"],
)
def test_run_lengths_become_a_mask(counts, expected):
    assert (run_mask({"size": [6, 8], "counts": counts}, 6, 8) == expected).all()


def test_golden_string_becomes_its_mask():
    assert (run_mask({"size": [40, 50], "counts": STRIPED}, 40, 50) == striped()).all()


def compress(numbers: list[int]) -> str:
    """Write numbers as pycocotools does, digit by digit."""
    text = ""
    for place, number in enumerate(numbers):
        rest = number - numbers[place - 2] if place > 2 else number
        more = True
        while more:
            digit, rest = rest & 0x1F, rest >> 5
            more = rest != -1 if digit & 0x10 else rest != 0
            text += chr(48 + (digit | 0x20 if more else digit))
    return text


def test_decompressed_numbers_are_those_that_were_compressed():
    rng = np.random.default_rng(0)
    assert compress([7, 2, 4, 2, 4, 2, 9, 1, 16, 1]) == "7240005O70"
    for _ in range(300):
        numbers = rng.integers(0, 10 ** rng.integers(1, 8), size=rng.integers(1, 40)).tolist()
        assert decompress(compress(numbers)).tolist() == numbers


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        ({"counts": "7240005O7"}, "run lengths for"),
        ({"counts": "7240005Oo"}, "damaged"),
        ({"counts": "7 24"}, "damaged"),
        ({"counts": "b'\\x"}, "damaged"),
        ({"counts": "o" * 40 + "0"}, "damaged"),
        ({"counts": "é"}, "damaged"),
        ({"counts": [10**30, 2]}, "whole numbers"),
        ({"counts": [7.5, 2]}, "whole numbers"),
        ({"counts": [-2, 50]}, "for 48 pixels"),
        ({"counts": None}, "whole numbers"),
        ({"counts": "`1", "size": [8, 6]}, r"size \[8, 6\] in an image of 8x6"),
        ({"counts": "`1", "size": 48}, "size 48"),
        ({"counts": "`1", "size": [10**9, 10**9]}, "in an image of 8x6"),
    ],
)
def test_malformed_run_lengths_are_refused(runs, message):
    with pytest.raises(UserError, match=message):
        run_mask({"size": [6, 8]} | runs, 6, 8)
