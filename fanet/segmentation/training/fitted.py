"""Fit a recipe to a data set, to the machine and to the minutes that a training may take."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import yaml

from fanet.errors import UserError, counted
from fanet.media.memory import free_memory
from fanet.recipes import load_recipe
from fanet.segmentation.data.folder_config import CONFIG
from fanet.segmentation.data.survey import Survey, draft_prefix, drafted
from fanet.segmentation.training.trial import Trial, try_steps
from fanet.threads import available_cores

BASE = "own"
_MULTIPLE = 32  # of sides: the stride of a backbone's last map
_SIDE, _SMALLEST_SIDE, _LARGEST_SIDE = 480, 320, 960  # pixels of the longer side at which images are shown
_SMALL, _LARGE = 16, 96  # pixels of the sides of objects: below, details are lost; above, they are wasted
_RESERVE = 2  # images are kept larger than they are shown, as they are enlarged at random
_CROP, _LARGE_CROP, _LARGE_FROM = 256, 320, 512  # the crop, and that of images that are shown at this size or larger
_BYTES = 4  # of a pixel: three channels and its label
_MEMORY_SHARE = 4  # the data is kept in memory if that takes at most one part in so many of what is free
_BATCH = 8
_FULLEST = 0.8  # share of the memory that the training may fill
_MOST_WORKERS = 4
_EVALUATIONS, _EVALUATION_SHARE = 5, 0.25  # how many, and which part of the time they may take
_FEWEST_STEPS = 20
_WARMUP = 14  # one step in so many; as in the recipe `own`
_TRIAL_SHARE = 0.05  # of the time, for the steps that tell how many fit into it
_SLOWER = 1.1  # steps of minutes are slower than those of a trial: processors heat up, and machines are shared

Size = tuple[int, int]


@dataclass(frozen=True)
class Length:
    """How long a training is.

    Attributes:
        iterations: Optimizer steps.
        every: Steps from one evaluation to the next.
        warmup: Steps of the warm-up.
        seconds: The time that it will take.
    """

    iterations: int
    every: int
    warmup: int
    seconds: float


def fit_to_minutes(
    minutes: float, seconds_per_step: float, seconds_per_evaluation: float, start_seconds: float
) -> Length:
    """Return how many steps fit into a time, with the start and about five evaluations.

    There are fewer evaluations, but at least one, where five would take more than a quarter of the time.

    Args:
        minutes: The time for all.
        seconds_per_step: Of an optimizer step.
        seconds_per_evaluation: Of an evaluation.
        start_seconds: Until the first step.
    """
    left = max(0.0, 60 * minutes - start_seconds)
    affordable = int(_EVALUATION_SHARE * left / max(seconds_per_evaluation, 1e-6))
    evaluations = min(max(1, affordable), _EVALUATIONS)
    steps = int((left - evaluations * seconds_per_evaluation) / max(seconds_per_step, 1e-6))
    every = max(steps, _FEWEST_STEPS) // evaluations
    iterations = every * evaluations
    seconds = start_seconds + iterations * seconds_per_step + evaluations * seconds_per_evaluation
    return Length(iterations, every, max(1, iterations // _WARMUP), seconds)


def working_side(sizes: Sequence[Size], objects: Sequence[float]) -> int:
    """Return the longer side, in pixels, at which images are shown: a multiple of 32.

    It is 480, or the images' own if they are smaller. Small objects need more: where a quarter of the objects have
    sides of fewer than 16 pixels at that size, it is the one at which they have 16, at most 960. Large objects need
    less: where three quarters have more than 96 pixels, it is the one at which they have 96, at least 320. An object's
    side is the square root of its area.

    Args:
        sizes: Height and width of the images.
        objects: The sides of the objects, as shares of the longer side of their image.
    """
    own = int(np.median([max(size) for size in sizes]))
    side = float(_SIDE)
    if objects:
        smaller = float(np.quantile(objects, 0.25))
        if smaller * side < _SMALL:
            side = min(_SMALL / smaller, _LARGEST_SIDE)
        elif smaller * side > _LARGE:
            side = max(_LARGE / smaller, _SMALLEST_SIDE)
    return _up(min(side, own))


def crop_of(side: int, sizes: Sequence[Size]) -> list[int]:
    """Return height and width of the crops: multiples of 32 that the images, as they are shown, fill.

    Args:
        side: The longer side at which images are shown.
        sizes: Height and width of the images.
    """
    largest = _LARGE_CROP if side >= _LARGE_FROM else _CROP
    shares = np.array(sizes, dtype=float) / np.max(sizes, axis=1, keepdims=True)
    return [min(largest, _up(share * side)) for share in np.median(shares, axis=0)]


def _up(side: float) -> int:
    return max(1, -int(-side // _MULTIPLE)) * _MULTIPLE


def fitted_sections(
    sizes: Sequence[Size], objects: Sequence[float], train: str = "train", val: str = "val"
) -> dict[str, dict[str, Any]]:
    """Return what a recipe with `base: own` says about a data set, before its length is known.

    Args:
        sizes: Height and width of all images of both splits.
        objects: The sides of the objects, as for `working_side`.
        train: Name of the split to learn from.
        val: Name of the split to validate on.
    """
    side = working_side(sizes, objects)
    longest = _RESERVE * side
    pixels = sum(height * width * min(1.0, longest / max(height, width)) ** 2 for height, width in sizes)
    in_memory = _BYTES * pixels * _MEMORY_SHARE <= free_memory()
    workers = 0 if in_memory else max(1, min(available_cores() - 1, _MOST_WORKERS))
    return {
        "data": {
            "train_split": train,
            "val_split": val,
            "longest_side": longest,
            "in_memory": in_memory,
            "workers": workers,
        },
        "augmentation": {"fit": [side, side], "crop": crop_of(side, sizes)},
        "train": {"batch_size": _BATCH},
        "evaluation": {"fit": [side, side]},
    }


def fit_recipe(
    sections: Mapping[str, Mapping[str, Any]], minutes: float, attempt: Callable[[dict[str, dict[str, Any]]], Trial]
) -> tuple[dict[str, dict[str, Any]], Length]:
    """Fit the batch to the memory, and the number of steps to the minutes.

    Args:
        sections: As `fitted_sections` returns them.
        minutes: How long the training may take.
        attempt: Takes a few steps with such sections and says what they cost.

    Returns:
        The sections with all that differs from the recipe `own`, and the length of the training.

    Raises:
        UserError: Not even a few steps fit into the time.
    """
    fitted = {name: dict(section) for name, section in sections.items()}
    cost = attempt(fitted)
    while fitted["train"]["batch_size"] > 2 and cost.free_mb and _is_full(cost):
        fitted["train"]["batch_size"] //= 2
        cost = attempt(fitted)
    seconds_per_step = _SLOWER * cost.seconds_per_step
    length = fit_to_minutes(minutes, seconds_per_step, cost.seconds_per_evaluation, cost.start_seconds)
    if length.seconds > 1.25 * 60 * minutes:
        raise UserError(
            f"--minutes {minutes:g} is too short: the start, {length.iterations} steps and an evaluation take "
            f"{length.seconds / 60:.1f} minutes: give --minutes {-int(-2 * length.seconds // 60)} or more"
        )
    fitted["train"]["iterations"] = length.iterations
    fitted["scheduler"] = {"warmup_iterations": length.warmup}
    fitted["evaluation"]["every"] = length.every
    return fitted, length


def _is_full(cost: Trial) -> bool:
    return cost.peak_mb > _FULLEST * (cost.peak_mb + cost.free_mb)


@dataclass(frozen=True)
class FittedRecipe:
    """The text of a recipe with `base: own`, and a line that says what was chosen."""

    text: str
    line: str


def recipe_for(survey: Survey, minutes: float) -> FittedRecipe:
    """Fit a recipe to a data set, which need not have been described yet; nothing stays written.

    Args:
        survey: The data set.
        minutes: How long the training may take on this machine.

    Raises:
        UserError: The data cannot be trained on, or not even a few steps fit into the time.
    """
    looks = [*survey.looks[survey.train], *survey.looks[survey.val]]
    objects = [side for look in survey.looks[survey.train] for side in look.objects]
    sections = fitted_sections([look.size for look in looks], objects, survey.train, survey.val)
    prefix = draft_prefix()
    drafts = survey.texts(prefix)
    with drafted(survey.root, drafts):
        try:
            options = {"description": f"{prefix}{CONFIG}"} if drafts else {}
            seconds = _TRIAL_SHARE * 60 * minutes
            sections, length = fit_recipe(
                sections, minutes, lambda some: try_steps(_whole(some, survey, options), seconds=seconds)
            )
        except UserError as error:
            raise UserError(str(error).replace(prefix, "")) from error
    time = counted(max(1, round(length.seconds / 60)), "minute")
    side, crop, batch = sections["augmentation"]["fit"][0], sections["augmentation"]["crop"], sections["train"]
    chosen = (
        f"{length.iterations} steps of {batch['batch_size']} crops of {crop[0]}x{crop[1]}, images at {side} pixels, "
        f"{length.iterations // length.every} evaluations"
    )
    text = yaml.safe_dump(sections, sort_keys=False, default_flow_style=None, width=120, allow_unicode=True)
    header = (
        f"# Written by `fanet init --minutes {minutes:g}`: what differs from the recipe `{BASE}`, whose path\n"
        f"# `fanet recipes {BASE}` prints. On this machine it takes about {time}:\n"
        f"# {chosen}.\n"
    )
    line = f"training: about {time} on this machine: {chosen}"
    return FittedRecipe(f"{header}\nbase: {BASE}\n\n{text}", line)


def _whole(sections: Mapping[str, Mapping[str, Any]], survey: Survey, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the recipe that differs from `own` by some sections."""
    recipe = load_recipe(BASE)
    for name, section in sections.items():
        recipe[name] = {**recipe[name], **section}
    recipe["data"] |= {"root": str(survey.root), "train_kwargs": dict(options), "val_kwargs": dict(options)}
    return recipe
