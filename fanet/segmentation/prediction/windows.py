"""From a network's logits to labels with bounded memory: class by class, and a large image window by window."""

from collections.abc import Callable, Iterator, Sequence

import torch

from fanet.errors import UserError
from fanet.segmentation.bilinear import resize

#: The smallest side of a window, in pixels: the stride of the coarsest feature maps of most backbones.
SMALLEST_WINDOW = 32
#: With more, the number of windows explodes: 0.9 already costs a hundred times the work of 0.
LARGEST_OVERLAP = 0.9
#: The default overlap of neighbouring windows.
OVERLAP = 0.25

Network = Callable[[torch.Tensor], torch.Tensor]


def check_window(window: Sequence[int], overlap: float) -> None:
    """Check a window and the overlap of windows.

    Raises:
        UserError: `window` is not two numbers of at least 32, or `overlap` is not in 0..0.9.
    """
    if len(window) != 2 or min(window) < SMALLEST_WINDOW:
        given = " ".join(map(str, window))
        raise UserError(f"a window must be a height and a width of at least {SMALLEST_WINDOW} pixels, got {given}")
    if not 0 <= overlap <= LARGEST_OVERLAP:
        raise UserError(f"the overlap of windows must be a share from 0 to {LARGEST_OVERLAP}, got {overlap}")


def label_map(
    network: Network,
    image: torch.Tensor,
    size: tuple[int, int],
    window: tuple[int, int] | None = None,
    overlap: float = OVERLAP,
) -> torch.Tensor:
    """Return the class with the largest logit at every pixel: (H, W) uint8.

    Args:
        network: (1, 3, h, w) of the image's type -> (1, C, any, any) logits, which are resized to (h, w).
        image: (1, 3, h, w), at the size at which the network sees it.
        size: (H, W) of the result. Logits are resized to it, never labels.
        window: (height, width) of a sliding window; None for the whole image. A window that covers the image gives
            the same labels as None.
        overlap: Minimum overlap of neighbouring windows, 0..0.9 of their side.
    """
    return _by_class(strongest_class, network, image, size, window, overlap)


