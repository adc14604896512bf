"""The proof that an exported file carries: images, and the labels and logits that they must give wherever it runs.

An exporter may be right and a runtime wrong: another version, another processor, a port that takes BGR for RGB. So a
file brings a few small images with what PyTorch makes of them, from image to labels, and how far logits may deviate.
Whoever loads the file runs them first. The last bytes of the file are the SHA-256 of all before: it tells that the
graph, the weights and the metadata, proof included, are those of the export. It is not a signature: whoever changes a
file can compute it again.
"""

import base64
import io
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from fanet.errors import UserError, one_line
from fanet.export.description import describe, preprocessing_of
from fanet.media.png import encode_png
from fanet.segmentation import Preprocessing, SegmentationModel
from fanet.segmentation.prediction.engines.eager import EagerEngine
from fanet.segmentation.prediction.engines.exported import in_channels
from fanet.segmentation.prediction.engines.onnx import FixedSize
from fanet.segmentation.prediction.windows import logit_map

#: (H, W, C) uint8 -> labels (H, W) and logits (num_classes, H, W); of a classifier, both for a single pixel.
Run = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]

#: Expected logits are kept of every n-th row and column, so that there are about so many at most.
MOST_LOGITS = 1 << 14
#: The least height and width of the images; neither is a multiple of 32, so that sizes are rounded and padded.
_SMALL = ((61, 90), (75, 50))


