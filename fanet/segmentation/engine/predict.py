"""Prediction over image files: label maps and overlays."""

import glob
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from fanet.errors import UserError
from fanet.files import make_folder
from fanet.images import IMAGE_SUFFIXES, read_image, write_png
from fanet.segmentation.model import UperNet
from fanet.visualization import overlay


@dataclass(frozen=True)
class Prediction:
    """The files that belong together: the image, its class indices (8 bits, one channel), and both in one picture."""

    image: Path
    labels: Path
    overlay: Path


def collect_images(inputs: Sequence[str | Path]) -> list[Path]:
    """The image files that are meant by files, folders and glob patterns, in that order, each once.

    A folder stands for the images directly in it (told by their suffix), a pattern for whatever it matches.

    Raises:
        UserError: there is no such file, or a folder or a pattern yields no image.
    """
    found: dict[Path, Path] = {}
    for entry in inputs:
        for path in _expanded(entry):
            found.setdefault(path.resolve(), path)
    return list(found.values())


def predict_files(model: UperNet, paths: Sequence[str | Path], output: str | Path) -> list[Prediction]:
    """Writes `NAME_labels.png` and `NAME_overlay.png` for every image `NAME.*`.

    An image that cannot be read does not keep the others from being predicted. Nothing is written before the first
    image has been.

    Args:
        model: predicts, with its own preprocessing and on its own device.
        paths: files, folders and glob patterns.
        output: the folder for the results; made where missing.

    Raises:
        UserError: an input is missing; two images, or an image and a result, would have the same name (known before
            anything is predicted); or images were unreadable (raised at the end, naming each).
    """
    images = collect_images(paths)
    planned = [_planned(image, Path(output)) for image in images]
    _check_names(planned)
    failures: list[str] = []
    done = []
    # `None` shows the bar on a terminal only
    for files in tqdm(planned, desc="predict", unit="image", disable=True if len(planned) == 1 else None):
        try:
            image = read_image(files.image)
        except UserError as error:
            failures.append(str(error))
            continue
        labels = model.predict(image)
        make_folder(output)
        write_png(files.labels, labels)
        write_png(files.overlay, overlay(image, labels, model.classes))
        done.append(files)
    if failures:
        summary = f"{len(failures)} of {len(planned)} images failed: " if len(planned) > 1 else ""
        raise UserError(summary + "; ".join(failures))
    return done


def _expanded(entry: str | Path) -> list[Path]:
    path = Path(entry)
    if path.is_dir():
        images = [
            file
            for file in sorted(path.iterdir())
            if file.suffix.lower() in IMAGE_SUFFIXES and file.is_file() and not file.name.startswith(".")
        ]
        if not images:
            raise UserError(f"the folder {path} holds no images ({' '.join(IMAGE_SUFFIXES)})")
        return images
    if path.exists() or not glob.has_magic(str(entry)):
        if not path.exists():
            raise UserError(f"there is no file {path}")
        return [path]
    matches = [Path(match) for match in sorted(glob.glob(str(entry), recursive=True)) if Path(match).is_file()]
    if not matches:
        raise UserError(f"no file matches {entry}")
    return matches


def _planned(image: Path, output: Path) -> Prediction:
    return Prediction(image, output / f"{image.stem}_labels.png", output / f"{image.stem}_overlay.png")


def _check_names(planned: Sequence[Prediction]) -> None:
    """Refuses to overwrite a result of this run, or an input."""
    by_name: dict[Path, Path] = {}
    for files in planned:
        other = by_name.setdefault(files.labels, files.image)
        if other != files.image:
            raise UserError(f"{other} and {files.image} would both become {files.labels}: predict them separately")
    inputs = {files.image.resolve() for files in planned}
    for files in planned:
        for result in (files.labels, files.overlay):
            if result.resolve() in inputs:
                raise UserError(f"the result {result} would overwrite an input: choose another output folder")