def label_and_confidence_maps(
    network: Network,
    image: torch.Tensor,
    size: tuple[int, int],
    window: tuple[int, int] | None = None,
    overlap: float = OVERLAP,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the labels of `label_map` and their probabilities: (H, W) uint8, (H, W) float32. Arguments as there."""
    labels, confidence = _by_class(strongest_and_confidence, network, image, size, window, overlap)
    return labels.to(torch.uint8), confidence


def _by_class(
    reduce: Callable[..., torch.Tensor],
    network: Network,
    image: torch.Tensor,
    size: tuple[int, int],
    window: tuple[int, int] | None,
    overlap: float,
) -> torch.Tensor:
    """Reduce the logits of an image to (…, H, W) by a function that resizes them one class at a time."""
    height, width = image.shape[-2:]
    if window is None or (window[0] >= height and window[1] >= width):
        return reduce(network(image), (height, width), size)
    bands = blended_bands(network, image, (min(window[0], height), min(window[1], width)), overlap)
    if size == (height, width):
        return torch.cat([reduce(band) for band in bands], dim=-2)
    return reduce(torch.cat([band.clone() for band in bands], dim=2), size)


def logit_map(
    network: Network,
    image: torch.Tensor,
    size: tuple[int, int],
    window: tuple[int, int] | None = None,
    overlap: float = OVERLAP,
) -> torch.Tensor:
    """Return the logits of every class at every pixel: (1, C, H, W). Arguments as for `label_map`."""
    height, width = image.shape[-2:]
    if window is None or (window[0] >= height and window[1] >= width):
        logits = network(image)
    else:
        bands = blended_bands(network, image, (min(window[0], height), min(window[1], width)), overlap)
        logits = torch.cat([band.clone() for band in bands], dim=2)
    for target in ((height, width), size):
        logits = logits if tuple(logits.shape[-2:]) == target else resize(logits, target)
    return logits


def strongest_class(logits: torch.Tensor, *sizes: tuple[int, int]) -> torch.Tensor:
    """Return the class with the largest logit, the first if several are equal: (1, C, h, w) -> (H, W) uint8.

    The logits are resized to each of `sizes` in turn. The labels are bit for bit those of resizing all classes and
    taking the argmax. But classes are processed one at a time, so at most two of them are held at full size, which on
    CPUs is several times as fast.
    """
    best = labels = torch.empty(0)
    for index, scores in enumerate(_scores_by_class(logits, sizes)):
        if index == 0:
            best, labels = scores.clone(), torch.zeros(scores.shape, dtype=torch.uint8, device=scores.device)
        else:
            larger = (scores > best).view(torch.uint8).mul_(index)  # or 0; the label so far is below `index`
            torch.maximum(labels, larger, out=labels)
            torch.maximum(best, scores, out=best)
    return labels[0, 0]


def strongest_and_confidence(logits: torch.Tensor, *sizes: tuple[int, int]) -> torch.Tensor:
    """Return the labels of `strongest_class` and their probabilities: (1, C, h, w) -> (2, H, W) float32.

    The softmax, too, takes one class at a time: the sum of exponentials is kept relative to the largest logit so far.
    """
    best = labels = total = torch.empty(0)
    for index, scores in enumerate(_scores_by_class(logits, sizes)):
        if index == 0:
            best, labels, total = scores.clone(), torch.zeros_like(scores), torch.ones_like(scores)
        else:
            labels.masked_fill_(scores > best, index)
            largest = torch.maximum(best, scores)
            total.mul_((best - largest).exp_()).add_((scores - largest).exp_())
            best = largest
    return torch.stack((labels, total.reciprocal_()))[:, 0, 0]


def _scores_by_class(logits: torch.Tensor, sizes: Sequence[tuple[int, int]]) -> Iterator[torch.Tensor]:
    """Yield the logits of one class after another, resized to each of `sizes` in turn: (1, 1, H, W)."""
    for index in range(logits.shape[1]):
        scores = logits[:, index : index + 1]
        for size in sizes:
            scores = scores if tuple(scores.shape[-2:]) == size else resize(scores, size)
        yield scores


def blended_bands(
    network: Network, image: torch.Tensor, window: tuple[int, int], overlap: float
) -> Iterator[torch.Tensor]:
    """Yield the logits of an image, weighted means over the windows that cover a pixel, in bands of rows from the top.

    Windows form a regular grid from edge to edge. Their weights fall off smoothly towards their sides, where the
    network sees the least context. A band (1, C, rows, w) is yielded as soon as no further window touches it, so memory
    grows with the width of the image and not with its height. The next band reuses the memory of the last.
    """
    tops, row_weights = _grid(image.shape[-2], window[0], overlap, image.device)
    lefts, column_weights = _grid(image.shape[-1], window[1], overlap, image.device)
    band = torch.empty(0)
    for row, top in enumerate(tops):
        for column, left in enumerate(lefts):
            part = image[:, :, top : top + window[0], left : left + window[1]]
            logits = resize(network(part), window)
            logits *= row_weights[row][:, None] * column_weights[column]
            if not band.numel():
                band = logits.new_zeros(1, logits.shape[1], window[0], image.shape[-1])
            band[..., left : left + window[1]] += logits
        finished = tops[row + 1] - top if row + 1 < len(tops) else window[0]
        yield band[:, :, :finished]
        rest = band[:, :, finished:].clone()
        band[:, :, : rest.shape[2]] = rest
        band[:, :, rest.shape[2] :] = 0


def _grid(length: int, window: int, overlap: float, device: torch.device) -> tuple[list[int], list[torch.Tensor]]:
    """Return where windows start along one side, evenly spaced, and the weights of their pixels.

    The weights are a raised cosine over the window, scaled so that those of all windows at a pixel sum to 1.
    """
    step = max(1, int(window * (1 - overlap)))
    count = -(-(length - window) // step) + 1
    starts = [round(index * (length - window) / max(1, count - 1)) for index in range(count)]
    bell = torch.sin(torch.pi * (torch.arange(window, dtype=torch.float64) + 0.5) / window) ** 2
    total = torch.zeros(length, dtype=torch.float64)
    for start in starts:
        total[start : start + window] += bell
    return starts, [(bell / total[start : start + window]).float().to(device) for start in starts]
