"""Compose a controlled scene: pairs of objects at fixed sites, one over the other, as its causes say.

Every part of a scene (layout, belt, each object, camera) draws from a stream of random numbers of its own, so that a
cause changes what it is about and nothing else.
"""

import math
from dataclasses import dataclass

import numpy as np

from fanet.scenes.camera import photograph
from fanet.scenes.causes import RANGES, Causes
from fanet.scenes.composition import MAKERS, Box, Lookup, belt, lay, lookup, placed_mask, reach_of
from fanet.scenes.draw import Draw
from fanet.scenes.objects import SceneObject

_STREAM = 2  # separates controlled scenes from others of the same seed and index
_LAYOUT, _BELT, _CAMERA, _FIRST_OBJECT = range(4)  # the parts with a stream of their own
_PAIRS = int(RANGES["object_count"][1]) // 2
# Sites of the pairs, down and across: 0 at the near border, 1 in the middle, 2 at the far border. The middle of the
# frame stays empty, so that all pairs are equally far from the border.
_SITES = [(down, across) for down in range(3) for across in range(3) if (down, across) != (1, 1)]
_LABELS = [0] * 4 + [label for label in range(1, len(MAKERS)) for _ in range(3)]
_JITTER = 0.05  # of a side, along the border
_BLACK = 0.02  # a channel of a mean colour that is darker has no shade to change


@dataclass(frozen=True)
class _Posed:
    """An object as it lies, on a square box around its centre."""

    item: SceneObject
    label: int
    places: Lookup
    covered: np.ndarray  # pixels of the box that it covers

    @classmethod
    def of(cls, draw: Draw, item: SceneObject, label: int) -> "_Posed":
        reach = math.ceil(reach_of(item))
        side = 2 * reach + 1
        places = lookup(draw, item, (0, side, 0, side), (reach, reach))
        return cls(item, label, places, placed_mask(item, places) > 0.5)

    @property
    def reach(self) -> int:
        return len(self.covered) // 2

    def paste(
        self, image: np.ndarray, labels: np.ndarray, centre: tuple[int, int], shadow: tuple[float, float]
    ) -> None:
        """Paste the object around `centre`, (row, column), as far as it is inside the frame."""
        window, box = _clipped(centre, self.reach, labels.shape)
        if box[0] < box[1] and box[2] < box[3]:
            x, y = (np.ascontiguousarray(part[window]) for part in self.places)
            lay(image, labels, self.item, self.label, (x, y), box, shadow)


@dataclass(frozen=True)
class _Layout:
    """Where things are, whatever the causes: random choices that all scenes of one seed and index share."""

    labels: list[int]
    sites: list[tuple[int, int]]
    angles: list[float]
    jitters: list[float]
    shadow: tuple[float, float]

    @classmethod
    def of(cls, draw: Draw) -> "_Layout":
        labels = draw.rng.permutation(_LABELS).tolist()
        sites = [_SITES[place] for place in draw.rng.permutation(_PAIRS)]
        angles = [draw.angle() for _ in sites]
        jitters = [draw.between(-_JITTER, _JITTER) for _ in sites]
        angle, length = draw.angle(), draw.between(0.6, 1.3)
        return cls(labels, sites, angles, jitters, (length * math.cos(angle), length * math.sin(angle)))

    def middle(self, pair: int, distance: float, shape: tuple[int, int]) -> tuple[float, float]:
        """Return row and column of the middle of a pair, `distance` pixels from the border."""
        where = []
        for place, side in zip(self.sites[pair], shape, strict=True):
            where.append((distance, side / 2 + self.jitters[pair] * side, side - distance)[place])
        return where[0], where[1]


