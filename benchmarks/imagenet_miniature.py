"""Run the pre-training in miniature: timm's train.py with the ImageNet recipe at reduced size, on two CPU processes.

    python benchmarks/imagenet_miniature.py --scripts TIMM -o runs/miniature --seeds 0 1 2

TIMM is a folder with train.py and validate.py from timm's repository (`fanet run` says where). The images are objects
cropped from generated scenes: 4 materials, equally often at each of three difficulties. Each training is stopped after
half of its epochs and resumed; its last checkpoint is converted and validated again. Prints, and writes to
`benchmarks/results/`, the accuracy beside chance and beside a baseline that knows colours only, and how long the parts
of a step take.
"""

import argparse
import csv
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import timm
import torch
import yaml
from object_crops import DIFFICULTIES, MATERIALS, write_crops
from PIL import Image
from timm.data import create_transform, resolve_data_config

from fanet.files import atomic_path, make_folder
from fanet.media.images import read_image
from fanet.publishing import publish
from fanet.recipes import recipe_path

HERE = Path(__file__).parent
RESULTS = HERE / "results"
TEST_MODULES = HERE.parent / "tests"  # cpu_ddp
SIZE = 64  # side of an image, pixels
BINS = 8  # of the baseline's histogram, per channel
PROBABILITY = 1e-3  # added to every bin of the histogram
POLL = 0.2  # seconds

# Changes to the recipe. Mixing, erasing and crops of 8 % suit 300 epochs, not a dozen.
REDUCED = {
    "device_modules": ["fanet", "fanet.posterize", "cpu_ddp", "step_times"],
    "device": "cpu",
    "num_classes": len(MATERIALS),
    "img_size": SIZE,
    "drop_path": 0.0,
    "scale": [0.5, 1.0],
    "mixup": 0.0,
    "cutmix": 0.0,
    "reprob": 0.0,
    "amp": False,
    "pin_mem": False,
    "warmup_epochs": 1,
    "workers": 0,
    "checkpoint_hist": 2,
}


