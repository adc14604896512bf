"""What is written for a video or a live source, frame by frame."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

from fanet.classes import ClassScheme
from fanet.errors import printable_line
from fanet.files import make_folder
from fanet.media.drawing import is_tinted, overlay
from fanet.media.legend import legend_strip
from fanet.media.video import Frame, Timing, VideoWriter, write_labels_video, write_overlay_video
from fanet.segmentation.prediction.extras import Outcome
from fanet.segmentation.prediction.objects import find_objects
from fanet.segmentation.prediction.plan import Prediction
from fanet.segmentation.prediction.tables import (
    COLUMNS,
    OF_FRAME,
    Table,
    object_row,
    plot_shares,
    share_columns,
    share_row,
    write_table,
)
from fanet.segmentation.prediction.undecided import as_drawn, with_undecided

_LEGEND_SHARE = 1 / 3  # of a video's height, at most: its legend has all classes


class Recording:
    """Writes the results of frames; `write_recording` yields one."""

    def __init__(
        self,
        files: Prediction,
        classes: ClassScheme,
        timing: Timing,
        strip: np.ndarray | None,
        videos: tuple[VideoWriter, VideoWriter],
        objects: Table | None,
        shares: Table | None,
        has_undecided: bool = False,
    ) -> None:
        self._files, self._classes, self._timing, self._strip = files, classes, timing, strip
        self._drawn = with_undecided(classes) if has_undecided else classes
        self._labels, self._overlay = videos
        self._objects, self._shares = objects, shares
        self._count = 0
        self._start: int | None = None

    def write(self, frame: Frame, outcome: Outcome) -> None:
        """Append a frame to all results."""
        labels, extras = outcome.labels, self._files.extras
        self._labels.write(labels, frame.pts)
        drawn = as_drawn(labels, self._classes, self._drawn)
        self._overlay.write(overlay(frame.pixels, drawn, self._drawn, below=self._strip), frame.pts)
        self._count += 1
        self._start = frame.pts if self._start is None else self._start
        seconds = float((frame.pts - self._start) * self._timing.time_base)
        if self._shares is not None:
            self._shares.add(share_row(self._count, seconds, drawn, self._drawn))
        if self._objects is not None:
            origin = [printable_line(self._files.source), self._count, f"{seconds:.3f}"]
            objects = find_objects(labels, self._classes, outcome.confidence, extras.min_area)
            for number, entry in enumerate(objects, start=1):
                self._objects.add([*origin, *object_row(entry, number, extras.tolerance)])


@contextmanager
def write_recording(
    files: Prediction,
    classes: ClassScheme,
    timing: Timing,
    size: tuple[int, int],
    legend: bool,
    place: Callable[[Path], Path] = lambda path: path,
    has_undecided: bool = False,
) -> Iterator[Recording]:
    """Write the results of a video, whole or not at all.

    Args:
        files: Its results.
        classes: The model's classes.
        timing: Rate and time base of the frames.
        size: Their height and width.
        legend: Whether the overlay has a legend.
        place: Gives the path at which a result is written.
        has_undecided: Whether pixels with the ignored label are drawn and counted as undecided.
    """
    make_folder(files.labels.parent)
    shown = with_undecided(classes) if has_undecided else classes
    strip = _legend(shown, size) if legend else None
    drawn = (size[0] + (0 if strip is None else len(strip)), size[1])
    with ExitStack() as stack:
        videos = (
            stack.enter_context(write_labels_video(place(files.labels), timing, size)),
            stack.enter_context(write_overlay_video(place(files.overlay), timing, drawn)),
        )
        objects = shares = None
        if files.extras.objects:
            objects = stack.enter_context(write_table(place(files.objects), (*OF_FRAME, *COLUMNS)))
        if files.extras.shares:
            shares = stack.enter_context(write_table(place(files.shares), share_columns(shown)))
        yield Recording(files, classes, timing, strip, videos, objects, shares, has_undecided)
    if files.extras.shares:
        plot_shares(place(files.shares), place(files.plot), shown)


def _legend(classes: ClassScheme, size: tuple[int, int]) -> np.ndarray:
    """Draw the legend of a video of this size, (height, width): the same for all frames, so that it costs nothing."""
    height, width = size
    shown = [index for index in range(len(classes)) if is_tinted(classes, index)]
    strip = legend_strip(classes, shown, width, int(_LEGEND_SHARE * height))
    odd = (height + len(strip)) % 2 if len(strip) else 0  # the codec needs an even height
    return np.pad(strip, ((0, odd), (0, 0), (0, 0)), mode="edge") if odd else strip
