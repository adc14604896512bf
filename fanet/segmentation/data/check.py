"""Check a whole data set: what is in it, and what is wrong with it."""

import hashlib
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from fanet.errors import UserError
from fanet.segmentation.data import list_splits, open_dataset, takes_option
from fanet.segmentation.data.dataset import SegmentationDataset, UnknownLabelError, by_split, shortened
from fanet.segmentation.data.labelled import absence, sole_class
from fanet.segmentation.data.parallel import parallel_map

_FEWEST_PER_WORKER = 32  # images: for fewer, starting a process takes longer than reading them
_DIGEST_BYTES = 16
_LONGEST = 400  # characters of what is wrong with one file
_MOST_ABSENT = 5  # classes that are named, instead of counted
_TRAIN = "train"  # the split to learn from, in every recipe's defaults


@dataclass(frozen=True)
class _Finding:
    """What reading one sample showed. `broken`, `unknown` and `mismatch` are set if something is wrong."""

    size: tuple[int, int] | None = None  # width, height
    pixels: tuple[int, ...] = ()  # of each class, then of the ignored label
    digest: str = ""  # of the image's pixels
    broken: str = ""
    unknown: tuple[str, tuple[str, ...]] | None = None
    mismatch: str = ""
    hint: str = ""  # how to mend `mismatch`; what is known instead of `unknown`, and how to mend it
    seen: tuple[int, ...] = ()  # all numbers in a mask with unknown ones
    turned: str = ""  # the file of an image that its EXIF orientation rotates, but not its mask; no error by itself
    turned_mask: str = ""  # the file of a mask that its own EXIF orientation rotates


@dataclass
class SplitReport:
    """One split.

    Attributes:
        images: Number of images that have a mask.
        sizes: Number of images by `WIDTHxHEIGHT`.
        class_shares: Share of the counted pixels by class, in %.
        images_with_class: Number of images in which a class occurs.
        ignored_share: Share of all pixels that do not count, in %.
        missing_masks: Images without a mask.
        missing_images: Masks without an image.
        broken: What is wrong with files that cannot be read.
        unknown_labels: Values that are not a class, by file.
        unknown_hint: What is known instead in the first of these files, and how to mend it.
        size_mismatches: Images whose size differs from their mask's.
        size_hint: What to do about the first of them.
        turned_images: Images that their EXIF orientation rotates, but not their masks.
        turned_masks: Masks that their own EXIF orientation rotates.
        numbers: All numbers that occur in the masks, as far as they are known.
        notes: A line for each thing that was left out or changed when the split was opened.
    """

    images: int = 0
    sizes: dict[str, int] = field(default_factory=dict)
    class_shares: dict[str, float | None] = field(default_factory=dict)
    images_with_class: dict[str, int] = field(default_factory=dict)
    ignored_share: float = 0.0
    missing_masks: list[str] = field(default_factory=list)
    missing_images: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    unknown_labels: dict[str, list[str]] = field(default_factory=dict)
    unknown_hint: str = ""
    size_mismatches: list[str] = field(default_factory=list)
    size_hint: str = ""
    turned_images: list[str] = field(default_factory=list)
    turned_masks: list[str] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass
