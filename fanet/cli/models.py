"""`fanet models`."""

import argparse
import csv
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from fanet.cli.arguments import example

COLUMNS = ("model", "depths", "dims", "params_m", "gmacs_224", "gmacs_512", "weights")
HEADINGS = ("model", "depths", "dims", "params (M)", "GMACs 224", "GMACs 512", "weights")
NUMBERS = ("params_m", "gmacs_224", "gmacs_512", "mb")  # right-aligned columns
TRAINED_COLUMNS = ("model", "backbone", "mb", "trained_on", "classes", "score", "license")
TRAINED_HEADINGS = ("model", "backbone", "MB", "trained on", "classes", "score", "license")


def add_parser(subparsers: argparse._SubParsersAction) -> None:
    """Add the subcommand."""
    parser = subparsers.add_parser(
        "models",
        help="list the variants of FANet",
        description="Lists the variants of FANet with what they cost: millions of parameters with a classifier for "
        "1000 classes, and billions of multiply-accumulates (1 MAC = 2 FLOPs) for one image of 224x224 and of "
        "512x512, in convolutions, linear layers and matrix products. Both are counted, not looked up. With --trained, "
        "lists what the package holds: segmentation models, which --model and model.init_from take by name, and "
        "pretrained backbones, which timm.create_model and model.pretrained_backbone take.",
        epilog=example("fanet models", "fanet models --trained", "fanet models --csv"),
    )
    parser.add_argument("--trained", action="store_true", help="list the trained models inside the package instead")
    parser.add_argument("--csv", action="store_true", help="print comma-separated values")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the table."""
    if args.trained:
        columns, headings, rows = TRAINED_COLUMNS, TRAINED_HEADINGS, trained()
    else:
        columns, headings, rows = COLUMNS, HEADINGS, _rows(none="" if args.csv else "—")
    if args.csv:
        csv.writer(sys.stdout, lineterminator="\n").writerows([columns, *rows])
    else:
        print("\n".join(_aligned([headings, *rows], columns)))
    return 0


def trained() -> list[list[str]]:
    """Return a row of text for every trained model and every pretrained backbone inside the package."""
    import timm

    import fanet  # noqa: F401  registers the models
    from fanet.segmentation.network.shipped import FOLDER, about, shipped_models

    rows = []
    for name in shipped_models():
        config = json.loads((FOLDER / name / "config.json").read_text(encoding="utf-8"))
        size = (FOLDER / name / "model.safetensors").stat().st_size
        known = about(name)
        what = known["trained_on"], ", ".join(config["classes"]), known["score"], known["license"]
        rows.append([name, config["backbone"], f"{size / 1e6:.1f}", *what])
    for name in timm.list_pretrained("*fanet*"):
        cfg = timm.get_pretrained_cfg(name)
        if cfg and cfg.file:
            file = Path(cfg.file)
            known = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
            what = known["trained_on"], f"{cfg.num_classes}, for classification", known["score"], known["license"]
            rows.append([name, str(cfg.architecture), f"{file.stat().st_size / 1e6:.1f}", *what])
    return rows


def _rows(none: str) -> list[list[str]]:
    """Return a row of text for every variant; `none` is shown for missing weights."""
    from fanet.backbone.complexity import variants

    return [
        [
            variant.name,
            "-".join(map(str, variant.depths)),
            "-".join(map(str, variant.dims)),
            f"{variant.params / 1e6:.2f}",
            *(f"{macs / 1e9:.2f}" for macs in variant.macs),
            variant.weights or none,
        ]
        for variant in variants()
    ]


def _aligned(rows: Sequence[Sequence[str]], columns: Sequence[str]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if column in NUMBERS else cell.ljust(width)
            for column, cell, width in zip(columns, row, widths, strict=True)
        ).rstrip()
        for row in rows
    ]
