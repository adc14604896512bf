"""From a network's logits to labels with bounded memory: class by class, and a large picture window by window."""

from collections.abc import Callable, Iterator, Sequence

import torch

from fanet.errors import UserError
from fanet.segmentation.bilinear import resize

#: The smallest side of a window: the coarsest maps of most backbones have a single value on so many pixels.
SMALLEST_WINDOW = 32
#: With more, the number of windows explodes: 0.9 already costs a hundred times the work of none.
LARGEST_OVERLAP = 0.9
#: What neighbouring windows have in common where nobody asks for another share.
OVERLAP = 0.25

Network = Callable[[torch.Tensor], torch.Tensor]


def check_window(window: Sequence[int], overlap: float) -> None:
    """Refuses windows that make no sense.

    Raises:
        UserError: `window` is not two numbers of at least 32, or `overlap` is not in 0..0.9.
    """
    if len(window) != 2 or min(window) < SMALLEST_WINDOW:
        given = " ".join(map(str, window))
        raise UserError(f"a window is a height and a width of at least {SMALLEST_WINDOW} pixels, got {given}")
    if not 0 <= overlap <= LARGEST_OVERLAP:
        raise UserError(f"the overlap of windows is a share from 0 to {LARGEST_OVERLAP}, got {overlap}")


def label_map(
    network: Network,
    picture: torch.Tensor,
    size: tuple[int, int],
    window: tuple[int, int] | None = None,
    overlap: float = OVERLAP,
) -> torch.Tensor:
    """The strongest class at every pixel: (H, W) uint8.

    Args:
        network: (1, 3, h, w) of the picture's type -> (1, C, any, any) logits, which are resized to (h, w).
        picture: (1, 3, h, w), as large as the network shall see it.
        size: (H, W) of the result. Logits are resized to it, labels never.
        window: (height, width) of what the network sees at once; None for the whole picture. A window that covers
            the picture gives the same labels as None.
        overlap: the least share of its side that a window has in common with its neighbour, 0..0.9.
    """
    height, width = picture.shape[-2:]
    if window is None or (window[0] >= height and window[1] >= width):
        return strongest_class(network(picture), (height, width), size)
    bands = blended_bands(network, picture, (min(window[0], height), min(window[1], width)), overlap)
    if size == (height, width):
        return torch.cat([strongest_class(band) for band in bands])
    return strongest_class(torch.cat([band.clone() for band in bands], dim=2), size)


def logit_map(
    network: Network,
    picture: torch.Tensor,
    size: tuple[int, int],
    window: tuple[int, int] | None = None,
    overlap: float = OVERLAP,
) -> torch.Tensor:
    """The logits of every class at every pixel: (1, C, H, W). Arguments as for `label_map`."""
    height, width = picture.shape[-2:]
    if window is None or (window[0] >= height and window[1] >= width):
        logits = network(picture)
    else:
        bands = blended_bands(network, picture, (min(window[0], height), min(window[1], width)), overlap)
        logits = torch.cat([band.clone() for band in bands], dim=2)
    for target in ((height, width), size):
        logits = logits if tuple(logits.shape[-2:]) == target else resize(logits, target)
    return logits


def strongest_class(logits: torch.Tensor, *sizes: tuple[int, int]) -> torch.Tensor:
    """The class with the largest of some logits, of equal ones the first: (1, C, h, w) -> (H, W) uint8.

    The logits are resized to one of `sizes` after the other. The labels are those of resizing all classes and taking
    the argmax, bit for bit; but as classes are taken one at a time, no more than two of them are ever held at the
    full size, and on CPUs that is several times as fast.
    """
    best = labels = torch.empty(0)
    for index in range(logits.shape[1]):
        scores = logits[:, index : index + 1]
        for size in sizes:
            scores = scores if tuple(scores.shape[-2:]) == size else resize(scores, size)
        if index == 0:
            best, labels = scores.clone(), torch.zeros(scores.shape, dtype=torch.uint8, device=scores.device)
        else:
            labels.masked_fill_(scores > best, index)
            torch.maximum(best, scores, out=best)
    return labels[0, 0]


def blended_bands(
    network: Network, picture: torch.Tensor, window: tuple[int, int], overlap: float
) -> Iterator[torch.Tensor]:
    """The logits of a picture, as weighted means over the windows that see a pixel: bands of rows, top to bottom.

    Windows stand on a regular grid from edge to edge. Their weights fall off smoothly towards their sides, where a
    network knows least of what is around. A band (1, C, rows, w) comes out as soon as no further window touches it,
    so that memory grows with the width of the picture and not with its height. The next band takes its memory.
    """
    tops, row_weights = _grid(picture.shape[-2], window[0], overlap, picture.device)
    lefts, column_weights = _grid(picture.shape[-1], window[1], overlap, picture.device)
    band = torch.empty(0)
    for row, top in enumerate(tops):
        for column, left in enumerate(lefts):
            part = picture[:, :, top : top + window[0], left : left + window[1]]
            logits = resize(network(part), window)
            logits *= row_weights[row][:, None] * column_weights[column]
            if not band.numel():
                band = logits.new_zeros(1, logits.shape[1], window[0], picture.shape[-1])
            band[..., left : left + window[1]] += logits
        finished = tops[row + 1] - top if row + 1 < len(tops) else window[0]
        yield band[:, :, :finished]
        rest = band[:, :, finished:].clone()
        band[:, :, : rest.shape[2]] = rest
        band[:, :, rest.shape[2] :] = 0


def _grid(length: int, window: int, overlap: float, device: torch.device) -> tuple[list[int], list[torch.Tensor]]:
    """Where windows start along one side, spread evenly, and the weight of each of their pixels.

    The weights are a raised cosine over the window, scaled such that those of all windows at a pixel add up to 1.
    """
    step = max(1, int(window * (1 - overlap)))
    count = -(-(length - window) // step) + 1
    starts = [round(index * (length - window) / max(1, count - 1)) for index in range(count)]
    bell = torch.sin(torch.pi * (torch.arange(window, dtype=torch.float64) + 0.5) / window) ** 2
    total = torch.zeros(length, dtype=torch.float64)
    for start in starts:
        total[start : start + window] += bell
    return starts, [(bell / total[start : start + window]).float().to(device) for start in starts]