class CheckReport:
    """A data set.

    Attributes:
        dataset, root: What was checked.
        classes: Class names.
        splits: Reports by split.
        repeated_names: Samples whose name is in several splits, as `name`, `splits` and `same_pixels`.
        repeated_images: Groups of identical images, as lists of `SPLIT/NAME`.
        errors: A line for each kind of problem that makes the data set unusable.
        warnings: A line for each problem that does not.
    """

    dataset: str
    root: str | None
    classes: list[str]
    splits: dict[str, SplitReport]
    repeated_names: list[dict[str, Any]] = field(default_factory=list)
    repeated_images: list[list[str]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as a dictionary that can be written as JSON."""
        return asdict(self)


def check_dataset(
    kind: str,
    root: str | Path | None,
    splits: Sequence[str] | None = None,
    workers: int | None = None,
    **options: Any,
) -> CheckReport:
    """Read every image and mask of a data set, in parallel.

    Errors, which make the data set unusable, are images without a mask or with another size than their mask, files
    that cannot be read, unknown labels, and fewer than two labelled classes. Warnings are files that were left out,
    masks without an image, EXIF orientations, names or images that occur more than once, classes that never occur, and
    counts other than the published ones.

    Args:
        kind: As for `open_dataset`.
        root: As for `open_dataset`.
        splits: Names of the splits; all by default.
        workers: Number of processes; by default one per core, and 1 reads in this process.
        options: As for `open_dataset`.

    Raises:
        UserError: There is no such data set or split.
    """
    verify = {key: value for key, value in options.items() if key == "verify"}
    names = list(splits or list_splits(kind, root, **verify))
    if not names:
        raise UserError(f"{root} has no splits")
    if takes_option(kind, root, "strict"):
        options["strict"] = False  # images without a mask are reported
    datasets = {split: open_dataset(kind, root, split, **options) for split in names}
    findings = _read(datasets, workers)
    classes = next(iter(datasets.values())).classes.names
    report = CheckReport(
        dataset=kind,
        root=None if root is None else str(root),
        classes=list(classes),
        splits={split: _summarise(datasets[split], findings[split]) for split in names},
    )
    digests = {
        split: {name: finding.digest for name, finding in zip(dataset.names, findings[split], strict=True)}
        for split, dataset in datasets.items()
    }
    report.repeated_names = _repeated_names(digests)
    report.repeated_images = _repeated_images(digests)
    useless, unscored = _vanished(report, datasets)
    report.errors = [*_errors(report, datasets), *useless]
    report.warnings = [*_warnings(report, datasets), *unscored, *_mixed_values(datasets, findings)]
    return report


def _read(datasets: Mapping[str, SegmentationDataset], workers: int | None) -> dict[str, list[_Finding]]:
    places = [(split, index) for split, dataset in datasets.items() for index in range(len(dataset))]
    with parallel_map(
        partial(_examine_at, datasets, places), len(places), "checking", "image", workers, _FEWEST_PER_WORKER
    ) as results:
        found = list(results)
    return {split: [one for one, (of, _) in zip(found, places, strict=True) if of == split] for split in datasets}


def _examine_at(
    datasets: Mapping[str, SegmentationDataset], places: Sequence[tuple[str, int]], number: int
) -> _Finding:
    split, index = places[number]
    return _examine(datasets[split], index)


def _examine(dataset: SegmentationDataset, index: int) -> _Finding:
    try:
        image = dataset.load_image(index)
        size = (image.shape[1], image.shape[0])
        turned, turned_mask = dataset.turned_image(index) or "", dataset.turned_labels(index) or ""
        digest = hashlib.blake2b(image.tobytes(), digest_size=_DIGEST_BYTES)
        digest.update(repr(image.shape).encode())
        labels = dataset.load_labels(index)
    except UnknownLabelError as error:
        unknown = (error.file, error.values)
        return _Finding(
            size, digest=digest.hexdigest(), unknown=unknown, hint=error.hint, seen=error.seen, turned=turned
        )
    except UserError as error:
        return _Finding(broken=str(error))
    if labels.shape != image.shape[:2]:
        called, mask = dataset.pair(index)
        sizes = f"{called} ({size[0]}x{size[1]}, {mask} {labels.shape[1]}x{labels.shape[0]})"
        hint = dataset.cure_of_size(index, image, labels)
        return _Finding(size, digest=digest.hexdigest(), mismatch=sizes, hint=hint, turned=turned)
    counts = np.bincount(labels.ravel(), minlength=256)
    ignore = dataset.classes.ignore_index
    pixels = (*(int(count) for count in counts[: len(dataset.classes)]), int(counts[ignore]))
    return _Finding(size, pixels, digest.hexdigest(), turned=turned, turned_mask=turned_mask)


def _summarise(dataset: SegmentationDataset, findings: Sequence[_Finding]) -> SplitReport:
    names = dataset.classes.names
    rows = [finding.pixels for finding in findings if finding.pixels]
    pixels = np.array(rows, dtype=np.int64).reshape(len(rows), len(names) + 1)
    total, counted = int(pixels.sum()), int(pixels[:, :-1].sum())
    shares = pixels[:, :-1].sum(axis=0)
    labels = [*range(len(names)), dataset.classes.ignore_index]
    numbers = {label for label, count in zip(labels, pixels.sum(axis=0), strict=True) if count}
    return SplitReport(
        images=len(dataset),
        sizes=dict(Counter(f"{f.size[0]}x{f.size[1]}" for f in findings if f.size).most_common()),
        class_shares={
            name: 100 * int(share) / counted if counted else None for name, share in zip(names, shares, strict=True)
        },
        images_with_class={name: int((pixels[:, i] > 0).sum()) for i, name in enumerate(names)},
        ignored_share=100 * (total - counted) / total if total else 0.0,
        missing_masks=list(dataset.missing_masks),
        missing_images=list(dataset.missing_images),
        broken=[finding.broken for finding in findings if finding.broken],
        unknown_labels={finding.unknown[0]: list(finding.unknown[1]) for finding in findings if finding.unknown},
        unknown_hint=next((finding.hint for finding in findings if finding.unknown), ""),
        size_mismatches=[finding.mismatch for finding in findings if finding.mismatch],
        size_hint=next((finding.hint for finding in findings if finding.mismatch), ""),
        turned_images=[finding.turned for finding in findings if finding.turned],
        turned_masks=[finding.turned_mask for finding in findings if finding.turned_mask],
        numbers=sorted(numbers.union(*(finding.seen for finding in findings))),
        notes=[*dataset.notes, *dataset.unlisted()],
    )


def _repeated_names(digests: dict[str, dict[str, str]]) -> list[dict[str, Any]]:
    where: dict[str, list[str]] = {}
    for split, of_split in digests.items():
        for name in of_split:
            where.setdefault(name, []).append(split)
    return [
        {"name": name, "splits": splits, "same_pixels": _is_one({digests[split][name] for split in splits})}
        for name, splits in sorted(where.items())
        if len(splits) > 1
    ]


def _is_one(digests: set[str]) -> bool:
    """Return whether these are digests of a single image, none of them of a file that cannot be read."""
    return len(digests) == 1 and "" not in digests


def _repeated_images(digests: dict[str, dict[str, str]]) -> list[list[str]]:
    where: dict[str, list[str]] = {}
    for split, of_split in digests.items():
        for name, digest in of_split.items():
            if digest:
                where.setdefault(digest, []).append(f"{split}/{name}")
    return [places for places in where.values() if len(places) > 1]


def _errors(report: CheckReport, datasets: Mapping[str, SegmentationDataset]) -> list[str]:
    def lines(attribute: str) -> list[str]:
        return [f"{split}: {entry}" for split, part in report.splits.items() for entry in getattr(part, attribute)]

    unknown = [
        f"{file} ({', '.join(values[:3])})"
        for part in report.splits.values()
        for file, values in part.unknown_labels.items()
    ]
    numbers = sorted({number for part in report.splits.values() for number in part.numbers})
    cure = next(iter(datasets.values())).cure(numbers) if unknown and numbers else None
    cure = cure or next((part.unknown_hint for part in report.splits.values() if part.unknown_hint), None)
    hints = [dataset.missing_hint for dataset in datasets.values() if dataset.missing_hint]
    kinds = [
        ("images without a mask", lines("missing_masks"), hints[0] if hints else None),
        ("files that cannot be read", lines("broken"), None),
        ("masks with unknown labels", unknown, cure),
        (
            "images of another size than their mask",
            lines("size_mismatches"),
            next((part.size_hint for part in report.splits.values() if part.size_hint), None),
        ),
    ]
    found = [
        f"{len(entries)} {kind}: {shortened(entries, longest=_LONGEST)}{f'; {hint}' if hint else ''}"
        for kind, entries, hint in kinds
        if entries
    ]
    return [" ".join(line.split()) for line in found]


def _vanished(report: CheckReport, datasets: Mapping[str, SegmentationDataset]) -> tuple[list[str], list[str]]:
    """Return a line for all splits together, or for each that has fewer than two labelled classes.

    Returns:
        Errors: of all splits, or the one to train on; warnings: of others, which cannot be scored.
    """
    dataset = next(iter(datasets.values()))
    read = {
        split: part for split, part in report.splits.items() if any(part.images_with_class.values()) or part.numbers
    }
    if any(part.unknown_labels or part.broken for part in report.splits.values()) or not read:
        return [], []  # what is labelled is not known
    together = {number for part in read.values() for number in part.numbers}
    if _count_classes(together, dataset) < 2:
        return [absence(dataset, together)], []
    few = {split: set(part.numbers) for split, part in read.items() if _count_classes(part.numbers, dataset) < 2}
    return (
        [f"{split}: {absence(dataset, seen)}" for split, seen in few.items() if split == _TRAIN],
        [
            f"{split}: {sole_class(dataset, seen)}, so it gets no score"
            for split, seen in few.items()
            if split != _TRAIN
        ],
    )


def _count_classes(labels: Collection[int], dataset: SegmentationDataset) -> int:
    return len(set(labels) - {dataset.classes.ignore_index})


def _warnings(report: CheckReport, datasets: dict[str, SegmentationDataset]) -> list[str]:
    found = by_split({split: part.notes for split, part in report.splits.items()})
    for split, part in report.splits.items():
        for files, what in (
            (part.missing_images, "masks without an image"),
            (part.turned_images, "images are rotated by their EXIF orientation, their masks are not"),
            (part.turned_masks, "masks are rotated by their own EXIF orientation"),
        ):
            if files:
                found.append(f"{split}: {len(files)} {what}: {shortened(files)}")
        absent = [name for name, count in part.images_with_class.items() if not count]
        if len(absent) > _MOST_ABSENT:
            found.append(f"{split}: {len(absent)} of {len(report.classes)} classes have no pixel: {shortened(absent)}")
        elif absent and part.numbers:
            found.append(f"{split}: no pixel is {' or '.join(absent)}")
        found += [f"{split}: {oddity}" for oddity in datasets[split].oddities(split)]
    found += _suspected(report, next(iter(datasets.values())))
    for same, what in ((False, "different"), (True, "the same")):
        names = [entry["name"] for entry in report.repeated_names if entry["same_pixels"] == same]
        if names:
            found.append(f"{len(names)} names in several splits with {what} pixels: {shortened(names)}")
    if report.repeated_images:
        groups = [" = ".join(places) for places in report.repeated_images]
        found.append(f"{len(groups)} images occur more than once: {shortened(groups)}")
    return found


def _suspected(report: CheckReport, dataset: SegmentationDataset) -> list[str]:
    """Return a line if 255, ignored because nobody said otherwise, may be one of the classes that never occur."""
    together = {number for part in report.splits.values() for number in part.numbers}
    absent = [
        name for name in report.classes if not any(part.images_with_class[name] for part in report.splits.values())
    ]
    if not dataset.ignores_by_default or dataset.classes.ignore_index not in together or not absent:
        return []
    if _count_classes(together, dataset) < 2 or any(part.unknown_labels for part in report.splits.values()):
        return []  # an error says so
    cure = dataset.cure(sorted(together))
    return [f"{dataset.classes.ignore_index} is read as ignored, while {shortened(absent)} never occurs: {cure}"]


def _mixed_values(datasets: Mapping[str, SegmentationDataset], findings: Mapping[str, Sequence[_Finding]]) -> list[str]:
    """Return a line if some masks are of 0 and 255, which is ignored, while those of several classes have no 255."""
    if not next(iter(datasets.values())).ignores_by_default:
        return []
    lone, has_several = [], False
    for split, of_split in findings.items():
        for index, finding in enumerate(of_split):
            *classes, ignored = finding.pixels or (0,)
            count = sum(pixels > 0 for pixels in classes)
            if count > 1 and ignored:
                return []  # 255 is between objects or around them
            has_several |= count > 1
            if count == 1 and classes[0] and ignored:
                lone.append(datasets[split].pair(index)[1].removeprefix("mask "))
    if not lone or not has_several:
        return []
    return [
        f"{len(lone)} masks hold only 0 and 255, which is ignored, and no mask of several classes has 255: "
        f"{shortened(lone)}; if it is an object there, write its class into these masks"
    ]
