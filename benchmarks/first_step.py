"""How large the first step of training from scratch is on images with constant regions, over that on noise.

    python benchmarks/first_step.py
    python benchmarks/first_step.py --model convnext_tiny focalnet_tiny_lrf --size 128

One line a network and layout: the norm of all gradients on two images of noise, and the norm with parts of them 0 (what
padding is after normalisation), divided by it; the median over the seeds, and the largest in brackets. Near 1 is good.
"""

import argparse
import statistics

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fanet.segmentation import UperNet

NUM_CLASSES = 5
LAYOUTS = ("half", "one image", "letterbox")


def images(layout: str | None, size: int) -> Tensor:
    """Two images of noise, (2, 3, size, size), parts of which are 0."""
    x = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    if layout == "half":
        x[..., size // 2 :] = 0
    elif layout == "one image":
        x[1] = 0
    elif layout == "letterbox":
        x[:, :, : size // 4], x[:, :, -(size // 4) :] = 0, 0
    return x


def gradient_norm(network: nn.Module, x: Tensor) -> float:
    """The norm of all gradients of the first step, with random labels."""
    torch.manual_seed(0)
    network.zero_grad()
    outputs = network(x)
    loss = torch.zeros(())
    for logits in outputs if isinstance(outputs, tuple) else (outputs,):
        loss = loss + F.cross_entropy(logits, torch.randint(NUM_CLASSES, (logits.shape[0], *logits.shape[2:])))
    loss.backward()
    return float(torch.stack([p.grad.norm() for p in network.parameters() if p.grad is not None]).norm())


def build(model: str, network: str) -> nn.Module:
    """A classifier or a UperNet with random weights, in training mode."""
    if network == "classifier":
        return timm.create_model(model, num_classes=NUM_CLASSES).train()
    return UperNet(model, num_classes=NUM_CLASSES).train()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", nargs="+", default=timm.list_models("fanet_*", module="fanet"), help="names in timm")
    parser.add_argument("--size", type=int, default=64, help="side of the images (pixels)")
    parser.add_argument("--seeds", type=int, default=3, help="how many networks of each kind")
    arguments = parser.parse_args()
    for model in arguments.model:
        for network in ("classifier", "upernet"):
            norms: dict[str | None, list[float]] = {layout: [] for layout in (None, *LAYOUTS)}
            for seed in range(arguments.seeds):
                torch.manual_seed(seed)
                built = build(model, network)
                for layout, found in norms.items():
                    found.append(gradient_norm(built, images(layout, arguments.size)))
            noise = norms.pop(None)
            for layout, found in norms.items():
                ratios = [norm / other for norm, other in zip(found, noise, strict=True)]
                print(
                    f"{model:20} {network:10} {layout:10} noise {statistics.median(noise):8.3g}   "
                    f"ratio {statistics.median(ratios):6.3g} ({max(ratios):.3g})",
                    flush=True,
                )


if __name__ == "__main__":
    main()
