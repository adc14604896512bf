"""The classes of a segmentation task: their names, their colours and the label that does not count."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

# What people call the class of everything else, without spaces and punctuation; the first that occurs is meant.
_BACKGROUNDS = (
    "background",
    "backgroundclass",
    "bg",
    "bkg",
    "bkgd",
    "backgroundclutter",
    "clutterbackground",
    "unlabeled",
    "unlabelled",
    "void",
    "none",
)


@dataclass(frozen=True)
class ClassScheme:
    """What the integers in a label map mean.

    The class with index `i` is called `names[i]` and drawn in `palette[i]` (RGB, 0..255); without a palette in colours
    that differ from each other. Pixels labelled `ignore_index` take part in neither loss nor metrics.

    Raises:
        ValueError: Names and colours differ in number, or a name occurs twice.
    """

    names: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...] = ()
    ignore_index: int = 255

    def __post_init__(self) -> None:
        if not self.palette:
            object.__setattr__(self, "palette", distinct_colours(len(self.names)))
        if len(self.names) != len(self.palette):
            raise ValueError(f"{len(self.names)} class names, but {len(self.palette)} colours: give one each")
        if len(set(self.names)) != len(self.names):
            raise ValueError(f"class names must differ, got {', '.join(self.names)}")

    def __len__(self) -> int:
        return len(self.names)

    @property
    def background(self) -> int | None:
        """Index of the class that is the background; None if no class is called so."""
        return background_of(self.names)

    @classmethod
    def numbered(cls, count: int) -> "ClassScheme":
        """Return names `class_0`, `class_1`, … and distinct colours, for a task without class names."""
        return cls(tuple(f"class_{index}" for index in range(count)))


def background_of(names: Sequence[str]) -> int | None:
    """Return the index of the class that is the background, by its name: `background`, `_background_`, `BG`, `void`, …

    Args:
        names: Class names, in the order of their indices.
    """
    plain = [re.sub(r"[\W_]", "", name).casefold() for name in names]
    return next((plain.index(name) for name in _BACKGROUNDS if name in plain), None)


def distinct_colours(count: int) -> tuple[tuple[int, int, int], ...]:
    """Return colours of which neighbours differ strongly.

    They are the bits of an index spread over the three channels, most significant first, as in the Pascal VOC colour
    map.
    """
    palette = []
    for index in range(count):
        red, green, blue = (
            sum(((index >> (3 * bit + channel)) & 1) << (7 - bit) for bit in range(3)) for channel in range(3)
        )
        palette.append((red, green, blue))
    return tuple(palette)


# The colours of Okabe and Ito that differ in brightness, too, from one to the next.
_COLOUR_BLIND_SAFE = ((213, 94, 0), (240, 228, 66), (0, 114, 178), (204, 121, 167), (0, 158, 115), (86, 180, 233))


def colour_blind_safe(classes: ClassScheme) -> ClassScheme:
    """Return the classes in colours that most colour-blind people can tell apart; unchanged if they are too many.

    The background keeps its colour.
    """
    objects = [index for index in range(len(classes)) if index != classes.background]
    if len(objects) > len(_COLOUR_BLIND_SAFE):
        return classes
    palette = list(classes.palette)
    for index, colour in zip(objects, _COLOUR_BLIND_SAFE, strict=False):
        palette[index] = colour
    return ClassScheme(classes.names, tuple(palette), classes.ignore_index)


# ZeroWaste-f (Bashkirova et al., CVPR 2022); the colours are those of FANet's authors. The generated scenes share it.
ZEROWASTE = ClassScheme(
    names=("background", "rigid_plastic", "cardboard", "metal", "soft_plastic"),
    palette=((10, 10, 10), (230, 5, 5), (4, 200, 3), (204, 5, 255), (5, 128, 148)),
)
