"""Check the authors' published files against what this package expects of them, for whoever has a connection."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from timm.data import create_dataset, create_loader, resolve_data_config
from timm.models import get_pretrained_cfg_value
from timm.utils import accuracy
from tqdm import tqdm

from fanet.errors import UserError, one_line
from fanet.files import atomic_path, make_folder
from fanet.segmentation import SegmentationModel
from fanet.segmentation.data import open_dataset
from fanet.segmentation.evaluation.evaluate import evaluate_split
from fanet.segmentation.network.checkpoints import describe_checkpoint, is_segmentation
from fanet.weights.failures import WeightsError
from fanet.weights.fitting import fit_published
from fanet.weights.hub import SHA256_LENGTH, Repository, file_digest
from fanet.weights.loading import load_checkpoint
from fanet.weights.names import unwrap
from fanet.weights.sources import checkpoint_names

AUTHORS = str(get_pretrained_cfg_value("fanet_base.in1k", "hf_hub_id"))
REPORT_NAME, JSON_NAME = "report.md", "report.json"
CLASSIFIER, SEGMENTATION = "classifier", "segmentation model"
TOLERANCE = 0.1  # percentage points: what other versions of image libraries change
BATCH = 32  # images


@dataclass(frozen=True)
class Expected:
    """What the published files should hold; by default the paper's networks and figures (Tables 1 and 2), in %."""

    variant: str = "fanet_base"
    classes: int = 1000
    segmentation_classes: int = 5
    head_channels: int = 256
    aux_channels: int = 256
    top1: float = 82.5
    miou: float = 54.89
    pixel_accuracy: float = 91.41


@dataclass(frozen=True)
class PublishedFile:
    """A file of the repository: `kind` and `problem` (None if it is as expected) concern checkpoints only.

    `digest` is the SHA-256 of the downloaded bytes; of other files, which are not downloaded, what the Hub lists.
    """

    name: str
    size: int
    digest: str
    kind: str | None = None
    problem: str | None = None


@dataclass(frozen=True)
class Figure:
    """A published figure and the one measured here, in %."""

    name: str
    file: str
    published: float
    measured: float
    images: int

    @property
    def holds(self) -> bool:
        """Whether both are the same within `TOLERANCE`."""
        return abs(self.measured - self.published) <= TOLERANCE


@dataclass(frozen=True)
class Verification:
    """What was found; see `verify_published`."""

    repo_id: str
    commit: str
    files: tuple[PublishedFile, ...]
    figures: tuple[Figure, ...]
    problems: tuple[str, ...]

    def markdown(self, environment: Sequence[str] = ()) -> str:
        """Return a report to attach to an issue, with lines about the environment at its end."""
        verdict = "Everything is as expected." if not self.problems else "Not as expected:"
        figures = [
            f"| {figure.name} | `{figure.file}` | {figure.published} | {figure.measured:.2f} | {figure.images} |"
            for figure in self.figures
        ]
        table = ["| % | file | published | measured | images |", "| --- | --- | ---: | ---: | ---: |", *figures, ""]
        return "\n".join(
            [
                f"# Published weights: {self.repo_id} at {self.commit}",
                "",
                verdict,
                *(f"- {problem}" for problem in self.problems),
                "",
                "| file | bytes | digest | what it is |",
                "| --- | ---: | --- | --- |",
                *(f"| `{file.name}` | {file.size} | `{file.digest}` | {_described(file)} |" for file in self.files),
                "",
                *(table if figures else ["No data was given: accuracies were not measured.", ""]),
                *(f"    {line}" for line in environment),
                "",
            ]
        )


def verify_published(
    output: str | Path,
    repo_id: str = AUTHORS,
    revision: str | None = None,
    imagenet: str | Path | None = None,
    zerowaste: str | Path | None = None,
    device: torch.device | str = "cpu",
    workers: int = 2,
    cache_dir: str | Path | None = None,
    expected: Expected | None = None,
    environment: Sequence[str] = (),
) -> Verification:
    """Fetch the published files, compare them with what is expected, evaluate them where data is given, and report.

    Writes `report.md` and `report.json`; with `zerowaste` also the folder `zerowaste` of `fanet evaluate`.

    Args:
        output: The folder for the report.
        repo_id: The repository `ORG/NAME`.
        revision: Branch, tag or commit.
        imagenet: Folder of ImageNet-1K with `val` or `validation`, a folder for each class.
        zerowaste: ZeroWaste-f, as a folder or as the published archive; its test split is used.
        device: Where to evaluate.
        workers: Processes or threads that read images.
        cache_dir: The Hub cache to use instead of the usual one.
        expected: What the files should hold, by default what was published.
        environment: Lines for the end of the report.

    Raises:
        UserError: The repository cannot be reached, the data cannot be read, or the folder cannot be written.
    """
    expected = expected or Expected()
    repository = Repository("the published weights", repo_id, revision, cache_dir)
    names = sorted(repository.files)
    folder = make_folder(output)  # not before there is something to report, nor after hours of work
    files = {name: _examine(repository, name, expected) for name in tqdm(names, unit="file")}
    order = checkpoint_names(repository.files)  # the one that `pretrained=True` takes comes first
    figures: list[Figure] = []
    problems = [f"{file.name}: {file.problem}" for file in files.values() if file.problem]
    for kind, data, measure in ((CLASSIFIER, imagenet, _imagenet), (SEGMENTATION, zerowaste, _zerowaste)):
        fitting = [name for name in order if files[name].kind == kind and files[name].problem is None]
        if not fitting:
            problems.append(f"there is no {kind} as expected")
        elif data is not None:
            path = repository.fetch(fitting[0])
            figures += measure(fitting[0], path, data, folder, device, workers, expected)
    problems += [
        f"{figure.name} of {figure.file} is {figure.measured:.2f} %, not {figure.published} %"
        for figure in figures
        if not figure.holds
    ]
    found = Verification(repo_id, repository.listing.commit, tuple(files.values()), tuple(figures), tuple(problems))
    for name, text in (
        (JSON_NAME, json.dumps(asdict(found) | {"environment": list(environment)}, indent=1) + "\n"),
        (REPORT_NAME, found.markdown(environment)),
    ):
        with atomic_path(folder / name) as path:
            path.write_text(text, encoding="utf-8")
    return found


