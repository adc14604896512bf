"""Compose a scene: the belt, which objects of what size, and each object pasted over the previous ones."""

import math

import cv2
import numpy as np

from fanet.scenes.background import background
from fanet.scenes.cardboard import cardboard
from fanet.scenes.draw import Draw
from fanet.scenes.metal import metal
from fanet.scenes.objects import SceneObject, mixed, shaded
from fanet.scenes.rigid_plastic import rigid_plastic
from fanet.scenes.soft_plastic import soft_plastic
from fanet.scenes.textures import TILE

Box = tuple[int, int, int, int]  # top, bottom, left, right
Lookup = tuple[np.ndarray, np.ndarray]  # for each pixel of a box x and y on an object's canvas, see `lookup`

MAKERS = (
    background,
    rigid_plastic,
    cardboard,
    metal,
    soft_plastic,
)  # by label, in the order of fanet.classes.ZEROWASTE
MAKER_WEIGHTS = np.array([0.28, 0.185, 0.175, 0.165, 0.19])  # chosen for the classes' shares of the pixels

SMALLEST, LARGEST = 12, 150  # sizes of objects in pixels
FULL_VIEW = 256  # a frame whose short side is longer shows the same part of the belt at a higher resolution
BRIGHTEST = 1.25  # above white, which the lamp and the camera may still darken


def magnification(shape: tuple[int, int]) -> float:
    """Return how many times larger objects are than in a frame of `FULL_VIEW` pixels; 1 for smaller frames."""
    return max(1.0, min(shape) / FULL_VIEW)


def belt(draw: Draw, shape: tuple[int, int]) -> np.ndarray:
    """Draw the empty belt (H, W, 3) float32: dull and dark, with grain and dirt, often ribs, sometimes a seam."""
    across = draw.chance(0.5)
    area = shape[::-1] if across else shape
    broad = max(1.0, max(shape) / TILE) / draw.detail
    brightness = 0.8 + 0.4 * draw.texture("cloud", area, broad) + 0.045 * draw.texture("grain", area)
    kind = draw.one_of({"fibre": 0.35, "fibre and ribs": 0.15, "ribs": 0.5})
    if "fibre" in kind:
        brightness += draw.between(0.01, 0.05) * draw.texture("fibre", area, draw.between(1, 2))
    if "ribs" in kind:
        place = np.arange(area[1], dtype=np.float32) / (draw.between(6, 30) * magnification(shape))
        brightness *= 1 + draw.between(0.02, 0.14) * np.sign(np.sin(2 * math.pi * (place + draw.between(0, 1))))
    if draw.chance(0.3):
        seam = draw.integer(0, area[0])
        breadth = round(draw.integer(1, 5) * magnification(shape))
        brightness[seam : seam + breadth] *= draw.between(0.4, 1.5)
    dirt = np.clip(2.4 * draw.texture("cloud", area, broad) - 1.3, 0, 1) * draw.between(0, 0.8)
    clean = shaded(draw.colour((0, 1), (0, 0.25), (0.14, 0.5)), brightness)
    image = mixed(clean, draw.colour((0.05, 0.12), (0.1, 0.4), (0.1, 0.45)), dirt)
    return np.ascontiguousarray(image.transpose(1, 0, 2) if across else image)


def object_sizes(draw: Draw, shape: tuple[int, int]) -> np.ndarray:
    """Choose the sizes in pixels of the objects of a frame, in the order they are pasted: mostly large ones first.

    Sizes are spread evenly on a log scale, with a preference for large ones that difficulty reduces. Their number grows
    with difficulty, and a little more slowly than the area of the view, because larger views have larger objects.
    """
    short, long = min(shape), max(shape)
    scale = magnification(shape)
    smallest, largest = SMALLEST * scale, min(LARGEST * scale, 0.95 * short)
    views = (short / scale / 128) ** 1.6 * (long / short)
    count = max(3, int(draw.rng.poisson((13 + 7 * draw.difficulty) * views)))
    sizes = smallest * (largest / smallest) ** (draw.rng.random(count) ** (0.55 + 0.35 * draw.difficulty))
    return sizes[np.argsort(-(np.log(sizes) + draw.rng.normal(0, 0.55, count)))]


