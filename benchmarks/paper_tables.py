"""The tables of `tables.py` about the paper's own: its figures, beside what is counted and measured here."""

import re

from grid_tables import spread
from measuring import RESULTS, read_csv
from networks import build
from speed_tables import NONE, Rows

from fanet.backbone.complexity import count_macs, count_parameters

SIZES = ("224x224", "512x512", "928x512")  # width x height

# Tables 1 and 3 of the paper: its row, the place in grids/zerowaste.yaml, mIoU and pixel accuracy in % on ZeroWaste-f's
# test split (None if not printed). Table 3 has 54.26 for FocalNet-B.
ZEROWASTE = (
    ("CCT", "cct", "29.32", "85.91"),
    ("ReCo", "reco", "52.28", "89.33"),
    ("DeepLabv3+", "deeplabv3plus", "52.13", "91.38"),
    ("FocalNet-T", "focalnet_tiny", "51.71", None),
    ("FocalNet-B", "focalnet_base", "53.26", "91.28"),
    ("FANet", "fanet", "54.89", "91.41"),
)

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


def zerowaste() -> Rows:
    """Compare the paper's Tables 1 and 3 with the runs of grids/zerowaste.yaml, if there are any."""
    stem = "grid-zerowaste"
    runs = read_csv(stem) if (RESULTS / f"{stem}.csv").exists() else []
    rows = [["method", "recipe", "mIoU (%), paper", "pixel accuracy (%), paper", "mIoU (%), here", "seeds"]]
    for title, method, miou, accuracy in ZEROWASTE:
        here = [row for row in runs if row["method"] == method]
        recipe = "zerowaste" if method == "fanet" else f"zerowaste_{method}"
        rows.append([title, f"`{recipe}`", miou, accuracy or NONE, spread(here), str(len(here)) if here else NONE])
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
