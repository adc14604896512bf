"""Write the tables of README.md and docs/ from the CSV files in benchmarks/results/.

    python benchmarks/tables.py [--check]

A page includes a table by a pair of marks, between which the text is replaced:

    <!-- table: zoo -->
    <!-- end table -->

Tables are `zoo`, `published`, `ablation`, `complexity`, `clutter`, `clutter_seeds`, `clutterbench`, `miniature`,
`precision`, `agreement`, `families FILE` and `families_refused FILE`; `grid FILE DOWN ACROSS` of grid_tables.py; and
those of speed_tables.py: `throughput FILE`, `modes FILE`, `scaling FILE`, `scaling_points FILE`, `prediction FILE` and
`profile FILE KIND`, where FILE is the name of a file in benchmarks/results/ without its suffix.
`--check` writes nothing and fails if a page is out of date.
"""

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from grid_tables import grid
from measuring import RESULTS, read_csv
from networks import build
from speed_tables import NONE, Rows, modes, prediction, profile, scaling, scaling_points, throughput

import fanet  # noqa: F401  registers the models
from fanet.backbone.complexity import count_macs, count_parameters, variants
from fanet.files import atomic_path
from fanet.segmentation.evaluation.clutterbench.axes import AXES
from fanet.segmentation.evaluation.clutterbench.table import Table

ROOT = Path(__file__).parents[1]
SIZES = ("224x224", "512x512", "928x512")  # width x height
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

# Tables 3 and 4 of the paper: its name, the model in timm, millions of parameters, GMACs (None if not printed)
PUBLISHED = (
    ("FocalNet-T", "focalnet_tiny_lrf", "28.6", "4.5"),
    ("FocalNet-B", "focalnet_base_lrf", "88.7", None),
    ("FANet", "fanet_base", "36.7", "5.8"),
)

# Table 2 of the paper: its row, our arguments, mIoU in % on ZeroWaste-f's test split
ABLATION = (
    ("CE + ConvMLP", "scm=False frm=none", "38.15"),
    ("+ SCM", "scm=True frm=none", "47.66"),
    ("+ FRM, high frequencies", "scm=False frm=high", "49.03"),
    ("+ FRM, low frequencies", "scm=False frm=low", "43.99"),
    ("+ FRM, both", "scm=False frm=both", "50.45"),
    ("all: FANet", "", "54.89"),
)


class Complexity:
    """The rows of complexity.py, by network and model."""

    def __init__(self) -> None:
        self.rows = {
            (size, row["network"], row["model"], row["arguments"]): row
            for size in SIZES
            for row in read_csv(f"complexity-{size}-batch1")
        }

    def get(
        self, column: str, model: str, network: str = "classifier", size: str = SIZES[0], arguments: str = ""
    ) -> str:
        """Return a value to two decimal places; a variant that complexity.py has not counted yet is counted here."""
        row = self.rows.get((size, network, model, arguments))
        if row is not None:
            return f"{float(row[column]):.2f}"
        width, height = map(int, size.split("x"))
        counted = build(model if network == "classifier" else f"{network}:{model}", (height, width), device="meta")
        count = count_parameters(counted) / 1e6 if column == "params_m" else count_macs(counted, (height, width)) / 1e9
        return f"{count:.2f}"

    def models(self) -> list[str]:
        """Return the names without arguments, in the order of the file."""
        return [model for size, network, model, arguments in self.rows
                if (size, network, arguments) == (SIZES[0], "classifier", "")]  # fmt: skip


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


def published() -> Rows:
    """Compare parameters and GMACs of the paper's Tables 3 and 4 with those counted here."""
    counts = Complexity()
    rows = [["paper", "timm", "params (M), paper", "params (M)", "GMACs 224×224, paper", "GMACs 224×224",
             "backbone and UperNet: params (M)"]]  # fmt: skip
    for title, name, params, gmacs in PUBLISHED:
        rows.append(
            [
                title,
                f"`{name}`",
                params,
                counts.get("params_m", name),
                gmacs or NONE,
                counts.get("gmacs", name),
                counts.get("params_m", name, "upernet"),
            ]
        )
    return rows


def ablation() -> Rows:
    """List the cost of the rows of the paper's Table 2."""
    counts = Complexity()
    rows = [["paper's Table 2", "arguments of `fanet_base`", "params (M)", "GMACs 224×224", "UperNet: params (M)",
             "UperNet: GMACs 512×512", "mIoU (%), paper"]]  # fmt: skip
    for title, arguments, miou in ABLATION:
        written = ", ".join(f"`{word}`" for word in arguments.replace("=none", '="none"').split())
        written = re.sub(r"frm=(high|low|both)", r'frm="\1"', written)
        rows.append(
            [
                title,
                written or NONE,
                counts.get("params_m", "fanet_base", arguments=arguments),
                counts.get("gmacs", "fanet_base", arguments=arguments),
                counts.get("params_m", "fanet_base", "upernet", arguments=arguments),
                counts.get("gmacs", "fanet_base", "upernet", "512x512", arguments),
                miou,
            ]
        )
    return rows


def complexity() -> Rows:
    """Compare FANet and its peers, as classifiers and under UperNet, at every size."""
    counts = Complexity()
    sizes = [size.replace("x", "×") for size in SIZES]
    rows = [["model", "params (M)", *(f"GMACs {size}" for size in sizes),
             "UperNet: params (M)", *(f"GMACs {size}" for size in sizes)]]  # fmt: skip
    for name in counts.models():
        row = [f"`{name}`"]
        for network in ("classifier", "upernet"):
            row.append(counts.get("params_m", name, network))
            row += [counts.get("gmacs", name, network, size) for size in SIZES]
        rows.append(row)
    return rows


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


TABLES: dict[str, Callable[..., Rows]] = {
    function.__name__: function
    for function in (
        zoo,
        published,
        ablation,
        complexity,
        throughput,
        modes,
        scaling,
        scaling_points,
        prediction,
        profile,
        clutter,
        clutter_seeds,
        clutterbench,
        miniature,
        families,
        families_refused,
        precision,
        agreement,
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
