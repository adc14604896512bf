"""Whether an image is like those that thresholds were found on, by a few numbers that are easy to explain."""

from collections.abc import Iterable, Mapping

import numpy as np

Range = tuple[float, float]

#: By statistic, what a smaller and a larger value than in any calibration image mean.
_WORDS = {
    "brightness": ("darker", "brighter"),
    "contrast": ("less contrast", "more contrast"),
    "detail": ("blurred", "more fine detail"),
    "red": ("less red", "redder"),
    "blue": ("less blue", "bluer"),
    "certainty": ("the model is less certain", "the model is more certain"),
}
#: What a class means that covers more of an image than in any calibration image.
TOO_MUCH = "more {}"
# Beyond the calibration's range by this part of it: new images of the same kind exceed the range itself now and then.
_MARGIN = 0.25
_ROWS = 256  # about so many rows of an image are looked at


def statistics(image: np.ndarray, probability: np.ndarray) -> dict[str, float]:
    """Return what is compared: brightness, contrast, fine detail, colour and the model's certainty.

    Args:
        image: (H, W, C) uint8.
        probability: Probability of the predicted class, (H, W).
    """
    rows = image[:: max(1, len(image) // _ROWS)].astype(np.float32) / 255
    grey = rows.mean(axis=2)
    contrast = float(grey.std())
    found = {
        "brightness": float(grey.mean()),
        "contrast": contrast,
        # relative to the contrast, as darkness is no blur
        "detail": float(np.abs(np.diff(grey, axis=1)).mean()) / (contrast + 1 / 255) if grey.shape[1] > 1 else 0.0,
        "certainty": float(probability.mean(dtype=np.float64)),
    }
    if image.shape[2] == 3:
        total = float(rows.sum()) or 1.0
        found |= {"red": float(rows[..., 0].sum()) / total, "blue": float(rows[..., 2].sum()) / total}
    return found


def ranges_of(found: Iterable[Mapping[str, float]]) -> dict[str, Range]:
    """Return the lowest and highest value of each statistic."""
    images = list(found)
    return {key: (min(each[key] for each in images), max(each[key] for each in images)) for key in images[0]}


def are_outside(found: Mapping[str, float], ranges: Mapping[str, Range]) -> list[str]:
    """Return in words which statistics are far outside their ranges: by more than a quarter of the range.

    Args:
        found: What `statistics` returned.
        ranges: What `ranges_of` returned, of images of the same kind.
    """
    words = []
    for key, value in found.items():
        if key in ranges:
            low, high = ranges[key]
            margin = _MARGIN * (high - low)
            if not low - margin <= value <= high + margin:
                words.append(_WORDS[key][value > high])
    return words