def compose(draw: Draw, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Draw a cluttered belt: image (H, W, 3) float32 and labels (H, W) uint8."""
    image, labels = belt(draw, shape), np.zeros(shape, np.uint8)
    weights = MAKER_WEIGHTS * draw.rng.uniform(0.4, 1.6, len(MAKERS))
    sizes = object_sizes(draw, shape)
    kinds = draw.rng.choice(len(MAKERS), len(sizes), p=weights / weights.sum())
    angle, length = draw.angle(), draw.between(0.6, 1.3)
    shadow = (length * math.cos(angle), length * math.sin(angle))
    for label, size in zip(kinds.tolist(), sizes.tolist(), strict=True):
        item = MAKERS[label](draw, size)
        # Some are partly outside the frame.
        centre = (draw.between(-0.05, 1.05) * shape[1], draw.between(-0.05, 1.05) * shape[0])
        paste(draw, image, labels, item, label, centre, shadow)
    return image, labels


def paste(
    draw: Draw,
    image: np.ndarray,
    labels: np.ndarray,
    item: SceneObject,
    label: int,
    centre: tuple[float, float],
    shadow: tuple[float, float],
) -> None:
    """Paste an object, rotated and bent at random, and its shadow into image and labels, in place.

    `centre` is x, y in pixels, `shadow` the direction x, y of shadows and their length relative to an object's rise.
    """
    reach = reach_of(item)
    left, top = (max(0, int(place - reach)) for place in centre)
    right, bottom = min(image.shape[1], int(centre[0] + reach) + 1), min(image.shape[0], int(centre[1] + reach) + 1)
    if right - left < 3 or bottom - top < 3:
        return
    box = (top, bottom, left, right)
    lay(image, labels, item, label, lookup(draw, item, box, centre), box, shadow)


def lay(
    image: np.ndarray,
    labels: np.ndarray,
    item: SceneObject,
    label: int,
    places: Lookup,
    box: Box,
    shadow: tuple[float, float],
) -> None:
    """Paste an object that `lookup` has rotated and bent, and its shadow into image and labels, in place."""
    top, bottom, left, right = box
    mask = placed_mask(item, places)
    if mask.max() <= 0.5:
        return
    region = image[top:bottom, left:right]
    _cast_shadow(region, mask, item, item.rise * max(item.mask.shape), shadow)
    region[...] = _covered(region, mask, item, places)
    labels[top:bottom, left:right][mask > 0.5] = label


def reach_of(item: SceneObject) -> float:
    """Return how far from its centre an object and its shadow may extend, in pixels."""
    rise = item.rise * max(item.mask.shape)
    return 0.5 * math.hypot(*item.mask.shape) * (1 + item.warp) + 1.3 * rise + 3


def placed_mask(item: SceneObject, places: Lookup) -> np.ndarray:
    """Return the mask of an object where `lookup` has put it: (h, w) float32."""
    return cv2.remap(item.mask, *places, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)


def lookup(draw: Draw, item: SceneObject, box: Box, centre: tuple[float, float]) -> Lookup:
    """Rotate and bend an object at random: map each pixel of a box to its canvas, x and y (h, w) float32."""
    top, bottom, left, right = box
    height, width = item.mask.shape
    angle = draw.angle()
    cosine, sine = math.cos(angle), math.sin(angle)
    across = np.arange(left, right, dtype=np.float32)[None] - centre[0]
    down = np.arange(top, bottom, dtype=np.float32)[:, None] - centre[1]
    x = cosine * across + sine * down + (width / 2 - 0.5)
    y = cosine * down - sine * across + (height / 2 - 0.5)
    if item.warp > 0.012:  # less is not visible
        strength = 4 * item.warp * min(height, width)
        stretch = max(0.5, max(height, width) / 110) / draw.detail
        x += strength * (draw.texture("soft", x.shape, stretch) - 0.5)
        y += strength * (draw.texture("soft", y.shape, stretch) - 0.5)
    return x, y


def _cast_shadow(
    region: np.ndarray, mask: np.ndarray, item: SceneObject, rise: float, shadow: tuple[float, float]
) -> None:
    """Darken the surroundings of an object, in place; translucent objects cast a weaker shadow."""
    softness = 2 * int(0.8 * rise) + 3
    shift = np.array([[1, 0, shadow[0] * rise], [0, 1, shadow[1] * rise]], np.float32)
    shade = cv2.warpAffine(cv2.blur(mask, (softness, softness)), shift, mask.shape[::-1], flags=cv2.INTER_NEAREST)
    density = 0.5 if item.opacity is None else 0.5 * float(item.opacity.mean())
    region *= (1 - density * shade * (1 - mask))[..., None]


def _covered(region: np.ndarray, mask: np.ndarray, item: SceneObject, places: Lookup) -> np.ndarray:
    """Return the region with the object over it."""

    def placed(canvas: np.ndarray) -> np.ndarray:
        return cv2.remap(canvas, *places, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)

    below, cover = region, mask
    if item.opacity is not None:
        cover = mask * placed(item.opacity)
        if item.frost:
            width = 2 * item.frost + 1
            below = mixed(below, cv2.blur(below, (width, width)), mask)
        if item.tint is not None:
            below = below * (1 - mask[..., None] * (0.55 * (1 - item.tint)))
    result = mixed(below, placed(item.colour), cover)
    if item.highlight is not None:
        result += (mask * placed(item.highlight))[..., None]
    return np.clip(result, 0, BRIGHTEST)