def controlled_scene(
    seed: int, index: int, shape: tuple[int, int], difficulty: float, detail: float, causes: Causes
) -> tuple[np.ndarray, np.ndarray]:
    """Draw a scene: image (H, W, 3) uint8 RGB and labels (H, W) uint8.

    Raises:
        ValueError: The frame is too small for such objects.
    """
    size = causes.size_in(shape)
    opacity = None if causes.translucency is None else 1 - causes.translucency

    def drawing(part: int) -> Draw:
        rng = np.random.default_rng([seed, index, _STREAM, part])
        return Draw(rng, difficulty, detail, float(causes.crease_strength), opacity)

    layout = _Layout.of(drawing(_LAYOUT))
    image, labels = belt(drawing(_BELT), shape), np.zeros(shape, np.uint8)
    ground = image.mean(axis=(0, 1))
    for pair in range(math.ceil(causes.object_count / 2)):
        objects = []
        for number in (2 * pair, 2 * pair + 1):
            draw, label = drawing(_FIRST_OBJECT + number), layout.labels[number]
            item = _recoloured(MAKERS[label](draw, size), ground, causes.colour_overlap)
            objects.append(_Posed.of(draw, item, label))
        middle = layout.middle(pair, causes.border_distance * min(shape), shape)
        centres = _centres(objects[0], objects[1], middle, layout.angles[pair], causes.occlusion)
        for posed, centre in list(zip(objects, centres, strict=True))[: int(causes.object_count) - 2 * pair]:
            posed.paste(image, labels, centre, layout.shadow)
    return photograph(drawing(_CAMERA), image), labels


def _recoloured(item: SceneObject, ground: np.ndarray, share: float) -> SceneObject:
    """Move the mean colour of an object, in place, by a share of the way to the belt's, `ground` (3,)."""
    if share:
        mean = item.colour[item.mask > 0.5].mean(axis=0)
        # A factor, as shading has, keeps the contrast of the surface; black has no shading to keep.
        item.colour *= (1 - share + share * ground / np.maximum(mean, _BLACK)).astype(np.float32)
        if item.tint is not None:
            item.tint = (item.tint + share * (item.tint.mean() - item.tint)).astype(np.float32)
    return item


def _centres(
    lower: _Posed, upper: _Posed, middle: tuple[float, float], angle: float, occlusion: float
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return the centres, (row, column), at which the upper object of a pair hides the wanted share of the lower one.

    They approach each other on a line through their middle until one step more would hide too much.
    """
    down, across = math.sin(angle), math.cos(angle)
    steps = [(round(step * down), round(step * across)) for step in range(lower.reach + upper.reach, -1, -1)]
    hidden = np.array([_hidden(lower, upper, step) for step in steps])
    above = np.flatnonzero(hidden > occlusion)
    chosen = int(above[0]) if len(above) else int(hidden.argmax())
    if len(above) and chosen and occlusion - hidden[chosen - 1] <= hidden[chosen] - occlusion:
        chosen -= 1
    step = steps[chosen]
    first = round(middle[0] - step[0] / 2), round(middle[1] - step[1] / 2)
    return first, (first[0] + step[0], first[1] + step[1])


def _hidden(lower: _Posed, upper: _Posed, step: tuple[int, int]) -> float:
    """Return the share of the lower object that the upper one hides, `step` (rows, columns) from its centre."""
    window, (top, bottom, left, right) = _clipped(
        (lower.reach + step[0], lower.reach + step[1]), upper.reach, lower.covered.shape
    )
    both = lower.covered[top:bottom, left:right] & upper.covered[window]
    return float(np.count_nonzero(both) / np.count_nonzero(lower.covered))


def _clipped(centre: tuple[int, int], reach: int, shape: tuple[int, ...]) -> tuple[tuple[slice, slice], Box]:
    """Clip a square box around a centre to an image: the part of the box that is inside, and where it is there."""
    top, left = centre[0] - reach, centre[1] - reach
    side = 2 * reach + 1
    rows = slice(max(0, -top), max(0, min(side, shape[0] - top)))
    columns = slice(max(0, -left), max(0, min(side, shape[1] - left)))
    return (rows, columns), (top + rows.start, top + rows.stop, left + columns.start, left + columns.stop)
