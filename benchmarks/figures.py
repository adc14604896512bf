"""Draw the figures of the paper that show images: on generated scenes, or on any labelled images.

    python benchmarks/figures.py                         # all, on scenes, into docs/figures/
    python benchmarks/figures.py models frequencies      # some of them
    python benchmarks/figures.py models --dataset folder --data my_photos --split val --model own=runs/a/best -o out

challenges    Figure 1: the images of a split that are hard in four measurable ways, with their truth
frequencies   Figure 2: an image, its blur, their product and their difference: equations 1 to 3
models        Figure 5: images with their truth and the predictions of several models
refinement    Figure 6: input, low and high frequencies and output of an FRM, as `fanet features` draws them

Which images are shown is not a choice: the first `--count` of the split are measured, and a figure takes those at the
ends or in the middle of what it measures.
"""

import argparse
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from clutter import ColourHistogram

from fanet.classes import ClassScheme, colour_blind_safe
from fanet.errors import UserError
from fanet.features import write_features
from fanet.files import make_folder
from fanet.media.drawing import overlay
from fanet.segmentation import load_model
from fanet.segmentation.data import ClutterScenes, open_dataset
from fanet.segmentation.data.dataset import Sample, SegmentationDataset
from fanet.segmentation.evaluation.breakdown.borders import border_distance
from fanet.segmentation.evaluation.breakdown.sizes import OBJECT_SIZES
from fanet.segmentation.evaluation.metrics import ConfusionMatrix
from fanet.segmentation.evaluation.plots import Panel, plot_panels
from fanet.segmentation.network.shipped import DEFAULT, FOLDER, load_predictor

FIGURES = Path(__file__).parents[1] / "docs" / "figures"
SIDE = 320  # pixels of the longer side of an image in a figure
NEAR = 3  # pixels to the border
TINT = 0.6
TRAINING = 100  # scenes from which the baseline learns the colours of classes
BLUR = 8  # the FRM halves a map; an image in print shows the same idea at an eighth


def shown(sample: Sample) -> tuple[np.ndarray, np.ndarray]:
    """Return image and labels at about the size of a figure's images, so that outlines are equally thin in all."""
    assert sample.labels is not None
    high, wide = sample.labels.shape
    factor = SIDE / max(high, wide)
    size = (round(wide * factor), round(high * factor))
    image = cv2.resize(sample.image, size, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)
    return image, cv2.resize(sample.labels, size, interpolation=cv2.INTER_NEAREST)


def small_objects(sample: Sample, classes: ClassScheme) -> float:
    """Count the objects that are small by COCO's bound."""
    assert sample.labels is not None
    found = 0
    for index in set(np.unique(sample.labels).tolist()) - {classes.ignore_index, classes.background}:
        _, _, stats, _ = cv2.connectedComponentsWithStats((sample.labels == index).astype(np.uint8), connectivity=8)
        found += int((stats[1:, cv2.CC_STAT_AREA] <= OBJECT_SIZES[0] * sample.labels.size).sum())
    return found


def crowded(sample: Sample, classes: ClassScheme) -> float:
    """Return the share of the labelled pixels that are close to a border, in %."""
    assert sample.labels is not None
    distance = border_distance(sample.labels, classes.ignore_index)
    near = np.count_nonzero(distance <= NEAR * max(sample.labels.shape) / 256)
    return 100 * near / max(1, np.count_nonzero(sample.labels != classes.ignore_index))


def border_contrast(sample: Sample, classes: ClassScheme) -> float:
    """Return the mean difference in colour (CIELAB) of pixels on both sides of a border, inf without borders."""
    assert sample.labels is not None
    lab = cv2.cvtColor(np.float32(sample.image) / 255, cv2.COLOR_RGB2LAB)
    step = max(2, round(NEAR * max(sample.labels.shape) / 256))  # over the blur of the camera
    differences = []
    for axis in (0, 1):
        near, far = (np.moveaxis(sample.labels, axis, 0)[part] for part in (slice(None, -step), slice(step, None)))
        is_border = (near != far) & (near != classes.ignore_index) & (far != classes.ignore_index)
        pixels = np.moveaxis(lab, axis, 0)
        differences.append(np.linalg.norm(pixels[:-step] - pixels[step:], axis=-1)[is_border])
    found = np.concatenate(differences)
    return float(found.mean()) if found.size else math.inf


