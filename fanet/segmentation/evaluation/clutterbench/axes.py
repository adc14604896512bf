"""The axes of ClutterBench: for each cause of clutter the values that are swept, and how they are shown."""

from collections.abc import Sequence
from dataclasses import dataclass

from fanet.errors import UserError


@dataclass(frozen=True)
class Axis:
    """One cause of clutter.

    Attributes:
        name: That of the cause, an attribute of `fanet.scenes.Causes`.
        title: What people call it.
        unit: What the numbers on the axis are.
        values: Those that are swept, in ascending order.
        factor: From a value to the number on the axis.
        meaning: What changes along the axis.
    """

    name: str
    title: str
    unit: str
    values: tuple[float, ...]
    factor: float
    meaning: str

    def shown(self, value: float) -> float:
        """Return the number on the axis."""
        return round(self.factor * value, 6)


AXES = {
    axis.name: axis
    for axis in (
        Axis(
            "object_size",
            "Object size",
            "% of the short side",
            (0.04, 0.06, 0.09, 0.12, 0.16, 0.2),
            100,
            "The length of every object; their number, places and the share that is hidden stay.",
        ),
        Axis(
            "translucency",
            "Translucency",
            "% of the light that films let through",
            (0, 0.25, 0.5, 0.75, 0.9),
            100,
            "How much of what is below a film of soft plastic shows through it where it is flat; 0 is opaque.",
        ),
        Axis(
            "occlusion",
            "Occlusion",
            "% of the lower object hidden",
            (0, 0.1, 0.25, 0.4, 0.6),
            100,
            "How much of one object of each pair the other hides: they move over each other.",
        ),
        Axis(
            "colour_overlap",
            "Colour overlap",
            "% of the way to the belt's colour",
            (0, 0.25, 0.5, 0.75, 1),
            100,
            "How far the mean colour of every object moves to that of the belt; at 100 all objects have the colour of "
            "the belt and of each other, and only surface and shape tell them apart.",
        ),
        Axis(
            "object_count",
            "Number of objects",
            "objects",
            (2, 4, 8, 12, 16),
            1,
            "How many objects there are, of which each pair overlaps; those of a lower number stay where they are.",
        ),
        Axis(
            "crease_strength",
            "Crease strength",
            "times the usual contrast",
            (0, 0.5, 1, 1.5, 2),
            1,
            "The contrast of creases in films, foil, dented cans and paper; 0 is smooth, 1 as in other scenes.",
        ),
        Axis(
            "border_distance",
            "Distance to the border",
            "% of the short side",
            (0, 0.04, 0.08, 0.12, 0.17, 0.22),
            100,
            "How far the middle of each pair of objects is from the border of the image, which cuts it in half at 0.",
        ),
    )
}


def axes_of(names: Sequence[str] | None) -> list[Axis]:
    """Return axes by name, in the order of `AXES`; all without names.

    Raises:
        UserError: There is no axis of a name.
    """
    if unknown := [name for name in names or () if name not in AXES]:
        raise UserError(f"there is no axis {unknown[0]!r}: choose from {', '.join(AXES)}")
    return [axis for axis in AXES.values() if names is None or axis.name in names]
