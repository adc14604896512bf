"""Write the tables of README.md and docs/ from the CSV files in benchmarks/results/.

    python benchmarks/tables.py [--check]

A page includes a table by a pair of marks, between which the text is replaced:

    <!-- table: zoo -->
    <!-- end table -->

Tables are `zoo`, `inside`, `clutter`, `clutter_seeds`, `clutterbench`, `clutterbench_networks`, `miniature`,
`precision`, `agreement`, `scene_objects`, `purity FILE`, `likeness FILE`, `families FILE` and `families_refused FILE`;
`zerowaste`, `published`, `ablation` and `complexity` of paper_tables.py; `grid FILE DOWN ACROSS`, `classes FILE`,
`differences FILE` and `costs FILE` of grid_tables.py; and those of speed_tables.py: `throughput FILE`, `modes FILE`,
`scaling FILE`, `scaling_points FILE`, `prediction FILE`, `profile FILE KIND`, `kept FILE` and `training_steps FILE`.
FILE is the name of a file in benchmarks/results/ without its suffix.
`--check` writes nothing and fails if a page is out of date.
"""

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from clutterbench_networks import clutterbench_networks
from grid_tables import classes, costs, differences, grid
from measuring import RESULTS, read_csv
from paper_tables import Complexity, ablation, complexity, published, zerowaste
from speed_tables import (
    NONE,
    Rows,
    kept,
    modes,
    prediction,
    profile,
    scaling,
    scaling_points,
    throughput,
    training_steps,
)

import fanet  # noqa: F401  registers the models
from fanet.backbone.complexity import variants
from fanet.cli.models import trained
from fanet.files import atomic_path
from fanet.segmentation.evaluation.clutterbench.axes import AXES
from fanet.segmentation.evaluation.clutterbench.table import Table

ROOT = Path(__file__).parents[1]
MARKS = re.compile(r"(<!-- table: ([^>]+?) -->\n).*?(<!-- end table -->)", re.DOTALL)

CLUTTER_DIFFICULTIES = ("0.2", "0.5", "1")

# Columns of families.py, and what they are in words
FAMILY_STEPS = {
    "build": "build",
    "odd_size": "predict an image of 97×131",
    "train": "train a step",
    "save": "save",
    "load": "load",
    "predict": "predict the same labels",
    "layer_decay": "layer-wise learning rates",
    "no_weight_decay": "parameters without weight decay",
}
NOT_TRIED = "-"


def zoo() -> Rows:
    """List the variants: architecture, cost as a classifier and under UperNet, weights."""
    counts = Complexity()
    rows = [["model", "depths", "dims", "params (M)", "GMACs 224×224", "GMACs 512×512",
             "UperNet: params (M)", "UperNet: GMACs 928×512", "weights"]]  # fmt: skip
    for variant in variants(sizes=()):
        name = variant.name
        rows.append(
            [
                f"`{name}`",
                ", ".join(map(str, variant.depths)),
                ", ".join(map(str, variant.dims)),
                counts.get("params_m", name),
                counts.get("gmacs", name),
                counts.get("gmacs", name, size="512x512"),
                counts.get("params_m", name, "upernet"),
                counts.get("gmacs", name, "upernet", "928x512"),
                f"`{variant.weights}`" if variant.weights else NONE,
            ]
        )
    return rows


def inside() -> Rows:
    """List the trained models inside the package."""
    return [["model", "backbone", "MB", "trained on", "classes", "score", "license"],
            *([f"`{name}`", f"`{backbone}`", *rest] for name, backbone, *rest in trained())]  # fmt: skip


def clutter() -> Rows:
    """Format the files of clutter.py for the shipped model: a row per difficulty and method, scores in %."""
    rows: Rows = []
    for difficulty in CLUTTER_DIFFICULTIES:
        for row in read_csv(f"clutter-fanet_pico_clutter-test500-256x256-difficulty{difficulty}"):
            classes = [key for key in row if key.startswith("iou_")]
            names = [key.removeprefix("iou_").removesuffix("_percent") for key in classes]
            rows = rows or [["difficulty", "", "mIoU (%)", "pixel accuracy (%)", *(f"{name} (%)" for name in names)]]
            scores = [f"{float(row[key]):.1f}" for key in ("pixel_accuracy_percent", *classes)]
            method = row["method"].replace("fanet_pico_clutter", "the model")
            rows.append([difficulty, method, miou_interval(row), *scores])
    return rows


