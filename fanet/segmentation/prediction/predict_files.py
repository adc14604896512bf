"""Prediction over image and video files: label maps and overlays."""

import os
from collections.abc import Iterator, Sequence
from itertools import chain, groupby
from pathlib import Path

import numpy as np
from tqdm import tqdm

from fanet.classes import ClassScheme
from fanet.errors import UserError, printable_line
from fanet.files import make_folder
from fanet.media.channels import read_channels, read_pages, visible
from fanet.media.drawing import is_tinted, overlay, overlay_rows
from fanet.media.images import write_png, write_png_rows
from fanet.media.legend import legend_strip, tinted_classes
from fanet.media.video import (
    DamagedVideoError,
    Frame,
    VideoWriter,
    open_video,
    write_labels_video,
    write_overlay_video,
)
from fanet.segmentation.prediction.inputs import collect_inputs
from fanet.segmentation.prediction.plan import Prediction, plan_predictions
from fanet.segmentation.prediction.predictor import Predictor
from fanet.threads import Background, read_ahead

_FAILURES_NAMED = 5
_LEGEND_SHARE = 1 / 3  # of a video's height, at most: its legend has all classes


def predict_files(
    predictor: Predictor,
    paths: Sequence[str | Path],
    output: str | Path,
    overwrite: bool = False,
    legend: bool = True,
) -> list[Prediction]:
    """Predict images and videos and write the results to a folder.

    An image `NAME.*` gives `NAME_labels.png` and `NAME_overlay.png`, a video `NAME_labels.mkv` (lossless) and
    `NAME_overlay.mp4`; the pages of a TIFF and the frames of an animation are images of their own, `NAME_page1` and so
    on. Results of a pattern are in the same folders below its fixed part as the files. While the network computes, the
    next image is read and the previous result is drawn and written. If a file cannot be read, the others are still
    predicted. Nothing is written before the first image has been read, and every file is written completely or not at
    all; of a video that breaks off, the results have `.partial` in their names.

    Label PNGs show the colours of the classes; the values stored are class indices. Below an overlay is a legend: of an
    image the classes that occur in it, of a video all classes.

    Args:
        predictor: Gives the labels of an image.
        paths: Files, folders and glob patterns.
        output: The folder for the results, created if missing.
        overwrite: Whether results of an earlier run may be replaced.
        legend: Whether overlays have a legend.

    Raises:
        UserError: An input is missing; two inputs would have the same results, or a result would replace an input or
            one of an earlier run (checked before anything is predicted); or files could not be read (raised at the
            end).
    """
    planned = plan_predictions(collect_inputs(paths).files, output, overwrite, predictor.channels)
    done, failures = predict_planned(predictor, planned, legend)
    if failures:
        raise UserError(summary(failures, len(planned)))
    return done


def predict_planned(
    predictor: Predictor, planned: Sequence[Prediction], legend: bool = True
) -> tuple[list[Prediction], list[str]]:
    """Predict what is planned; return what was done, and what is wrong with the rest."""
    failures: list[str] = []
    done = _predict_images(predictor, [files for files in planned if not files.is_video], failures, legend)
    for files in planned:
        if files.is_video:
            try:
                _predict_video(predictor, files, legend)
                done.append(files)
            except UserError as error:
                failures.append(printable_line(str(error)))
    return done, failures


def summary(failures: Sequence[str], total: int) -> str:
    """Return the failures of a run in one line."""
    count = f"{len(failures)} of {total} files failed: " if total > 1 else ""
    more = f"; and {len(failures) - _FAILURES_NAMED} more" if len(failures) > _FAILURES_NAMED else ""
    return count + "; ".join(failures[:_FAILURES_NAMED]) + more


