"""The causes of clutter in a controlled scene, each a number that changes nothing else."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from numbers import Real

SMALLEST_OBJECT = 8  # pixels: materials draw nothing smaller

# Of each cause the lowest and the highest value.
RANGES: dict[str, tuple[float, float]] = {
    "object_size": (0.03, 0.25),
    "translucency": (0, 1),
    "occlusion": (0, 0.6),
    "colour_overlap": (0, 1),
    "object_count": (1, 16),
    "crease_strength": (0, 2),
    "border_distance": (0, 0.25),
}


@dataclass(frozen=True)
class Causes:
    """What makes a controlled scene hard. Two scenes of one seed and index differ in nothing but their causes.

    Attributes:
        object_size: Length of every object as a share of the frame's short side, 0.03..0.25.
        translucency: 1 minus the opacity of every film where it is flat, 0..1; None for each film its own.
        occlusion: Share of the lower object of each pair that the upper one hides, 0..0.6; a thin upper object may hide
            less.
        colour_overlap: How far the mean colour of every object moves to that of the belt, 0..1: at 1 all objects have
            the belt's colour, and so each other's.
        object_count: Number of objects, 1..16. Their classes are balanced: of 16, 4 belong to no class and 3 to each.
        crease_strength: Factor on the contrast of creases, 0..2: 0 for smooth sheets, 1 as drawn.
        border_distance: Distance from the middle of each pair to the frame's border as a share of the short side,
            0..0.25: at 0 half of the pair is outside.

    Raises:
        ValueError: A value is out of range.
    """

    object_size: float = 0.16
    translucency: float | None = None
    occlusion: float = 0.25
    colour_overlap: float = 0.0
    object_count: int = 16
    crease_strength: float = 1.0
    border_distance: float = 0.17

    def __post_init__(self) -> None:
        for name, (low, high) in RANGES.items():
            value = getattr(self, name)
            if name == "translucency" and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, Real) or not low <= float(value) <= high:
                raise ValueError(f"{name} must be in {low}..{high}, got {value!r}")
        if self.object_count != int(self.object_count):
            raise ValueError(f"object_count must be a whole number, got {self.object_count}")

    def size_in(self, shape: tuple[int, int]) -> float:
        """Return the length of objects in pixels in a frame of a height and a width.

        Raises:
            ValueError: The frame is too small to draw them.
        """
        size = self.object_size * min(shape)
        if size < SMALLEST_OBJECT:
            raise ValueError(
                f"a scene of {shape[0]}x{shape[1]} pixels is too small for objects of {self.object_size:g} of its "
                f"short side: it needs sides of at least {math.ceil(SMALLEST_OBJECT / self.object_size)} pixels"
            )
        return size

    @classmethod
    def of(cls, values: "Causes | Mapping[str, float]") -> "Causes":
        """Build it from a mapping of names to values; causes that are left out have their defaults.

        Raises:
            ValueError: There is no cause of a name, or a value is out of range.
        """
        if isinstance(values, Causes):
            return values
        names = [field.name for field in fields(cls)]
        if unknown := [str(name) for name in values if name not in names]:
            raise ValueError(f"there is no cause {unknown[0]!r}: choose from {', '.join(names)}")
        return cls(**values)  # type: ignore[arg-type]
