"""Prediction over image and video files: label maps and overlays."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
from tqdm import tqdm

from fanet.errors import UserError, printable_line
from fanet.media.channels import read_channels, read_pages
from fanet.segmentation.prediction.extras import Extras, predict_outcome
from fanet.segmentation.prediction.inputs import collect_inputs
from fanet.segmentation.prediction.plan import Prediction, plan_predictions
from fanet.segmentation.prediction.predict_video import predict_video
from fanet.segmentation.prediction.predictor import Predictor
from fanet.segmentation.prediction.results import write_image_results
from fanet.threads import Background, read_ahead

_FAILURES_NAMED = 5


def predict_files(
    predictor: Predictor,
    paths: Sequence[str | Path],
    output: str | Path,
    overwrite: bool = False,
    legend: bool = True,
    extras: Extras | None = None,
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
        extras: What is written beside labels and overlays; by default nothing.

    Raises:
        UserError: An input is missing; two inputs would have the same results, or a result would replace an input or
            one of an earlier run (checked before anything is predicted); or files could not be read (raised at the
            end).
    """
    planned = plan_predictions(collect_inputs(paths).files, output, overwrite, predictor.channels, extras)
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
                predict_video(predictor, files, legend)
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
    done: list[Prediction] = []
    if not planned:
        return done
    hidden = True if len(planned) <= 1 else None  # None: only on a terminal
    with (
        read_ahead(_read(planned, predictor)) as images,
        write_image_results(planned, predictor.classes, legend, predictor.thresholds is not None) as results,
        Background() as writer,
        tqdm(desc="predict", unit="image", total=len(planned), disable=hidden) as bar,
    ):
        for files, image in images:
            try:
                if isinstance(image, UserError):
                    raise image
                outcome = predict_outcome(predictor, image, files.extras, _called(files))
            except UserError as error:
                failures.append(printable_line(str(error)))
            else:
                writer.submit(results.write, files, image, outcome)
                done.append(files)
            bar.update()
    return done


def _called(files: Prediction) -> str:
    """Return what warnings call an image."""
    return printable_line(files.source) + (f", page {files.page}" if files.page else "")


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
