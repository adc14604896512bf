"""Try the smallest model of every family in timm as the backbone of a segmentation model.

    python benchmarks/families.py                         # continues where it stopped
    python benchmarks/families.py --only maxxvit hrnet    # these again

A family is a module of timm. Its smallest model that offers feature maps, test models aside, is tried under UperNet
with random weights, in a process of its own that may take 5 minutes and address 8 GB. Writes
`benchmarks/results/families-timm<version>.csv`:

family, model      module and name in timm
params_m           millions of parameters of the model
build              with a decoder 8 channels wide
odd_size           labels of an image of 97x131 pixels
train              loss and finite gradients of two images of 64x64 pixels, or of the model's own size
save, load         to a folder, and from there
predict            the loaded model's labels are those before, at 97x131 or the model's own size
layer_decay        timm's optimizer with layer-wise learning rates has more than two of them
no_weight_decay    names of parameters without weight decay exist
unused             number of parameters that get no gradient, as no feature map depends on them
reason             why steps are not ok

A step is "ok", "refused" with one line for the user (UserError), "failed" with any other error, or "-" if it was not
tried, because the step before it did not succeed.
"""

import argparse
import csv
import logging
import math
import multiprocessing
import os
import resource
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
import torch.nn.functional as F
from timm.models import get_pretrained_cfg
from timm.optim import create_optimizer_v2
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from fanet.errors import UserError, one_line
from fanet.files import atomic_path, make_folder
from fanet.segmentation import SegmentationModel

RESULTS = Path(__file__).parent / "results"
STEPS = ("build", "odd_size", "train", "save", "load", "predict", "layer_decay", "no_weight_decay")
COLUMNS = ("family", "model", "params_m", *STEPS, "unused", "reason")
NUM_CLASSES = 3
ODD = (97, 131)
SIDE = 64
MOST_PARAMETERS = 40e6
SECONDS = 300
BYTES = 8 << 30
Row = dict[str, str]


class TooLarge(Exception):
    """A model has more parameters than another."""