def inner_edges(sample: Sample, classes: ClassScheme) -> float:
    """Return the mean step in colour (CIELAB) from pixel to pixel inside objects: edges that are no borders."""
    assert sample.labels is not None
    lab = cv2.cvtColor(np.float32(sample.image) / 255, cv2.COLOR_RGB2LAB)
    inside = border_distance(sample.labels, classes.ignore_index) > NEAR
    inside &= sample.labels != (classes.ignore_index if classes.background is None else classes.background)
    steps = np.linalg.norm(np.diff(lab, axis=1), axis=-1)
    return float(steps[inside[:, 1:]].mean()) if inside[:, 1:].any() else 0.0


#: Title, measure, whether the largest or the smallest value is hard, and the value as text.
CHALLENGES: tuple[tuple[str, Callable[[Sample, ClassScheme], float], int, str], ...] = (
    ("small objects", small_objects, 1, "{:.0f} below 0.33 %"),
    ("crowded", crowded, 1, "{:.0f} % near borders"),
    ("low contrast", border_contrast, -1, "ΔE {:.0f} at borders"),
    ("edges inside", inner_edges, 1, "ΔE {:.1f} inside"),
)


def draw_challenges(data: SegmentationDataset, path: Path, models: Mapping[str, str | None], count: int) -> None:
    """Draw the hardest image by each measure that is not shown already, above its truth."""
    classes = colour_blind_safe(data.classes)
    samples = [data[index] for index in range(min(count, len(data)))]
    taken: set[int] = set()
    above: list[Panel] = []
    below: list[Panel] = []
    for title, measure, sign, text in CHALLENGES[: len(samples)]:
        values = [sign * measure(sample, classes) for sample in samples]
        best = next(index for index in np.argsort(values)[::-1].tolist() if index not in taken)
        taken.add(best)
        image, labels = shown(samples[best])
        above.append(Panel(title, image))
        below.append(Panel("", overlay(image, labels, classes, TINT), text.format(abs(values[best]))))
    plot_panels([above, below], path, classes, f"the hardest of {len(samples)} images by each measure, and its truth")