def clutterbench() -> Rows:
    """List the mIoU of the shipped model along each axis of ClutterBench, with the interval of the lowest."""
    table = Table(RESULTS / "clutterbench-clutter-test100-256x256.csv")
    rows: Rows = [["axis", "unit", "mIoU (%)", "lowest, with its 95 % interval"]]
    for axis in AXES.values():
        points = table.curve("clutter", axis.name)
        curve = ", ".join(f"{axis.shown(float(row['value'])):g}: {float(row['miou_percent']):.1f}" for row in points)
        lowest = min(points, key=lambda row: float(row["miou_percent"]))
        rows.append([axis.title, axis.unit, curve, miou_interval(lowest)])
    return rows


def clutter_seeds() -> Rows:
    """Format the files of clutter.py for trainings that differ in the seed: mIoU by difficulty."""
    rows: Rows = [["seed", *(f"mIoU (%) at difficulty {x}" for x in CLUTTER_DIFFICULTIES)]]
    for seed in ("0", "1", "2"):
        stems = [f"clutter-seed{seed}-test500-256x256-difficulty{x}" for x in CLUTTER_DIFFICULTIES]
        rows.append([seed, *(miou_interval(read_csv(stem)[0]) for stem in stems)])
    return rows


def miou_interval(row: dict[str, str]) -> str:
    """Format the mIoU of a row of clutter.py or of ClutterBench with its bootstrap interval."""
    low, high = float(row["miou_low_percent"]), float(row["miou_high_percent"])
    return f"{float(row['miou_percent']):.1f} ({low:.1f} to {high:.1f})"


def miniature() -> Rows:
    """Format the files of imagenet_miniature.py: a row per seed."""
    stem = "fanet_pico-4800x64px-15epochs-2x32"
    steps = {row["seed"]: row for row in read_csv(f"imagenet_miniature_steps-{stem}")}
    rows: Rows = [
        [
            "seed",
            "top-1 (%)",
            "colour baseline (%)",
            "chance (%)",
            "step: data (ms)",
            "forward",
            "backward",
            "optimiser",
        ]
    ]
    for row in read_csv(f"imagenet_miniature-{stem}"):
        if row["difficulty"] == "all":
            step = steps[row["seed"]]
            scores = [f"{float(row[key]):.1f}" for key in ("top1_percent", "colour_baseline_percent", "chance_percent")]
            parts = [step[f"{part}_ms"] for part in ("data", "forward", "backward", "optimiser")]
            rows.append([row["seed"], *scores, *parts])
    return rows


def families(stem: str) -> Rows:
    """Count how often each step of families.py succeeds."""
    results = ("ok", "refused", "failed", NOT_TRIED)
    found = read_csv(stem)
    rows: Rows = [["step", "works", "refused", "fails", "not tried"]]
    for step, title in FAMILY_STEPS.items():
        rows.append([title, *(str(sum(row[step] == result for row in found)) for result in results)])
    every = sum(all(row[step] == "ok" for step in FAMILY_STEPS) for row in found)
    return [*rows, ["all of these", str(every), NONE, NONE, NONE]]


def families_refused(stem: str) -> Rows:
    """List the families of families.py for which a step does not succeed, with the reason."""
    rows: Rows = [["family", "model", "what does not work"]]
    for row in read_csv(stem):
        if any(row[step] != "ok" for step in FAMILY_STEPS):
            model = NONE if row["model"] == NOT_TRIED else f"`{row['model']}`"
            rows.append([f"`{row['family']}`", model, row["reason"].replace("|", "\\|")])
    return rows


def precision() -> Rows:
    """Return the file of precision.py: a row for each model and precision, pixels with float32's label in %."""
    rows: Rows = [["model", "precision", "all scenes (%)", "worst scene (%)", "the scene inside the package (%)"]]
    keys = ("model", "precision", "all_percent", "worst_percent", "demo_percent")
    return rows + [[row[key] for key in keys] for row in read_csv("precision-cpu-50x128px")]


def agreement() -> Rows:
    """Return the file of agreement.py: a row for each engine, pixels with the label of eager in float32 in %."""
    kinds = ("scenes", "photographs")
    rows: Rows = [["engine", *(word for kind in kinds for word in (f"{kind} (%)", f"worst of the {kind} (%)"))]]
    keys = ("scenes_percent", "worst_scene_percent", "photographs_percent", "worst_photograph_percent")
    for row in read_csv("agreement-50x320px"):
        rows.append([f"`{row['engine']}`", *(row[key] or NONE for key in keys)])
    return rows


