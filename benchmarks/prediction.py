"""Measure how much of the time of `fanet predict` is spent in the network.

    python benchmarks/prediction.py                               # the model inside the package on 1920x1080 frames
    python benchmarks/prediction.py --model DIR --frames 16 --threads 2 --img-size 1080 1920

Frames are generated scenes, stored as PNG by this project's writer, on which the decoding time depends. Rounds of two
kinds alternate, so that a busy machine slows both: `forward`, the network alone on prepared tensors (`net(x)`, logits
at the frame's size), and `end_to_end`, from files to files: reading, preprocessing, network, labels, overlay, writing.
Reading and writing run in threads beside the network. The table results/prediction-*.csv holds, for each kind, the
median time per frame and

    share_outside   1 - forward / end_to_end, the median over rounds: the share that the network does not account for
    share_idle      the share of end_to_end in which no frame is in the network (backbone and decode head); it is lower,
                    since reading and writing take cores away from the network
"""

import argparse
import csv
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from fanet.errors import UserError
from fanet.files import atomic_path, make_folder
from fanet.media.images import write_png
from fanet.scenes import scene
from fanet.segmentation import UperNet, load_model
from fanet.segmentation.prediction.predict_files import predict_files

RESULTS = Path(__file__).parent / "results"
COLUMNS = ("kind", "images_per_s", "latency_ms", "share_outside", "share_idle", "frames", "rounds", "model", "torch")
# Scenes take longer to generate than to predict, so a few are used repeatedly.
SCENES = 4


def now(device: torch.device) -> float:
    """Return the time once `device` has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def seconds_forward(net: UperNet, frames: Sequence[np.ndarray]) -> float:
    """Measure seconds per frame in the network alone."""
    device = next(net.parameters()).device
    inputs = [net.preprocessing(frame, device) for frame in frames[:SCENES]]
    start = now(device)
    with torch.inference_mode():
        for index in range(len(frames)):
            net(inputs[index % len(inputs)])
    return (now(device) - start) / len(frames)


def seconds_end_to_end(net: UperNet, folder: Path) -> tuple[float, float]:
    """Measure seconds per frame from file to files, and the share of them in which no frame is in the network."""
    device = next(net.parameters()).device
    entered: list[float] = []
    left: list[float] = []
    hooks = (
        net.backbone.register_forward_pre_hook(lambda *_: entered.append(now(device))),
        net.decode_head.register_forward_hook(lambda *_: left.append(now(device))),
    )
    start = time.perf_counter()
    done = predict_files(net.predictor(), [folder], folder.parent / "out", overwrite=True)
    seconds = time.perf_counter() - start
    for hook in hooks:
        hook.remove()
    return seconds / len(done), 1 - (sum(left) - sum(entered)) / seconds


def measure(args: argparse.Namespace) -> list[dict[str, str]]:
    """Measure both kinds alternately, a row each."""
    net = load_model(args.model).eval().to(args.device)
    scenes = [scene(seed=0, index=index, size=tuple(args.img_size))[0] for index in range(min(SCENES, args.frames))]
    frames = [scenes[index % len(scenes)] for index in range(args.frames)]
    times = np.empty((args.rounds, 3))
    with tempfile.TemporaryDirectory() as name:
        folder = make_folder(Path(name) / "in")
        for index, frame in enumerate(frames):
            write_png(folder / f"{index:04d}.png", frame)
        seconds_forward(net, frames[:2])  # warm-up
        for round_ in range(args.rounds):
            times[round_] = seconds_forward(net, frames), *seconds_end_to_end(net, folder)
    forward, end_to_end, idle = np.median(times, axis=0)
    outside = np.median(1 - times[:, 0] / times[:, 1])
    return [
        {
            "kind": kind,
            "images_per_s": f"{1 / seconds:.3f}",
            "latency_ms": f"{1e3 * seconds:.1f}",
            "share_outside": f"{shares[0]:.3f}",
            "share_idle": f"{shares[1]:.3f}",
            "frames": str(args.frames),
            "rounds": str(args.rounds),
            "model": args.model or "inside the package",
            "torch": torch.__version__,
        }
        for kind, seconds, *shares in (("forward", forward, 0.0, 0.0), ("end_to_end", end_to_end, outside, idle))
    ]


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--model", metavar="M", help="folder or file (default: the model inside the package)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1 … (default: %(default)s)")
    parser.add_argument("--threads", type=int, metavar="N", help="torch threads on the CPU (default: torch's own)")
    parser.add_argument("--img-size", type=int, nargs=2, default=(1080, 1920), metavar=("H", "W"))
    parser.add_argument("--frames", type=int, default=8, metavar="N", help="per round (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="(default: %(default)s)")
    parser.add_argument("--output", type=Path, default=RESULTS, metavar="DIR", help="folder (default: %(default)s)")
    args = parser.parse_args(argv)
    if min([*args.img_size, args.frames, args.rounds, args.threads or 1]) < 1:
        parser.error("all numbers must be above 0")
    if args.threads:
        torch.set_num_threads(args.threads)
    return args


def main(argv: Sequence[str]) -> int:
    """Measure, print and write the table."""
    args = parse(argv)
    try:
        rows = measure(args)
        height, width = args.img_size
        name = f"prediction-{args.device.replace(':', '')}-{width}x{height}-{torch.get_num_threads()}threads.csv"
        path = make_folder(args.output) / name
        with atomic_path(path) as temporary, open(temporary, "w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
    except UserError as error:
        print(f"prediction: error: {error}", file=sys.stderr)
        return 2
    for row in rows:
        print(f"{row['kind']}: {row['latency_ms']} ms per frame, {row['images_per_s']} frames/s")
    print(f"outside the network: {100 * float(rows[1]['share_outside']):.1f} % of the whole")
    print(f"no frame in the network: {100 * float(rows[1]['share_idle']):.1f} % of the whole")
    print(os.path.relpath(path))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
