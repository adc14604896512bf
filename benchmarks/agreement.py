"""Measure on how many pixels every engine gives the labels of eager PyTorch in float32.

    python benchmarks/agreement.py --photographs DIR
    python benchmarks/agreement.py --engine openvino openvino:bf16 --count 20 --size 256

The model inside the package, or another, segments generated scenes and, if a folder is given, photographs from it and
its subfolders, the first by name: enlarged or reduced so that they cover a square of `--size` pixels, and cut to its
middle. Writes `benchmarks/results/agreement-<count>x<size>px.csv`, a row for each engine: the share of pixels with
eager's label, in %, over all images of a kind together and in the worst of them.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from measuring import RESULTS, write_csv
from PIL import Image, ImageOps

from fanet.errors import UserError
from fanet.media.formats import IMAGE_SUFFIXES
from fanet.media.images import read_image
from fanet.scenes import scene
from fanet.segmentation.network.shipped import load_predictor

ENGINES = ("eager:bf16", "compile", "compile:bf16", "onnx", "openvino", "openvino:bf16")
COLUMNS = ("engine", "scenes_percent", "worst_scene_percent", "photographs_percent", "worst_photograph_percent")


def photographs(folder: Path, count: int, size: int) -> Iterator[np.ndarray]:
    """Yield the first photographs below a folder, (size, size, 3) uint8."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in IMAGE_SUFFIXES)
    for path in paths[:count]:
        yield np.asarray(ImageOps.fit(Image.fromarray(read_image(path)), (size, size)))


def shares(found: Sequence[np.ndarray], expected: Sequence[np.ndarray]) -> tuple[str, str]:
    """Return the share of equal labels in %, over all label maps and in the worst; empty without label maps."""
    equal = [100 * float(np.mean(a == b)) for a, b in zip(found, expected, strict=True)]
    return (f"{np.mean(equal):.3f}", f"{min(equal):.3f}") if equal else ("", "")


def measure(args: argparse.Namespace) -> list[dict[str, str]]:
    """Run every engine on the same images, and print its row."""
    size = args.size
    scenes = [scene(7, index, size=(size, size), difficulty=0.5)[0] for index in range(args.count)]
    photos = list(photographs(args.photographs, args.count, size)) if args.photographs else []
    images = [*scenes, *photos]
    reference = load_predictor(args.model)
    expected = [reference.labels(image) for image in images]
    rows = []
    for spec in args.engine:
        engine, _, precision = spec.partition(":")
        try:
            predictor = load_predictor(args.model, engine=engine, precision=precision or None)
            found = [predictor.labels(image) for image in images]
        except UserError as error:
            print(f"{spec} is left out: {error}")
            continue
        count = len(scenes)
        values = (spec, *shares(found[:count], expected[:count]), *shares(found[count:], expected[count:]))
        rows.append(dict(zip(COLUMNS, values, strict=True)))
        print(rows[-1], flush=True)
    return rows


def main(argv: Sequence[str]) -> int:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--engine", nargs="+", default=ENGINES, metavar="E", help="NAME or NAME:bf16 (default: all)")
    parser.add_argument("--model", metavar="M", help="as for `fanet predict` (default: the one inside the package)")
    parser.add_argument("--photographs", type=Path, metavar="DIR", help="folder of photographs (default: none)")
    parser.add_argument("--count", type=int, default=50, help="scenes, and photographs at most (default: %(default)s)")
    parser.add_argument("--size", type=int, default=320, help="side in pixels (default: %(default)s)")
    parser.add_argument("--threads", type=int, metavar="N", help="torch threads (default: torch's own)")
    parser.add_argument("--output", type=Path, default=RESULTS, metavar="DIR", help="folder (default: %(default)s)")
    args = parser.parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    write_csv(args.output / f"agreement-{args.count}x{args.size}px.csv", COLUMNS, measure(args))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