def draw_frequencies(data: SegmentationDataset, path: Path, models: Mapping[str, str | None], count: int) -> None:
    """Draw the brightness of an image, its blur, and their product and difference."""
    image, _ = shown(data[0])
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255
    coarse = cv2.resize(grey, (grey.shape[1] // BLUR, grey.shape[0] // BLUR), interpolation=cv2.INTER_AREA)
    smooth = cv2.resize(coarse, (grey.shape[1], grey.shape[0]), interpolation=cv2.INTER_LINEAR)
    difference = grey - smooth
    reach = float(np.percentile(np.abs(difference), 99))
    panels = [
        Panel("F", grey, "image", "gray", (0, 1)),
        Panel("Q = up(down(F))", smooth, "(1) its blur", "gray", (0, 1)),
        Panel("S = F · Q", grey * smooth, "(2) low frequencies", "gray"),
        Panel("R = F − Q", difference, "(3) high frequencies", "PuOr", (-reach, reach)),
    ]
    plot_panels([panels], path, None, f"down and up by {BLUR}; the FRM by 2, with weights that are learned")


def draw_models(data: SegmentationDataset, path: Path, models: Mapping[str, str | None], count: int) -> None:
    """Draw the images on which the models are worst, middling and best, with the predictions of all."""
    classes = colour_blind_safe(data.classes)
    predict: dict[str, Callable[[np.ndarray], np.ndarray]] = {
        name: load_predictor(model).labels for name, model in models.items()
    }
    if isinstance(data, ClutterScenes):
        source = data.source
        training = ClutterScenes("train", count=TRAINING, size=source.size, difficulty=source.difficulty)
        predict = {"colour alone": ColourHistogram(training), **predict}
    samples = [data[index] for index in range(min(count, len(data)))]
    found = [{name: labels_of(sample.image) for name, labels_of in predict.items()} for sample in samples]
    scores = np.array(
        [[miou(sample, labels, classes) for labels in one.values()] for sample, one in zip(samples, found, strict=True)]
    )
    order = np.argsort(np.nan_to_num(scores.mean(axis=1), nan=-1), kind="stable")
    rows: list[list[Panel]] = []
    for place in dict.fromkeys((0, len(order) // 2, len(order) - 1)):
        index = int(order[place])
        image, truth = shown(samples[index])
        first = not rows  # the titles are the same in all rows
        row = [Panel("image" * first, image), Panel("truth" * first, overlay(image, truth, classes, TINT))]
        for (name, labels), score in zip(found[index].items(), scores[index], strict=True):
            _, small = shown(Sample("", samples[index].image, labels.astype(np.uint8)))
            row.append(Panel(name * first, overlay(image, small, classes, TINT), f"mIoU {100 * score:.1f} %"))
        rows.append(row)
    plot_panels(rows, path, classes, f"worst, middle and best by mean mIoU of the models, of {len(samples)} images")


def miou(sample: Sample, labels: np.ndarray, classes: ClassScheme) -> float:
    """Return the mIoU of one image."""
    confusion = ConfusionMatrix(len(classes), classes.ignore_index)
    assert sample.labels is not None
    confusion.update(labels, sample.labels)
    return confusion.miou


def draw_refinement(data: SegmentationDataset, path: Path, models: Mapping[str, str | None], count: int) -> None:
    """Draw what the FRM of the first model sees in the first image, or in the scene inside the package."""
    model = load_model(next(iter(models.values())))
    if isinstance(data, ClutterScenes):
        inside = FOLDER / DEFAULT
        write_features(inside / "scene.png", path, model, truth=inside / "scene_labels.png")
    else:
        write_features(data[0].image, path, model, truth=data[0].labels)


DRAWN = {
    "challenges": draw_challenges,
    "frequencies": draw_frequencies,
    "models": draw_models,
    "refinement": draw_refinement,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Draw figures and print where they are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", metavar="NAME", nargs="*", help=f"{', '.join(DRAWN)} (default: all)")
    parser.add_argument("--dataset", default="clutter", help="kind of data set (default: %(default)s)")
    parser.add_argument("--data", metavar="DIR", help="where it is; without it, scenes are drawn")
    parser.add_argument("--split", default="test", metavar="S", help="part of it (default: %(default)s)")
    parser.add_argument(
        "--count", type=int, default=40, metavar="N", help="images to choose from (default: %(default)s)"
    )
    parser.add_argument(
        "--model", nargs="+", metavar="NAME=MODEL", help="models with their titles (default: the one in the package)"
    )
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", help="folder (default, for scenes: docs/figures)")
    args = parser.parse_args(argv)
    unknown = [name for name in args.names if name not in DRAWN]
    if unknown:
        parser.error(f"there is no figure {unknown[0]!r}, only {', '.join(DRAWN)}")
    if args.output is None and (args.data is not None or args.model is not None):
        parser.error("name a folder by -o: docs/figures is for scenes and the model inside the package")
    models: dict[str, str | None] = {"FANet (pico)": None}
    if args.model:
        models = {name: model for name, _, model in (text.rpartition("=") for text in args.model)}
        models = {name or Path(str(model)).name: model for name, model in models.items()}
    options = {} if args.data else {"count": args.count, "size": 256}
    try:
        data = open_dataset(args.dataset, args.data, args.split, **options)
        folder = make_folder(args.output or FIGURES)
        for name in args.names or DRAWN:
            DRAWN[name](data, folder / f"{name}.png", models, args.count)
            print(folder / f"{name}.png", flush=True)
    except UserError as error:
        parser.error(str(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
