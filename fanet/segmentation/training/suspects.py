"""Which labels of a data set are most likely wrong: those that models which were trained without them contradict."""

import csv
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from fanet.errors import UserError, counted
from fanet.files import atomic_path, make_folder
from fanet.recipes import flatten, load_recipe
from fanet.segmentation.data import list_splits, open_dataset, takes_option
from fanet.segmentation.data.changed import Shrunken
from fanet.segmentation.data.dataset import SegmentationDataset
from fanet.segmentation.data.parts import Part
from fanet.segmentation.evaluation.metrics import ConfusionMatrix
from fanet.segmentation.evaluation.report.examples import Example
from fanet.segmentation.evaluation.report.images import legend
from fanet.segmentation.evaluation.report.page import paragraph, section, table, write_page
from fanet.segmentation.network.saving import FINAL
from fanet.segmentation.network.shipped import load_model
from fanet.segmentation.prediction.predictor import Predictor
from fanet.segmentation.processes import join_processes
from fanet.segmentation.training.fitted import BASE, fitted_sections
from fanet.segmentation.training.run import Run
from fanet.segmentation.training.settings import Settings
from fanet.segmentation.training.train import train
from fanet.segmentation.training.trial import mean_step

TABLE, PAGE = "suspects.csv", "suspects.html"
_PLAN, _SCORES = "plan.json", "scores.csv"
_SHOWN = 24  # images of the page
_LISTED = 100  # rows of its table
_LEAST_PROBABILITY = 1e-4  # a single pixel cannot count for more than that
_SIZES_READ = 16  # images
_TRIAL_STEPS = 5
_FEWEST_STEPS = 40
_WARMUP = 14  # one step in so many; as in the recipe `own`
_LATE = 1.5  # times as long as was asked for is worth a note
_TRAINING_SHARE = 0.85  # of the time; the rest is for evaluation and scoring


@dataclass(frozen=True)
class Suspect:
    """An image and how much a model that was trained without it contradicts its labels.

    Attributes:
        split: The split that it is from.
        image: Its name.
        fold: The model, by the number of the part that it was trained without.
        cross_entropy: Mean of -log of the probability of the labelled class over the labelled pixels; nan without any.
        miou: Mean IoU of prediction and labels, in %.
        pixel_accuracy: Share of pixels that agree, in %.
    """

    split: str
    image: str
    fold: int
    cross_entropy: float
    miou: float
    pixel_accuracy: float


def find_suspects(
    kind: str,
    root: str | Path | None,
    output: str | Path,
    splits: Sequence[str] | None = None,
    folds: int = 3,
    minutes: float = 10.0,
    overrides: Sequence[str] = (),
    **options: Any,
) -> list[Suspect]:
    """Rank the images of a data set by how likely their labels are wrong, and write `suspects.csv` and `suspects.html`.

    The images are divided at random into parts; for each, a small model is trained on the other parts and scores the
    images of this one. The recipe is `own`, fitted to the data. If it is interrupted, the same call continues.

    Args:
        kind: As for `open_dataset`.
        root: As for `open_dataset`.
        output: The folder for the results, the models included.
        splits: Names of the splits; all by default.
        folds: Number of parts, 2 or more.
        minutes: About how long all of it may take.
        overrides: Settings `KEY=VALUE` of the recipe that replace those that are chosen for the data.
        options: As for `open_dataset`.

    Returns:
        All images, the most suspicious first.

    Raises:
        UserError: The data cannot be read or has fewer images than parts, or the folder has other results.
    """
    verify = {key: value for key, value in options.items() if key == "verify"}
    names = list(dict.fromkeys(splits or list_splits(kind, root, **verify)))
    if takes_option(kind, root, "strict"):
        options["strict"] = False  # images without labels are left out
    data = Part({name: open_dataset(kind, root, name, **options) for name in names})
    if len(data) < folds:
        raise UserError(f"{counted(len(data), 'image')} cannot be divided into {folds} parts: lower --folds")
    folder = make_folder(output)
    parts = data.folds(folds)
    stated = {
        "dataset": kind,
        "root": None if root is None else str(Path(root).resolve()),
        "splits": names,
        "images": len(data),
        "folds": folds,
        "minutes": minutes,
        "overrides": list(overrides),
    }
    recipe = _planned(folder, stated, parts[0], overrides)
    found: list[Suspect] = []
    for fold, (rest, own) in enumerate(parts):
        found += _of_fold(folder / f"fold_{fold}", fold, recipe, rest, own)
    ranked = most_suspicious_first(found)
    _write_table(folder / TABLE, ranked)
    _write_page(folder, data, ranked)
    return ranked


