"""Whether one of two models is better: the difference of their scores, its interval, and a verdict."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fanet.errors import UserError, counted
from fanet.segmentation.data.dataset import shortened
from fanet.segmentation.evaluation.bootstrap import percentiles, resampled_sums
from fanet.segmentation.evaluation.metrics import scores_of
from fanet.segmentation.evaluation.sides import Side, align, read_side

RESAMPLES = 5000  # the ends of an interval from few runs are far out, where draws are rare


@dataclass(frozen=True)
class Comparison:
    """The scores of two sides in %, and their differences A - B with the ends of their 95 % intervals.

    Attributes:
        names: What the user called the sides.
        runs: Numbers of training runs of the sides.
        images: Number of images; None if only the scores of runs are known.
        classes: Names of the C classes.
        scores: IoU of every class and their mean, averaged over runs, (2, C + 1); nan for one that does not exist.
        difference: A - B, (C + 1,).
        ends: Ends of its interval, (2, C + 1), nan where there is none.
    """

    names: tuple[str, str]
    runs: tuple[int, int]
    images: int | None
    classes: Sequence[str]
    scores: np.ndarray
    difference: np.ndarray
    ends: np.ndarray

    @property
    def over(self) -> str:
        """What the interval is over."""
        images = [] if self.images is None or self.images < 2 else ["images"]
        return " and ".join([*images, *(["training runs"] if max(self.runs) > 1 else [])])

    @property
    def verdict(self) -> str:
        """What can be said, in one sentence."""
        value, low, high = float(self.difference[-1]), float(self.ends[0, -1]), float(self.ends[1, -1])
        if np.isnan(value):
            return "no difference can be told: one of them has no mIoU"
        if np.isnan(low):
            return f"no difference can be told: A - B is {value:+.1f} mIoU, but one image and one run have no interval"
        if low <= 0 <= high:
            return f"no difference can be told: A - B is {_signed(value)} mIoU [{_signed(low)}, {_signed(high)}]"
        better = "A" if value > 0 else "B"
        near, far = sorted((abs(low), abs(high)))
        digits = 1 if near >= 0.05 else 2
        return f"{better} is better by {abs(value):.{digits}f} mIoU [{near:.{digits}f}, {far:.{digits}f}]"

    @property
    def caveat(self) -> str:
        """What the interval does not cover; empty if nothing."""
        if max(self.runs) == 1:
            return "one training run each: other runs of the same recipes may differ by more than the interval"
        if min(self.runs) == 1:
            single = "A" if self.runs[0] == 1 else "B"
            return f"{single} is a single training run: runs like it are taken to vary as much as those of the other"
        if self.images is None:
            return "the interval does not cover another choice of images, which the table does not have"
        return ""

    def to_dict(self) -> dict[str, Any]:
        """Return all of it, ready for JSON; None for what does not exist."""
        rows = {
            name: {
                key: None if np.isnan(value) else float(value)
                for key, value in zip(("a", "b", "difference", "low", "high"), row, strict=True)
            }
            for name, row in zip([*self.classes, "miou"], self._rows(), strict=True)
        }
        return {
            "a": self.names[0],
            "b": self.names[1],
            "runs": list(self.runs),
            "images": self.images,
            "interval": {"over": self.over, "confidence": 95},
            "miou": rows.pop("miou"),
            "iou": rows,
            "verdict": self.verdict,
            "caveat": self.caveat,
        }

    def _rows(self) -> np.ndarray:
        return np.stack([*self.scores, self.difference, *self.ends], axis=1)

    def lines(self) -> list[str]:
        """Return a table of it for a terminal; the last line is the verdict."""
        width = max(map(len, [*self.classes, "mIoU"]))
        what = [] if self.images is None else [counted(self.images, "image")]
        lines = [
            *(
                f"{letter}  {name}: {', '.join([counted(runs, 'run'), *what])}"
                for letter, name, runs in zip("AB", self.names, self.runs, strict=True)
            ),
            f"{'IoU, %':<{width}}  {'A':>6}  {'B':>6}  {'A - B':>6}"
            + (f"  95 % over {self.over}" if self.over else ""),
        ]
        for name, (a, b, difference, low, high) in zip([*self.classes, "mIoU"], self._rows(), strict=True):
            values = ["-" if np.isnan(value) else f"{value:.1f}" for value in (a, b)]
            told = "-" if np.isnan(difference) else f"{difference:+.1f}"
            interval = "" if np.isnan(low) else f"  [{low:+.1f}, {high:+.1f}]"
            lines.append(f"{name:<{width}}  {values[0]:>6}  {values[1]:>6}  {told:>6}{interval}")
        return [*lines, *([f"note: {self.caveat}"] if self.caveat else []), self.verdict]


def compare(a: str | Side, b: str | Side, resamples: int = RESAMPLES, seed: int = 0) -> Comparison:
    """Compare two evaluations, or the evaluations of two sets of training runs, on the same images.

    The interval of the difference is from two sources. Images: each resample draws as many as there are, with
    replacement and the same for both sides, so that what makes an image hard for both cancels out. Training runs: where
    a side has several, each resample moves its mean by a draw of Student's t distribution, as wide as its runs vary.
    Drawing the few runs themselves with replacement would give intervals that are far too narrow.

    Args:
        a: As for `read_side`, or what that returned.
        b: The same.
        resamples: Number of resamples.
        seed: Seed of the draws.

    Raises:
        UserError: A side cannot be read, or they differ in images, labels or classes.
    """
    sides = [read_side(side) if isinstance(side, str) else side for side in (a, b)]
    first, second = _comparable(*sides)
    means = 100 * np.stack([side.scores.mean(axis=0) for side in (first, second)])
    moved = np.broadcast_to(means[0] - means[1], (resamples, means.shape[1])).copy()
    images = len(first.images[0].images) if first.images else None
    if images is not None and images > 1:
        moved = 100 * (_resampled(first, resamples, seed) - _resampled(second, resamples, seed))
    spread = _spread(first.scores, second.scores, resamples, seed)
    if spread is not None:
        moved += 100 * spread
    has_interval = resamples > 0 and (spread is not None or (images is not None and images > 1))
    return Comparison(
        (first.name, second.name),
        (len(first.runs), len(second.runs)),
        images,
        first.classes,
        means,
        means[0] - means[1],
        percentiles(moved) if has_interval else np.full((2, means.shape[1]), np.nan),
    )


def _comparable(first: Side, second: Side) -> tuple[Side, Side]:
    """Return two sides with their images in the same order.

    Raises:
        UserError: They differ in images, labels or classes, or only one has images.
    """
    if bool(first.images) != bool(second.images):
        raise UserError("a table has no counts by image: compare two tables or two folders of evaluations")
    if not first.images:
        for key in first.where.keys() & second.where.keys():
            if first.where[key] != second.where[key]:
                raise UserError(
                    f"{first.name} and {second.name} were scored on different images: "
                    f"{key} is {first.where[key]} and {second.where[key]}"
                )
        if list(first.classes) != list(second.classes):
            raise UserError(
                f"{second.name} is of other classes ({shortened(second.classes)}) than {first.name} "
                f"({shortened(first.classes)})"
            )
        return first, second
    wanted = first.images[0]
    images = [align(one, wanted, run) for one, run in zip(second.images, second.runs, strict=True)]
    return first, Side(second.name, second.runs, second.classes, second.scores, second.where, images)


def _resampled(side: Side, resamples: int, seed: int) -> np.ndarray:
    """Return the scores of a side, averaged over runs, on resampled images: (R, C + 1) in 0..1."""
    total: np.ndarray | float = 0.0
    for run in side.images:
        total = total + np.concatenate([scores_of(sums) for sums in resampled_sums(run.margins, resamples, seed)])
    return np.asarray(total) / len(side.images)


def _spread(first: np.ndarray, second: np.ndarray, resamples: int, seed: int) -> np.ndarray | None:
    """Draw how far the difference of two means of runs may be off: (R, C + 1); None if both are of one run.

    The draws are those of Welch's t interval. A single run is taken to vary as much as those of the other side do.

    Args:
        first: Scores of the runs of one side, (runs, C + 1).
        second: The same of the other.
        resamples: Number of draws.
        seed: Their seed.
    """
    counts = np.array([len(first), len(second)])
    if counts.max() == 1:
        return None
    variances = np.stack([scores.var(axis=0, ddof=1) if len(scores) > 1 else scores[0] for scores in (first, second)])
    freedom = counts - 1
    if counts.min() == 1:
        variances[counts.argmin()] = variances[counts.argmax()]
        squares = variances[0] * (1 / counts).sum()
        degrees = np.full(len(squares), float(freedom.max()))
    else:
        parts = variances / counts[:, None]
        squares = parts.sum(axis=0)
        below = (parts**2 / freedom[:, None]).sum(axis=0)
        degrees = np.divide(squares**2, below, out=np.ones_like(squares), where=below > 0)
    draws = np.random.default_rng([seed, 1]).standard_t(np.nan_to_num(degrees, nan=1.0), (resamples, len(squares)))
    return np.sqrt(squares) * draws


def _signed(value: float) -> str:
    return f"{value:+.1f}" if abs(value) >= 0.05 or value == 0 else f"{value:+.2f}"