def _examine(repository: Repository, name: str, expected: Expected) -> PublishedFile:
    """Fetch a file if it may hold weights, and say what is in it."""
    size, listed = repository.listing.files[name]
    if name not in checkpoint_names({name: size}):
        return PublishedFile(name, size, listed)
    try:
        path = repository.fetch(name)
    except WeightsError as error:
        return PublishedFile(name, size, listed, None, one_line(error))
    digest = file_digest(path, SHA256_LENGTH)
    kind = None
    try:
        checkpoint = load_checkpoint(path)
        kind = SEGMENTATION if is_segmentation(unwrap(checkpoint)) else CLASSIFIER
        if kind == SEGMENTATION:
            _check_segmentation(path, checkpoint, expected)
        else:
            model = timm.create_model(expected.variant, num_classes=expected.classes)
            fit_published(checkpoint, model, expected.classes, 3)
    except UserError as error:
        return PublishedFile(name, size, digest, kind, one_line(str(error).replace(str(path), name)))
    return PublishedFile(name, size, digest, kind)


def _check_segmentation(path: Path, checkpoint: Mapping[str, Any], expected: Expected) -> None:
    """Load a segmentation model strictly.

    Raises:
        UserError: It is not the expected one.
    """
    described = describe_checkpoint(checkpoint)
    wanted = {
        "backbone": expected.variant,
        "backbone_kwargs": {},
        "num_classes": expected.segmentation_classes,
        "head_channels": expected.head_channels,
        "aux_channels": expected.aux_channels,
    }
    differing = [f"{key} is {described[key]}, not {value}" for key, value in wanted.items() if described[key] != value]
    if differing:
        raise WeightsError("; ".join(differing))
    SegmentationModel.from_pretrained(path)


def _imagenet(
    name: str,
    path: Path,
    data: str | Path,
    folder: Path,
    device: torch.device | str,
    workers: int,
    expected: Expected,
) -> list[Figure]:
    """Measure top-1 on ImageNet's validation images, with the crop that the model is registered with."""
    model = timm.create_model(
        expected.variant,
        pretrained=True,
        pretrained_cfg_overlay=dict(file=str(path), num_classes=expected.classes),
        num_classes=expected.classes,
    )
    model = model.to(device).eval()
    if not Path(data).is_dir():
        raise UserError(f"there is no folder {data}: give ImageNet's folder, with val/ or validation/ in it")
    try:
        dataset = create_dataset("", root=str(data), split="validation")
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"{data}: {one_line(error)}: give ImageNet's folder, with val/ or validation/ in it") from error
    if (found := len(dataset.reader.class_to_idx)) != expected.classes:
        raise UserError(f"{data} has folders of {found} classes, not {expected.classes}: give ImageNet-1K's folder")
    config = resolve_data_config(model=model)
    loader = create_loader(
        dataset,
        **{key: config[key] for key in ("input_size", "interpolation", "mean", "std", "crop_pct", "crop_mode")},
        batch_size=BATCH,
        num_workers=workers,
        use_prefetcher=False,
        device=torch.device(device),
        persistent_workers=False,
    )
    correct = 0.0
    with torch.inference_mode():
        for images, targets in tqdm(loader, "ImageNet", unit="batch"):
            correct += float(accuracy(model(images.to(device)), targets.to(device))[0]) * len(images)
    return [Figure("top-1", name, expected.top1, correct / len(dataset), len(dataset))]


def _zerowaste(
    name: str,
    path: Path,
    data: str | Path,
    folder: Path,
    device: torch.device | str,
    workers: int,
    expected: Expected,
) -> list[Figure]:
    """Measure mIoU and pixel accuracy on ZeroWaste-f's test images, by the published protocol."""
    predictor = SegmentationModel.from_pretrained(path).to(device).predictor()
    dataset = open_dataset("zerowaste", data, "test")
    scores = evaluate_split(predictor, dataset, folder / "zerowaste", workers=workers)
    return [
        Figure("mIoU", name, expected.miou, scores["miou"], scores["images"]),
        Figure("pixel accuracy", name, expected.pixel_accuracy, scores["pixel_accuracy"], scores["images"]),
    ]


def _described(file: PublishedFile) -> str:
    return (
        "not a checkpoint"
        if file.kind is None and not file.problem
        else (f"{file.kind or 'unknown'}, {'as expected' if file.problem is None else 'not as expected'}")
    )