def train(args: argparse.Namespace, folder: Path, seed: int) -> Path:
    """Train with torchrun, stop halfway, resume, and return the folder of train.py's output."""
    recipe = yaml.safe_load(recipe_path("imagenet1k").read_text(encoding="utf-8")) | REDUCED
    recipe |= {"model": args.model, "epochs": args.epochs, "lr": args.lr, "batch_size": args.batch_size, "seed": seed}
    (make_folder(folder) / "recipe.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False), encoding="utf-8")
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={args.processes}"),
        *("-m", "fanet", "run", str(args.scripts / "train.py"), "-c", str(folder / "recipe.yaml")),
        *("--data-dir", str(args.output / "data"), "--output", str(folder), "--experiment", "train"),
    ]
    run = folder / "train"
    _stop_halfway(command, folder, run, args.epochs // 2)
    _call([*command, "--resume", str(run / "last.pth.tar")], folder, "resumed")
    return run


def _stop_halfway(command: Sequence[str], folder: Path, run: Path, epochs: int) -> None:
    """Start a training and end it, as a cluster's queue would, once it has saved a number of epochs."""
    with (folder / "stopped.log").open("w") as log:
        process = subprocess.Popen(command, env=_environment(folder), stdout=log, stderr=log)
        try:
            while process.poll() is None and not _saved(run, epochs):
                time.sleep(POLL)
        finally:
            # torchrun forwards SIGTERM; after SIGKILL, which it cannot forward, its processes would train on
            process.terminate()
            process.wait()
    if not _saved(run, epochs):
        raise SystemExit(f"the training ended on its own: see {folder / 'stopped.log'}")


def _saved(run: Path, epochs: int) -> bool:
    """Return whether the checkpoint of an epoch exists; its line in the summary is written first."""
    summary, last = run / "summary.csv", run / "last.pth.tar"
    return len(epoch_rows(run)) >= epochs and last.exists() and last.stat().st_mtime_ns >= summary.stat().st_mtime_ns


def _call(command: Sequence[str], folder: Path, name: str) -> str:
    """Run a command with its output in a log, and return the output."""
    with (folder / f"{name}.log").open("w") as log:
        status = subprocess.run(command, env=_environment(folder), stdout=log, stderr=log).returncode
    if status:
        raise SystemExit(f"{name} ended with status {status}: see {folder / name}.log")
    return (folder / f"{name}.log").read_text(encoding="utf-8")


def _environment(folder: Path) -> dict[str, str]:
    path = os.pathsep.join([str(HERE), str(TEST_MODULES), os.environ.get("PYTHONPATH", "")])
    return os.environ | {"PYTHONPATH": path, "STEP_TIMES": str(folder / "steps.csv"), "OMP_NUM_THREADS": "1"}


def epoch_rows(run: Path) -> list[dict[str, str]]:
    """Read train.py's summary, one row per epoch; after --resume it writes the header again."""
    try:
        with (run / "summary.csv").open(newline="", encoding="utf-8") as file:
            return [row for row in csv.DictReader(file) if row["epoch"] != "epoch"]
    except FileNotFoundError:
        return []


def validate(args: argparse.Namespace, folder: Path, run: Path) -> float:
    """Convert the last checkpoint and measure it with validate.py: top-1 in %."""
    publish(run / "last.pth.tar", folder / "model", dataset="objects cropped from generated scenes")
    command = [sys.executable, "-m", "fanet", "run", str(args.scripts / "validate.py")]
    options = f"--device cpu -j 0 -b {args.batch_size} --results-file {folder / 'validate.csv'}".split()
    data = ["--data-dir", str(args.output / "data"), "--split", "validation"]
    _call([*command, "--model", f"local-dir:{folder / 'model'}", "--pretrained", *data, *options], folder, "validate")
    with (folder / "validate.csv").open(newline="", encoding="utf-8") as file:
        return float(next(csv.DictReader(file))["top1"])


def hits_of_model(folder: Path, paths: Sequence[Path]) -> np.ndarray:
    """Return whether the converted model predicts the material of each image."""
    model = timm.create_model(f"local-dir:{folder / 'model'}", pretrained=True).eval()
    transform = create_transform(**resolve_data_config({}, model=model))
    names = sorted(MATERIALS)  # train.py numbers the classes alphabetically
    hits = []
    with torch.inference_mode():
        for path in paths:
            with Image.open(path) as image:
                logits = model(transform(image.convert("RGB"))[None])
            hits.append(names[int(logits.argmax())] == path.parent.name)
    return np.array(hits)


def hits_of_baseline(training: Sequence[Path], paths: Sequence[Path]) -> np.ndarray:
    """Return the same for naive Bayes on colours: the likelihood of all pixels under each material's histogram."""
    histograms = []
    for material in MATERIALS:
        cells = np.concatenate([_cells(path) for path in training if path.parent.name == material])
        share = np.bincount(cells, minlength=BINS**3) / len(cells)
        histograms.append(np.log(share + PROBABILITY))
    table = np.stack(histograms)
    return np.array([MATERIALS[int(table[:, _cells(path)].sum(axis=1).argmax())] == path.parent.name for path in paths])


def _cells(path: Path) -> np.ndarray:
    red, green, blue = np.moveaxis(read_image(path).astype(np.int64) * BINS // 256, -1, 0)
    return ((red * BINS + green) * BINS + blue).ravel()


def step_phases(folder: Path) -> dict[str, float]:
    """Return the median of each part of a step in the resumed half, in milliseconds; see `step_times`."""
    with (folder / "steps.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {column: statistics.median(float(row[column]) for row in rows) for column in rows[0]}


def _percent(hits: np.ndarray, paths: Sequence[Path], difficulty: float | None) -> float:
    chosen = [difficulty is None or path.name.startswith(f"d{difficulty}-") for path in paths]
    return 100 * float(hits[chosen].mean())


def _write(name: str, rows: Sequence[dict]) -> None:
    with atomic_path(make_folder(RESULTS) / name) as path, path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def _print(rows: Sequence[dict]) -> None:
    print("  ".join(rows[0]))
    for row in rows:
        print("  ".join(f"{value!s:>{len(key)}}" for key, value in row.items()))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scripts", type=Path, required=True, help="folder with timm's train.py and validate.py")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for images, logs, checkpoints")
    parser.add_argument("--model", default="fanet_pico", help="any timm model (default: %(default)s)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0], help="one training per seed (default: 0)")
    parser.add_argument("--train", type=int, default=4800, help="training images (default: %(default)s)")
    parser.add_argument("--validation", type=int, default=960, help="held-out images (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=30, help="default: %(default)s")
    parser.add_argument("--batch-size", type=int, default=32, help="per process (default: %(default)s)")
    parser.add_argument("--lr", type=float, default=2e-3, help="default: %(default)s")
    parser.add_argument("--processes", type=int, default=2, help="default: %(default)s")
    args = parser.parse_args()
    args.output, args.scripts = args.output.resolve(), args.scripts.resolve()
    return args


def main() -> None:
    """Write the images, train, measure, print and write."""
    args = _arguments()
    cells = len(MATERIALS) * len(DIFFICULTIES)
    for split, number in (("train", args.train), ("validation", args.validation)):
        if not (args.output / "data" / split).exists():
            write_crops(args.output / "data", split, -(-number // cells), SIZE)
    training, held_out = (sorted((args.output / "data" / split).glob("*/*.png")) for split in ("train", "validation"))
    baseline = hits_of_baseline(training, held_out)
    accuracy, steps = [], []
    for seed in args.seeds:
        folder = args.output / f"seed{seed}"
        started = time.monotonic()
        run = train(args, folder, seed)
        print(f"seed {seed}: {time.monotonic() - started:.0f} s; top-1 by epoch, resumed after {args.epochs // 2}:")
        print(" ".join(f"{float(row['eval_top1']):.1f}" for row in epoch_rows(run)))
        last, again = float(epoch_rows(run)[-1]["eval_top1"]), validate(args, folder, run)
        print(f"last evaluation of train.py {last:.3f} %, validate.py on the converted weights {again:.3f} %")
        hits = hits_of_model(folder, held_out)
        for difficulty in (*DIFFICULTIES, None):
            accuracy.append(
                {
                    "seed": seed,
                    "difficulty": "all" if difficulty is None else difficulty,
                    "top1_percent": round(_percent(hits, held_out, difficulty), 2),
                    "colour_baseline_percent": round(_percent(baseline, held_out, difficulty), 2),
                    "chance_percent": 100 / len(MATERIALS),
                }
            )
        steps.append({"seed": seed} | {column: round(value, 1) for column, value in step_phases(folder).items()})
    _print(accuracy)
    _print(steps)
    conditions = f"{args.model}-{len(training)}x{SIZE}px-{args.epochs}epochs-{args.processes}x{args.batch_size}"
    _write(f"imagenet_miniature-{conditions}.csv", accuracy)
    _write(f"imagenet_miniature_steps-{conditions}.csv", steps)


if __name__ == "__main__":
    main()