def run_with(engine: Callable[[torch.Tensor], torch.Tensor], preprocessing: Preprocessing) -> Run:
    """Return the whole way from an image to labels and logits around an engine, as a predictor goes it."""

    @torch.inference_mode()
    def run(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        view = preprocessing.resized(pixels)
        logits = engine(preprocessing.normalize(view))
        if logits.ndim == 2:  # of a classifier
            logits = logits[..., None, None]
        else:
            logits = logit_map(lambda x: logits, view, (pixels.shape[0], pixels.shape[1]))
        return logits[0].argmax(0).numpy(), logits[0].float().numpy()

    return run


def reference(net: nn.Module, size: tuple[int, int] | None, end_to_end: bool = False) -> tuple[Run, list[np.ndarray]]:
    """Return what a file of a network shall compute, in PyTorch, and images for its proof.

    Args:
        net: A segmentation model or a classifier.
        size: Height and width of the images that the file takes; None for any.
        end_to_end: Whether that is their size before the preprocessing.

    Raises:
        UserError: The preprocessing makes every image larger than `size`.
    """
    preprocessing = preprocessing_of(describe(net))
    engine = EagerEngine(net)
    pads = size is not None and not end_to_end and isinstance(net, SegmentationModel)
    images = proof_images(preprocessing, in_channels(net), size, pads)
    return run_with(FixedSize(engine, size) if pads and size else engine, preprocessing), images


def make_proof(run: Run, images: Sequence[np.ndarray], tolerance: float) -> list[dict[str, Any]]:
    """Run images, and return what they give in a form that is ready for JSON; `check_proof` compares it.

    Labels of pixels whose two best classes are so close that logits within the tolerance may swap them become −1.

    Args:
        run: What computes the truth.
        images: (H, W, C) uint8.
        tolerance: Largest deviation of a logit, relative to the largest one of the image.
    """
    proof = []
    for pixels in images:
        labels, logits = run(pixels)
        allowed = tolerance * float(np.abs(logits).max())
        labels = labels.astype(np.int16)
        if len(logits) > 1:
            second, first = np.partition(logits, -2, axis=0)[-2:]
            labels[first - second <= 2 * allowed] = -1
        step = max(1, int(np.ceil(np.sqrt(logits.size / MOST_LOGITS))))
        proof.append(
            {
                "image": _packed(encode_png(pixels) if pixels.shape[2] == 3 else _saved(pixels)),
                "labels": _packed(_saved(labels)),
                "logits": _packed(_saved(logits[:, ::step, ::step])),
                "step": step,
                "tolerance": allowed,
            }
        )
    return proof


def check_proof(run: Run, proof: Sequence[Mapping[str, Any]]) -> float:
    """Run the images of a proof, and return the largest deviation of a logit as a share of what is allowed.

    Raises:
        UserError: A logit deviates by more, a label is another one, or the proof cannot be read.
    """
    worst = 0.0
    for case in proof:
        try:
            pixels = _pixels(_unpacked(case["image"]))
            expected_labels, expected = (np.load(io.BytesIO(_unpacked(case[key]))) for key in ("labels", "logits"))
            step, tolerance = int(case["step"]), float(case["tolerance"])
            if step < 1 or not 0 < tolerance < np.inf:
                raise ValueError(f"step {step}, tolerance {tolerance}")
        except (KeyError, TypeError, ValueError, OSError, EOFError, zlib.error) as error:
            raise UserError(f"its proof is damaged ({one_line(error)}): export the model again") from error
        labels, logits = run(pixels)
        found = logits[:, ::step, ::step]
        if found.shape != expected.shape or labels.shape != expected_labels.shape:
            raise UserError(f"its proof fails here: logits are {found.shape} instead of {expected.shape}")
        wrong = int(((labels != expected_labels) & (expected_labels >= 0)).sum())
        deviation = float(np.abs(found - expected).max() / tolerance)
        if wrong or not deviation <= 1:  # NaN neither
            raise UserError(
                f"its proof fails here: {wrong} labels wrong, logits off by {deviation:.3g} times the tolerance"
            )
        worst = max(worst, deviation)
    return worst


def proof_images(
    preprocessing: Preprocessing, channels: int, size: tuple[int, int] | None, pads: bool
) -> list[np.ndarray]:
    """Draw images for a proof: two small ones, larger where the preprocessing reduces images.

    Args:
        preprocessing: What happens to them first.
        channels: Their number of channels.
        size: Height and width of the images that the file takes; None for any.
        pads: Whether images may be smaller than that after preprocessing.

    Raises:
        UserError: The preprocessing makes every image larger.
    """
    if size is not None and not pads:
        return [_drawn(size, channels, seed) for seed in range(2)]
    sizes = list(_SMALL)
    if preprocessing.fit is not None:  # what shrinks differs in other ways from what grows
        side = 3 * min(preprocessing.fit) // 2
        sizes[0] = (side + 1, side - 2)
    if size is not None:
        height, width = size
        wanted = [size, (height - height // 3, width - width // 4), (3 * height // 2, 3 * width // 2), *sizes]
        sizes = [each for each in wanted if _fits(preprocessing, each, size)][:2]
    if not sizes:
        height, width = size or (0, 0)
        raise UserError(
            f"the model's preprocessing makes every image larger than {height}x{width} pixels: choose a larger --size"
        )
    return [_drawn(each, channels, seed) for seed, each in enumerate(sizes)]


def _fits(preprocessing: Preprocessing, given: tuple[int, int], size: tuple[int, int]) -> bool:
    height, width = [given, *preprocessing.sizes(*given)][-1]
    return height <= size[0] and width <= size[1]


def _drawn(size: tuple[int, int], channels: int, seed: int) -> np.ndarray:
    """Draw patches of random colours under fine stripes, (H, W, C) uint8: unlike in every channel, small as a PNG."""
    rows, columns = np.arange(size[0])[:, None], np.arange(size[1])
    patches = np.random.default_rng(seed).integers(220, size=(6, 8, channels))
    stripes = (3 * rows + 5 * columns) % 7 * 6
    return (patches[rows * 6 // size[0], columns * 8 // size[1]] + stripes[..., None]).astype(np.uint8)


def _saved(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def _packed(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data)).decode()


def _unpacked(text: str) -> bytes:
    return zlib.decompress(base64.b64decode(text))


def _pixels(data: bytes) -> np.ndarray:
    file = io.BytesIO(data)
    return np.asarray(Image.open(file)) if data.startswith(b"\x89PNG") else np.load(file)
