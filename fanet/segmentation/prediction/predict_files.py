"""Prediction over image and video files: label maps and overlays."""

import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from fanet.errors import UserError
from fanet.files import make_folder
from fanet.media.channels import read_channels, visible
from fanet.media.drawing import overlay
from fanet.media.images import IMAGE_SUFFIXES, write_png
from fanet.media.video import (
    VIDEO_SUFFIXES,
    Frame,
    VideoWriter,
    import_av,
    open_video,
    write_labels_video,
    write_overlay_video,
)
from fanet.segmentation.prediction.predictor import Predictor
from fanet.threads import Background, read_ahead


@dataclass(frozen=True)
class Prediction:
    """The files of one prediction: the image or video, its class indices (8 bits, one channel), and the overlay."""

    source: Path
    labels: Path
    overlay: Path


def is_video(path: Path) -> bool:
    """Return whether a file is a video, by its suffix alone."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def collect_inputs(inputs: Sequence[str | Path]) -> list[Path]:
    """Return the image and video files named by files, folders and glob patterns, in that order, each once.

    A folder stands for the images and videos directly in it (by their suffix), a pattern for every file it matches.

    Raises:
        UserError: A file is missing, a folder or a pattern has no files, or there are videos but no PyAV.
    """
    found: dict[Path, Path] = {}
    for entry in inputs:
        for path in _expanded(entry):
            found.setdefault(path.resolve(), path)
    if any(map(is_video, found.values())):
        import_av()
    return list(found.values())


def predict_files(
    predictor: Predictor,
    paths: Sequence[str | Path],
    output: str | Path,
) -> list[Prediction]:
    """Predict images and videos and write the results to a folder.

    An image `NAME.*` gives `NAME_labels.png` and `NAME_overlay.png`, a video `NAME_labels.mkv` (lossless) and
    `NAME_overlay.mp4`. While the network computes, the next image is read and the previous result is drawn and
    written. If a file cannot be read, the others are still predicted. Nothing is written before the first image has
    been read, and every file is written completely or not at all.

    Args:
        predictor: Gives the labels of an image.
        paths: Files, folders and glob patterns.
        output: The folder for the results, created if missing.

    Raises:
        UserError: An input is missing; two inputs, or an input and a result, would have the same name (checked before
            anything is predicted); or files could not be read (raised at the end, naming each).
    """
    planned = [_planned(source, Path(output)) for source in collect_inputs(paths)]
    _check_names(planned)
    failures: list[str] = []

    images = [files for files in planned if not is_video(files.source)]
    done = _predict_images(predictor, images, output, failures)
    for files in planned:
        if is_video(files.source):
            try:
                _predict_video(predictor, files, output)
                done.append(files)
            except UserError as error:
                failures.append(str(error))
    if failures:
        summary = f"{len(failures)} of {len(planned)} files failed: " if len(planned) > 1 else ""
        raise UserError(summary + "; ".join(failures))
    return done


def _predict_images(
    predictor: Predictor, planned: Sequence[Prediction], output: str | Path, failures: list[str]
) -> list[Prediction]:
    """Predict images, and add to `failures` what is wrong with those that cannot be read."""

    def write(files: Prediction, image: np.ndarray, labels: np.ndarray) -> None:
        write_png(files.labels, labels)
        write_png(files.overlay, overlay(visible(image), labels, predictor.classes))

    done = []
    hidden = True if len(planned) <= 1 else None  # None: only on a terminal
    with (
        read_ahead(_read(planned, predictor.channels)) as images,
        Background() as writer,
        tqdm(desc="predict", unit="image", total=len(planned), disable=hidden) as bar,
    ):
        for files, image in images:
            if isinstance(image, UserError):
                failures.append(str(image))
            else:
                labels = predictor.labels(image)
                make_folder(output)
                writer.submit(write, files, image, labels)
                done.append(files)
            bar.update()
    return done


def _read(planned: Sequence[Prediction], channels: int) -> Iterator[tuple[Prediction, np.ndarray | UserError]]:
    for files in planned:
        try:
            yield files, read_channels(files.source, channels)
        except UserError as error:
            yield files, error


def _predict_video(predictor: Predictor, files: Prediction, output: str | Path) -> None:
    """Predict one video, frame by frame.

    Raises:
        UserError: The video cannot be read to its end; then neither result is written.
    """
    with open_video(files.source) as clip, read_ahead(clip.frames()) as frames:
        first = next(frames, None)
        if first is None:
            raise UserError(f"{files.source} has no frames: leave it out, or record it again")
        make_folder(output)
        size = (first.pixels.shape[0], first.pixels.shape[1])

        def write(frame: Frame, labels: np.ndarray, label_video: VideoWriter, overlay_video: VideoWriter) -> None:
            label_video.write(labels, frame.pts)
            overlay_video.write(overlay(frame.pixels, labels, predictor.classes), frame.pts)

        with (
            write_labels_video(files.labels, clip, size) as label_video,
            write_overlay_video(files.overlay, clip, size) as overlay_video,
            Background() as writer,
            tqdm(desc=files.source.name, unit="frame", total=clip.count, disable=None) as bar,
        ):
            frame: Frame | None = first
            while frame is not None:
                writer.submit(write, frame, predictor.labels(frame.pixels), label_video, overlay_video)
                bar.update()
                frame = next(frames, None)


def _expanded(entry: str | Path) -> list[Path]:
    path = Path(entry)
    if path.is_dir():
        suffixes = (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES)
        files = [
            file
            for file in sorted(path.iterdir())
            if file.suffix.lower() in suffixes and file.is_file() and not file.name.startswith(".")
        ]
        if not files:
            raise UserError(f"the folder {path} has no images or videos ({' '.join(suffixes)})")
        return files
    if path.exists() or not glob.has_magic(str(entry)):
        if not path.exists():
            raise UserError(f"there is no file {path}")
        return [path]
    matches = [Path(match) for match in sorted(glob.glob(str(entry), recursive=True)) if Path(match).is_file()]
    if not matches:
        raise UserError(f"no file matches {entry}")
    return matches


def _planned(source: Path, output: Path) -> Prediction:
    of_labels, of_overlay = (".mkv", ".mp4") if is_video(source) else (".png", ".png")
    return Prediction(
        source, output / f"{source.stem}_labels{of_labels}", output / f"{source.stem}_overlay{of_overlay}"
    )


def _check_names(planned: Sequence[Prediction]) -> None:
    """Refuse to overwrite a result of this run, or an input."""
    by_name: dict[Path, Path] = {}
    for files in planned:
        other = by_name.setdefault(files.labels, files.source)
        if other != files.source:
            raise UserError(f"{other} and {files.source} would both become {files.labels}: predict them separately")
    inputs = {files.source.resolve() for files in planned}
    for files in planned:
        for result in (files.labels, files.overlay):
            if result.resolve() in inputs:
                raise UserError(f"the result {result} would overwrite an input: choose another output folder")