def most_suspicious_first(found: Sequence[Suspect]) -> list[Suspect]:
    """Order images by mIoU and cross-entropy together: by the difference of their standard scores, the lowest first.

    The mIoU finds wrong classes on small objects, the cross-entropy what is left out of a large one; together they find
    more than either. Images without labelled pixels come last.
    """
    scores = np.array([(one.miou, one.cross_entropy) for one in found]).reshape(-1, 2)
    some = scores[~np.isnan(scores[:, 0])]
    spread = np.where(some.std(axis=0) > 0, some.std(axis=0), 1) if len(some) else 1
    standard = (scores - (some.mean(axis=0) if len(some) else 0)) / spread
    return [found[index] for index in np.argsort(standard[:, 0] - standard[:, 1], kind="stable")]  # nan is last


def score_images(predictor: Predictor, dataset: Part, fold: int) -> list[Suspect]:
    """Compare the labels of all images with a prediction.

    Raises:
        UserError: An image cannot be read.
    """
    found = []
    for index in tqdm(range(len(dataset)), desc=f"part {fold + 1}: scoring", unit="image", disable=None):
        sample = dataset[index]
        assert sample.labels is not None, "data sets have labels"
        probabilities = predictor.probabilities(sample.image)
        confusion = ConfusionMatrix(len(dataset.classes), dataset.classes.ignore_index)
        confusion.update(probabilities.argmax(axis=0), sample.labels)
        split, place = dataset.places[index]
        found.append(
            Suspect(
                split,
                dataset.splits_by_name[split].names[place],
                fold,
                cross_entropy(probabilities, sample.labels, dataset.classes.ignore_index),
                100 * confusion.miou,
                100 * confusion.pixel_accuracy,
            )
        )
    return found


def cross_entropy(probabilities: np.ndarray, labels: np.ndarray, ignore_index: int) -> float:
    """Return the mean cross-entropy of labels (H, W) under probabilities (C, H, W), nan if no pixel is labelled."""
    rows, columns = np.nonzero(labels != ignore_index)
    if not len(rows):
        return float("nan")
    of_labels = probabilities[labels[rows, columns], rows, columns]
    return float(-np.log(np.maximum(of_labels, _LEAST_PROBABILITY)).mean())


def _planned(folder: Path, stated: dict[str, Any], part: tuple[Part, Part], overrides: Sequence[str]) -> dict[str, Any]:
    """Return the recipe of every fold: that of an earlier start, or one that takes the stated time.

    Raises:
        UserError: The folder holds something else.
    """
    plan = folder / _PLAN
    if plan.is_file():
        before = json.loads(plan.read_text(encoding="utf-8"))
        if before["stated"] != stated:
            changed = ", ".join(key for key in stated if before["stated"].get(key) != stated[key])
            raise UserError(f"{folder} has the results of another search ({changed} differ): choose another folder")
        return before["recipe"]
    if any(folder.iterdir()):
        raise UserError(f"{folder} is not empty: choose another folder")
    fitted = [*_fitted(part[0]), *overrides]
    recipe = load_recipe(BASE, fitted)
    if not any(override.startswith("train.iterations=") for override in overrides):
        each = 60 * stated["minutes"] * _TRAINING_SHARE / stated["folds"]
        pace = _seconds_per_step(recipe, part)
        steps = max(_FEWEST_STEPS, int(each / pace))
        if steps * pace > _LATE * each:
            minutes = steps * pace * stated["folds"] / _TRAINING_SHARE / 60
            about = f"{minutes:.0f}" if minutes >= 10 else f"{minutes:.2g}"
            note = f"note: {steps} steps for each model are the fewest, so it takes about {about} minutes"
            print(note, file=sys.stderr)
        length = [f"train.iterations={steps}", f"evaluation.every={steps}"]
        recipe = load_recipe(BASE, [*length, f"scheduler.warmup_iterations={steps // _WARMUP}", *fitted])
    with atomic_path(plan) as path:
        path.write_text(json.dumps({"stated": stated, "recipe": recipe}, indent=1) + "\n", encoding="utf-8")
    return recipe


