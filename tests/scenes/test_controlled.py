"""Controlled scenes: each cause changes what it is about, and nothing else."""

from dataclasses import dataclass, field, fields

import cv2
import numpy as np
import pytest

from fanet.classes import ZEROWASTE
from fanet.scenes import Causes, controlled, scene
from fanet.scenes.causes import RANGES

SIZE = 200
SOFT = ZEROWASTE.names.index("soft_plastic")

# Of each cause some values; what can be measured of it grows with them.
SWEEPS = {
    "object_size": (0.06, 0.12, 0.2),
    "translucency": (0, 0.5, 0.9),
    "occlusion": (0, 0.25, 0.5),
    "colour_overlap": (0, 0.5, 1),
    "object_count": (3, 8, 16),
    "crease_strength": (0, 1, 2),
    "border_distance": (0, 0.1, 0.17),
}

# A small film has room for fewer creases; the means over fewer objects are other ones.
FOLLOWS = {"object_size": {"crease_strength"}, "object_count": set(SWEEPS)}


@dataclass
class Truth:
    """What was drawn into a scene."""

    pasted: list = field(default_factory=list)
    middles: list = field(default_factory=list)
    hidden: list = field(default_factory=list)
    ground: np.ndarray | None = None

    def measures(self) -> dict[str, float]:
        """Each cause as it can be measured from the objects."""
        items = [posed.item for posed in self.pasted]
        films = [posed.item for posed in self.pasted if posed.label == SOFT]
        away = [np.abs(item.colour[item.mask > 0.5].mean(axis=0) - self.ground).mean() for item in items]
        return {
            "object_size": float(np.mean([posed.covered.sum() ** 0.5 for posed in self.pasted]) / SIZE),
            # where it is flat: creases are more opaque
            "translucency": 1 - _mean([np.percentile(film.opacity[film.mask > 0.5], 5) for film in films]),
            "occlusion": float(np.mean(self.hidden)),
            "colour_overlap": 1 - float(np.mean(away)),
            "object_count": len(items),
            "crease_strength": _mean([_contrast(film) for film in films]),
            "border_distance": float(np.mean([min(*middle, SIZE - max(middle)) for middle in self.middles]) / SIZE),
        }


def _mean(values) -> float:
    return float(np.mean(values)) if values else 0.0


def _contrast(film) -> float:
    brightness = film.colour.mean(axis=2)[film.mask > 0.5]
    return float(brightness.std() / brightness.mean())


@pytest.fixture
def draw(monkeypatch):
    """Draw a scene and return what was drawn into it."""
    truth = Truth()
    paste, centres, recoloured = controlled._Posed.paste, controlled._centres, controlled._recoloured

    def record_paste(self, image, labels, centre, shadow):
        truth.pasted.append(self)
        paste(self, image, labels, centre, shadow)

    def record_centres(lower, upper, middle, angle, occlusion):
        first, second = centres(lower, upper, middle, angle, occlusion)
        truth.middles.append(middle)
        truth.hidden.append(controlled._hidden(lower, upper, (second[0] - first[0], second[1] - first[1])))
        return first, second

    def record_ground(item, ground, share):
        truth.ground = ground
        return recoloured(item, ground, share)

    monkeypatch.setattr(controlled._Posed, "paste", record_paste)
    monkeypatch.setattr(controlled, "_centres", record_centres)
    monkeypatch.setattr(controlled, "_recoloured", record_ground)

    def drawn(index, causes):
        truth.__init__()
        scene(1, index, SIZE, causes=causes)
        return truth.measures()

    return drawn


def test_every_cause_has_a_range_and_is_swept():
    assert set(RANGES) == {entry.name for entry in fields(Causes)} == set(SWEEPS)


@pytest.mark.parametrize("cause", SWEEPS)
def test_a_cause_grows_with_its_value_and_the_others_stay(cause, draw):
    values = SWEEPS[cause]
    for index in (0, 3):
        found = [draw(index, {cause: value}) for value in values]
        own = [measures[cause] for measures in found]
        assert own == sorted(own) and len(set(own)) == len(own)
        for other in SWEEPS:
            if other != cause and other not in FOLLOWS.get(cause, ()):
                measured = [measures[other] for measures in found]
                assert measured == pytest.approx([measured[0]] * 3, abs=0.08), other


@pytest.mark.parametrize("cause", ["translucency", "colour_overlap", "crease_strength"])
def test_causes_of_appearance_leave_labels_alone(cause):
    (first, labels), (second, others) = (scene(1, 0, SIZE, causes={cause: SWEEPS[cause][end]}) for end in (0, 2))
    assert (labels == others).all() and (first != second).any()


def test_translucency_changes_films_and_their_shadows_only():
    (first, labels), (second, _) = (scene(1, 0, SIZE, causes={"translucency": value}) for value in (0, 0.9))
    near = cv2.dilate((labels == SOFT).astype(np.uint8), np.ones((41, 41), np.uint8)).astype(bool)
    assert (first[near] != second[near]).any()
    # the camera's blur spreads nothing that far, and its noise is the same
    assert (first[~near] == second[~near]).all()


def test_scenes_with_fewer_objects_are_parts_of_those_with_more():
    images, labels = zip(*(scene(1, 0, SIZE, causes={"object_count": count}) for count in (4, 8, 16)), strict=True)
    for fewer, more in ((0, 1), (1, 2)):
        shown = labels[fewer] > 0
        assert (labels[fewer][shown] == labels[more][shown]).all()
        assert (images[fewer] == images[more]).all(axis=2).mean() > 0.5, "the belt between objects"
        assert (labels[more] > 0).sum() > shown.sum()


def test_occlusion_is_what_was_asked_for(draw):
    for occlusion in (0, 0.15, 0.3):
        measured = [draw(index, {"occlusion": occlusion})["occlusion"] for index in range(3)]
        assert np.mean(measured) == pytest.approx(occlusion, abs=0.03)


def test_a_scene_without_named_causes_is_the_one_with_the_defaults():
    first, second = scene(1, 2, 128, causes={}), scene(1, 2, 128, causes=Causes())
    assert (first[0] == second[0]).all() and (first[1] == second[1]).all()
    assert (first[0] != scene(1, 2, 128)[0]).any(), "a controlled scene is another one"


@pytest.mark.parametrize("size", [(64, 300), (300, 64), 512])
def test_frames_of_any_shape_have_objects_of_all_classes(size):
    image, labels = scene(0, 0, size, causes={})
    assert image.shape[:2] == labels.shape == (size if isinstance(size, tuple) else (size, size))
    assert set(np.unique(labels)) == set(range(len(ZEROWASTE)))


@pytest.mark.parametrize(
    ("causes", "message"),
    [
        ({"occlusion": 0.9}, "occlusion must be in 0..0.6, got 0.9"),
        ({"occlusion": float("nan")}, "occlusion must be in"),
        ({"object_count": 2.5}, "whole number"),
        ({"object_count": "4"}, "object_count must be in 1..16, got '4'"),
        ({"colour_overlap": None}, "colour_overlap must be in"),
        ({"haze": 0.5}, "no cause 'haze': choose from object_size, translucency"),
        ({"object_size": 0.04}, "a scene of 128x128 pixels is too small .* at least 200 pixels"),
    ],
)
def test_impossible_causes_are_refused(causes, message):
    with pytest.raises(ValueError, match=message):
        scene(0, 0, 128, causes=causes)