def parameters(name: str, most: float = math.inf) -> int:
    """Count the parameters of a model with feature maps, its classifier included.

    Raises:
        TooLarge: There are more than `most`; building stops there.
    """
    count = 0

    def add(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        nonlocal count
        count += 0 if parameter is None else parameter.numel()
        if count > most:
            raise TooLarge

    hook = register_module_parameter_registration_hook(add)
    try:
        timm.create_model(name, device="meta", features_only=True)
    finally:
        hook.remove()
    return count


def smallest(family: str) -> tuple[str, int, str]:
    """Return the smallest model of a family that offers feature maps, its parameters, and why if there is none."""
    best, fewest, reason = "", math.inf, "only test models"
    for name in timm.list_models(module=family, exclude_filters="test_*"):
        try:
            best, fewest = name, parameters(name, fewest - 1)
        except TooLarge:
            continue
        except Exception as error:  # of any kind: the sweep finds out which
            reason = f"{type(error).__name__}: {one_line(error)}"
    return best, int(fewest) if best else 0, reason


def without_classifier(name: str) -> int:
    """Count the parameters of what computes the feature maps; VGG's are a small part of the model."""
    network = timm.create_model(name, device="meta", features_only=True)
    return sum(parameter.numel() for parameter in network.parameters())


def image(size: Sequence[int]) -> np.ndarray:
    """An image of noise, (H, W, 3) uint8."""
    return np.random.default_rng(0).integers(256, size=(*size, 3), dtype=np.uint8)


def own_size(name: str) -> tuple[int, int]:
    """Height and width that a model is built for."""
    cfg: Any = get_pretrained_cfg(name)
    return tuple(cfg.input_size[1:])


def train(network: SegmentationModel) -> int:
    """Take the gradients of one step and return the number of parameters without one.

    Raises:
        ValueError: A gradient is not finite.
    """
    size = (SIDE, SIDE)
    try:
        logits = network.train()(torch.randn(2, 3, *size))[0]
    except UserError:
        size = own_size(network.config["backbone"])
        logits = network(torch.randn(2, 3, *size))[0]
    F.cross_entropy(logits, torch.randint(NUM_CLASSES, (2, *size))).backward()
    gradients = {name: parameter.grad for name, parameter in network.named_parameters()}
    if bad := [name for name, gradient in gradients.items() if gradient is not None and not gradient.isfinite().all()]:
        raise ValueError(f"{len(bad)} gradients are not finite, first {bad[0]}")
    return sum(gradient is None for gradient in gradients.values())


class Trial:
    """The steps of one model. `row` says how each went."""

    def __init__(self, family: str, name: str, count: int) -> None:
        self.row: Row = dict.fromkeys(COLUMNS, "-") | {"family": family, "model": name, "reason": ""}
        self.row["params_m"] = f"{count / 1e6:.2f}"
        self.reasons: dict[str, list[str]] = {}

    def step(self, name: str, function: Callable[[], Any]) -> Any:
        """Return what a step returns; None if it did not succeed."""
        try:
            result = function()
        except Exception as error:  # of any kind: the sweep finds out which
            refused = isinstance(error, UserError)
            self.row[name] = "refused" if refused else "failed"
            line = one_line(error)
            self.reasons.setdefault(line if refused else f"{type(error).__name__}: {line}", []).append(name)
            self.row["reason"] = "; ".join(f"{', '.join(steps)}: {reason}" for reason, steps in self.reasons.items())
            return None
        self.row[name] = "ok"
        return result

    def run(self) -> None:
        """Take all steps."""
        name = self.row["model"]
        torch.manual_seed(0)
        network = self.step("build", lambda: SegmentationModel(name, NUM_CLASSES, head_channels=8))
        if network is None:
            return
        labels = self.step("odd_size", lambda: network.predict(image(ODD)))
        unused = self.step("train", lambda: train(network))
        self.row["unused"] = "-" if unused is None else str(unused)
        with tempfile.TemporaryDirectory() as folder:
            self.step("save", lambda: network.save_pretrained(folder))
            loaded = self.step("load", lambda: SegmentationModel.from_pretrained(folder))
        if loaded is not None:
            self.step("predict", lambda: compare(network, loaded, image(own_size(name) if labels is None else ODD)))
        self.step("layer_decay", lambda: layer_decay(network))
        self.step("no_weight_decay", lambda: no_weight_decay(network))


def compare(network: SegmentationModel, loaded: SegmentationModel, image: np.ndarray) -> None:
    """Compare two models' labels of an image.

    Raises:
        ValueError: They are not the same.
    """
    if not np.array_equal(network.predict(image), loaded.predict(image)):
        raise ValueError("the loaded model predicts other labels")


def layer_decay(network: SegmentationModel) -> None:
    """Build an optimizer with layer-wise learning rates.

    Raises:
        UserError: timm does not group the layers of this backbone.
        ValueError: There are less than three rates.
    """
    if network.group_matcher() is None:
        raise UserError("timm does not group the layers of this backbone")
    groups = create_optimizer_v2(network, opt="adamw", lr=1e-3, weight_decay=0.05, layer_decay=0.5).param_groups
    if len(rates := {group["lr_scale"] for group in groups}) < 3:
        raise ValueError(f"{len(rates)} learning rates")


def no_weight_decay(network: SegmentationModel) -> None:
    """Compare the names of parameters without weight decay with those that exist.

    Raises:
        ValueError: One does not exist.
    """
    if unknown := network.no_weight_decay() - {name for name, _ in network.named_parameters()}:
        raise ValueError(f"no parameters: {sorted(unknown)}")


def try_family(family: str) -> Row:
    """Try the smallest model of a family, in this process."""
    warnings.simplefilter("ignore")
    logging.disable(logging.ERROR)
    name, count, reason = smallest(family)
    trial = Trial(family, name, count)
    if not name:
        trial.row |= {"model": "-", "params_m": "-", "reason": f"no model with feature maps: {reason}"}
    elif without_classifier(name) > MOST_PARAMETERS:
        trial.row["reason"] = f"not tried: the smallest has more than {MOST_PARAMETERS / 1e6:.0f} M parameters"
    else:
        trial.run()
    return trial.row


def try_in_process(family: str, seconds: float) -> Row:
    """Try a family in a process of its own, which may crash or hang."""
    fork = multiprocessing.get_context("fork")  # which need not import everything again
    receiver, sender = fork.Pipe(duplex=False)

    def target() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))
        sender.send(try_family(family))

    process = fork.Process(target=target)
    process.start()
    sender.close()
    row = dict.fromkeys(COLUMNS, "-") | {"family": family, "build": "failed"}
    try:
        if receiver.poll(seconds):
            return receiver.recv()
        return row | {"reason": f"takes more than {seconds:.0f} s"}
    except EOFError:
        process.join()
        return row | {"reason": f"the process ended with status {process.exitcode}"}
    finally:
        process.kill()
        process.join()


def main(argv: Sequence[str]) -> int:
    """Try the families that the file does not hold, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=timm.list_modules(), metavar="NAME", help="modules of timm")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="longest time for a family")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder of the CSV file")
    args = parser.parse_args(argv)
    os.nice(10)
    torch.set_num_threads(1)
    path = make_folder(args.output) / f"families-timm{timm.__version__}.csv"
    rows: dict[str, Row] = {}
    if path.exists():
        with open(path, newline="") as file:
            rows = {row["family"]: row for row in csv.DictReader(file)}
    for family in args.only or [family for family in timm.list_modules() if family not in rows]:
        row = rows[family] = try_in_process(family, args.seconds)
        print(" ".join(row.values()), flush=True)
        with atomic_path(path) as temporary, open(temporary, "w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows[name] for name in sorted(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