def _predict_images(
    predictor: Predictor, planned: Sequence[Prediction], failures: list[str], legend: bool
) -> list[Prediction]:
    """Predict images, and add to `failures` what is wrong with those that cannot be read."""

    def write(files: Prediction, image: np.ndarray, labels: np.ndarray) -> None:
        classes = predictor.classes
        write_png(files.labels, labels, classes.palette)
        seen = visible(image)
        strip = legend_strip(classes, tinted_classes(labels, classes) if legend else (), seen.shape[1])
        rows = chain(overlay_rows(seen, labels, classes), [strip] if len(strip) else [])
        write_png_rows(files.overlay, (len(seen) + len(strip), *seen.shape[1:]), rows)

    done = []
    hidden = True if len(planned) <= 1 else None  # None: only on a terminal
    with (
        read_ahead(_read(planned, predictor)) as images,
        Background() as writer,
        tqdm(desc="predict", unit="image", total=len(planned), disable=hidden) as bar,
    ):
        for files, image in images:
            try:
                if isinstance(image, UserError):
                    raise image
                labels = predictor.labels(image)
            except UserError as error:
                failures.append(printable_line(str(error)))
            else:
                make_folder(files.labels.parent)
                writer.submit(write, files, image, labels)
                done.append(files)
            bar.update()
    return done


def _read(planned: Sequence[Prediction], predictor: Predictor) -> Iterator[tuple[Prediction, np.ndarray | UserError]]:
    large = predictor.window is not None  # without windows, memory ends long before Pillow's limit
    for _, group in groupby(planned, key=lambda files: files.source):
        pages = list(group)
        try:
            if pages[0].page is None:
                yield pages[0], read_channels(pages[0].source, predictor.channels, large=large)
            else:
                yield from zip(pages, read_pages(pages[0].source, predictor.channels, large), strict=True)
        except UserError as error:
            yield from ((files, error) for files in pages)


def _video_legend(classes: ClassScheme, size: tuple[int, int]) -> np.ndarray:
    """Draw the legend of a video of this size, (height, width): the same for all frames, so that it costs nothing."""
    height, width = size
    shown = [index for index in range(len(classes)) if is_tinted(classes, index)]
    strip = legend_strip(classes, shown, width, int(_LEGEND_SHARE * height))
    odd = (height + len(strip)) % 2 if len(strip) else 0  # the codec needs an even height
    return np.pad(strip, ((0, odd), (0, 0), (0, 0)), mode="edge") if odd else strip


def _predict_video(predictor: Predictor, files: Prediction, legend: bool) -> None:
    """Predict one video, frame by frame.

    Raises:
        UserError: The video cannot be read to its end. The results of the frames that can be read are kept, under names
            that say so.
    """
    labels_part, overlay_part = map(files.partial, files.results)
    with open_video(files.source) as clip, read_ahead(clip.frames()) as frames:
        first = next(frames, None)
        if first is None:
            raise UserError(f"{files.source} has no frames: leave it out, or record it again")
        make_folder(files.labels.parent)
        size = (first.pixels.shape[0], first.pixels.shape[1])
        strip = _video_legend(predictor.classes, size) if legend else None
        drawn = (size[0] + (0 if strip is None else len(strip)), size[1])
        damage: DamagedVideoError | None = None

        def write(frame: Frame, labels: np.ndarray, label_video: VideoWriter, overlay_video: VideoWriter) -> None:
            label_video.write(labels, frame.pts)
            overlay_video.write(overlay(frame.pixels, labels, predictor.classes, below=strip), frame.pts)

        with (
            write_labels_video(labels_part, clip, size) as label_video,
            write_overlay_video(overlay_part, clip, drawn) as overlay_video,
            Background() as writer,
            tqdm(desc=files.source.name, unit="frame", total=clip.count, disable=None) as bar,
        ):
            frame: Frame | None = first
            while frame is not None:
                writer.submit(write, frame, predictor.labels(frame.pixels), label_video, overlay_video)
                bar.update()
                try:
                    frame = next(frames, None)
                except DamagedVideoError as error:
                    damage, frame = error, None
    if damage is not None:
        raise UserError(f"{damage}; their results are in {labels_part} and {overlay_part.name}") from damage
    os.replace(labels_part, files.labels)
    os.replace(overlay_part, files.overlay)