def scene_objects() -> Rows:
    """Format the files of scene_objects.py: numbers of objects and errors of their area, by difficulty and class."""
    rows: Rows = [["difficulty", "class", "true objects", "found", "matched", "error of the total area (%)",
                   "mean error of a matched object's area (%)"]]  # fmt: skip
    keys = ("true_objects", "found_objects", "matched_objects", "area_error_percent", "matched_area_error_percent")
    for difficulty in CLUTTER_DIFFICULTIES[:2]:
        for row in read_csv(f"scene_objects-100x256px-difficulty{difficulty}-min64px"):
            rows.append([difficulty, row["class"], *(row[key] for key in keys)])
    return rows


def purity(stem: str) -> Rows:
    """Format a file of purity.py: how often the promise is kept, and what is still called, by purity and way."""
    rows: Rows = [["purity (%)", "method", "calibration images", "kept (%)", "coverage (%)", "coverage by class (%)"]]
    for row in read_csv(stem):
        way = {"drawn": "drawn with replacement", "halves": "a half"}[row["way"]]
        method = "`fanet calibrate`" if row["method"] == "betting" else "normal approximation"
        asked, images = f"{100 * float(row['purity']):g}", f"{row['images']}, {way}"
        classes = row["coverage_by_class_percent"].replace("; ", ", ")
        rows.append([asked, method, images, row["kept_percent"], row["coverage_percent"], classes])
    return rows


def likeness(stem: str) -> Rows:
    """Format the file of likeness.py: images taken for unlike the calibration's, by number of calibration images."""
    shares = {(row["images"], row["calibration_images"]): row["unlike_percent"] for row in read_csv(stem)}
    counts = list(dict.fromkeys(count for _, count in shares))
    rows: Rows = [["new images", *(f"warned of with {count} calibration images (%)" for count in counts)]]
    return rows + [[kind, *(shares[kind, count] for count in counts)] for kind in dict.fromkeys(k for k, _ in shares)]


TABLES: dict[str, Callable[..., Rows]] = {
    function.__name__: function
    for function in (
        zoo,
        inside,
        zerowaste,
        published,
        ablation,
        complexity,
        throughput,
        modes,
        scaling,
        scaling_points,
        prediction,
        profile,
        kept,
        training_steps,
        clutter,
        clutter_seeds,
        clutterbench,
        clutterbench_networks,
        miniature,
        families,
        families_refused,
        precision,
        agreement,
        scene_objects,
        purity,
        likeness,
        classes,
        costs,
        differences,
        grid,
    )
}


def markdown(rows: Rows) -> str:
    """Format a Markdown table: the first row is its header, columns of numbers are right-aligned."""
    head, *body = rows
    numeric = [all(cell == NONE or re.match(r"[\d.]+( \(|$)", cell) for cell in column)
               for column in zip(*body, strict=True)]  # fmt: skip
    rule = ["---:" if is_numeric else "---" for is_numeric in numeric]
    return "".join(f"| {' | '.join(row)} |\n" for row in [head, rule, *body])


def update(text: str) -> str:
    """Return a page with all its tables updated.

    Raises:
        ValueError: It includes an unknown table.
    """

    def table(match: re.Match[str]) -> str:
        name, *arguments = match[2].split()
        if name not in TABLES:
            raise ValueError(f"unknown table {name!r}: use one of {', '.join(TABLES)}")
        return match[1] + markdown(TABLES[name](*arguments)) + match[3]

    return MARKS.sub(table, text)


def pages() -> list[Path]:
    """Return the pages that may include tables."""
    readme = ROOT / "README.md"
    return [*([readme] if readme.exists() else []), *sorted((ROOT / "docs").rglob("*.md"))]


def main(argv: Sequence[str]) -> int:
    """Write all tables, or check them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a page is out of date")
    args = parser.parse_args(argv)
    stale = [(page, text) for page in pages() if (text := update(page.read_text())) != page.read_text()]
    for page, text in stale:
        if not args.check:
            with atomic_path(page) as temporary:
                temporary.write_text(text)
        print(f"{page.relative_to(ROOT)} {'is out of date: run make tables' if args.check else 'written'}")
    return int(args.check and bool(stale))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
