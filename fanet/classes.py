"""The classes of a segmentation task: their names, their colours and the label that does not count."""

from collections.abc import Sequence
from dataclasses import dataclass

# What people call the class of everything else, in lower case and without anything but letters.
_BACKGROUND = ("background", "backgroundclass", "bg", "bkg", "bkgd")


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

    @classmethod
    def numbered(cls, count: int) -> "ClassScheme":
        """Return names `class_0`, `class_1`, … and distinct colours, for a task without class names."""
        return cls(tuple(f"class_{index}" for index in range(count)))


def background_index(names: Sequence[str]) -> int | None:
    """Return the index of the first class that is the background by its name, or None.

    Case and punctuation do not matter: `Background`, `_background_` and `bg` are backgrounds.
    """
    plain = ["".join(filter(str.isalpha, name.casefold())) for name in names]
    return next((index for index, name in enumerate(plain) if name in _BACKGROUND), None)


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


# ZeroWaste-f (Bashkirova et al., CVPR 2022); the colours are those of FANet's authors. The generated scenes share it.
ZEROWASTE = ClassScheme(
    names=("background", "rigid_plastic", "cardboard", "metal", "soft_plastic"),
    palette=((10, 10, 10), (230, 5, 5), (4, 200, 3), (204, 5, 255), (5, 128, 148)),
)