def _fitted(dataset: SegmentationDataset) -> list[str]:
    """Return the settings that fit the data, by the sizes of a few images."""
    places = np.linspace(0, len(dataset) - 1, min(_SIZES_READ, len(dataset))).round().astype(int)
    sizes = [dataset.load_image(int(index)).shape[:2] for index in places]
    sections = fitted_sections(sizes * -(-len(dataset) // len(sizes)), [], "others", "held_out")
    return [f"{key}={json.dumps(value)}" for key, value in flatten(sections)]


def _seconds_per_step(recipe: dict[str, Any], part: tuple[Part, Part]) -> float:
    """Measure how long a training step takes."""
    trial = recipe | {"data": recipe["data"] | {"in_memory": False}}
    run = Run.build(Settings.from_recipe(trial), join_processes(), data=_shrunken(recipe, part))
    return mean_step(run, run.batches(), _TRIAL_STEPS)


def _shrunken(recipe: dict[str, Any], part: tuple[Part, Part]) -> tuple[Shrunken, Shrunken]:
    """Return a part with images of the size at which the recipe keeps them."""
    rest, own = (Shrunken(side, recipe["data"]["longest_side"]) for side in part)
    return rest, own


def _of_fold(folder: Path, fold: int, recipe: dict[str, Any], rest: Part, own: Part) -> list[Suspect]:
    """Train the model of a fold and score its images, unless an earlier start has done so."""
    path = folder / _SCORES
    if not path.is_file():
        try:
            train(recipe, folder, resume=True, data=_shrunken(recipe, (rest, own)))
        except KeyboardInterrupt as interrupt:
            raise KeyboardInterrupt(f"in part {fold + 1}; the same command continues") from interrupt
        _write_table(path, score_images(_predictor(folder), own, fold))
    with path.open(newline="", encoding="utf-8", errors="surrogateescape") as file:
        rows = list(csv.reader(file))[1:]
    return [
        Suspect(split, image, int(number), float(entropy), float(miou), float(accuracy))
        for split, image, number, entropy, miou, accuracy in rows
    ]


def _predictor(folder: Path) -> Predictor:
    return load_model(folder / FINAL).predictor(thresholds=False)


def _write_table(path: Path, suspects: Sequence[Suspect]) -> None:
    with (
        atomic_path(path) as temporary,
        temporary.open("w", newline="", encoding="utf-8", errors="surrogateescape") as file,  # any name of a file
    ):
        writer = csv.writer(file)
        writer.writerow(field.name for field in fields(Suspect))
        writer.writerows(map(astuple, suspects))


def _write_page(folder: Path, data: Part, ranked: Sequence[Suspect]) -> None:
    places = {
        (split, data.splits_by_name[split].names[place]): index for index, (split, place) in enumerate(data.places)
    }
    predictors: dict[int, Predictor] = {}
    shown = []
    for rank, suspect in enumerate(ranked[:_SHOWN], 1):
        if suspect.fold not in predictors:
            predictors[suspect.fold] = _predictor(folder / f"fold_{suspect.fold}")
        index = places[suspect.split, suspect.image]
        example = Example.predicted(predictors[suspect.fold], data, index)
        shown.append(example.show(data.classes, f"rank {rank}, cross-entropy {suspect.cross_entropy:.2f}"))
    rows = [
        [rank, suspect.split, suspect.image, *(f"{value:.2f}" for value in list(asdict(suspect).values())[3:])]
        for rank, suspect in enumerate(ranked[:_LISTED], 1)
    ]
    head = ["rank", "split", "image", "cross-entropy", "mIoU, %", "pixel accuracy, %"]
    note = (
        "Each image is compared with the prediction of a model that was trained without it. The first are those whose "
        "labels it contradicts most: wrong labels, or images unlike all others."
    )
    sections = [
        section("The most suspicious labels", paragraph(note), legend(data.classes), *shown),
        section("Ranking", table("By mIoU and cross-entropy together", head, rows), paragraph(f"All of them: {TABLE}")),
    ]
    write_page(folder / PAGE, "Labels to look at", f"{counted(len(ranked), 'image')}.", sections)
