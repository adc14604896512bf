"""Prediction over one video file."""

import itertools
import os
from collections.abc import Iterator
from functools import partial

from tqdm import tqdm

from fanet.errors import UserError, printable_line
from fanet.media.video import DamagedVideoError, Frame, open_video
from fanet.segmentation.prediction.extras import Extras, Outcome, predict_outcome
from fanet.segmentation.prediction.plan import Prediction
from fanet.segmentation.prediction.predictor import Predictor
from fanet.segmentation.prediction.recording import write_recording
from fanet.threads import Background, map_ahead, read_ahead

_FRAMES_AT_ONCE = 2


def predict_video(predictor: Predictor, files: Prediction, legend: bool = True) -> None:
    """Predict one video, frame by frame.

    Args:
        predictor: Gives the labels of a frame.
        files: The video and its results.
        legend: Whether the overlay has a legend.

    Raises:
        UserError: The video cannot be read to its end. The results of the frames that can be read are kept, under names
            that say so.
    """
    with open_video(files.source) as clip, read_ahead(clip.frames()) as frames:
        first = next(frames, None)
        if first is None:
            raise UserError(f"{files.source} has no frames: leave it out, or record it again")
        size = (first.pixels.shape[0], first.pixels.shape[1])
        name = printable_line(files.source)
        damage: list[DamagedVideoError] = []
        with (
            write_recording(
                files, predictor.classes, clip, size, legend, files.partial, predictor.thresholds is not None
            ) as recording,
            Background() as writer,
            tqdm(desc=files.source.name, unit="frame", total=clip.count, disable=None) as bar,
        ):
            whole = itertools.chain([first], _until_damage(frames, damage))
            for frame, outcome in _outcomes(predictor, whole, files.extras, name):
                writer.submit(recording.write, frame, outcome)
                bar.update()
    if damage:
        kept = [str(files.partial(files.labels)), *(files.partial(path).name for path in files.results[1:])]
        raise UserError(f"{damage[0]}; their results are in {', '.join(kept[:-1])} and {kept[-1]}") from damage[0]
    for path in files.results:
        os.replace(files.partial(path), path)


def _until_damage(frames: Iterator[Frame], damage: list[DamagedVideoError]) -> Iterator[Frame]:
    """Yield frames until one cannot be read, and add to `damage` why."""
    try:
        yield from frames
    except DamagedVideoError as error:
        damage.append(error)


def _outcomes(
    predictor: Predictor, frames: Iterator[Frame], extras: Extras, name: str
) -> Iterator[tuple[Frame, Outcome]]:
    """Predict frame after frame, or two at once if the engine is faster that way: `auto` knows after the first."""

    def predict(by: Predictor, frame: Frame) -> tuple[Frame, Outcome]:
        return frame, predict_outcome(by, frame.pixels, extras, name)

    if (several := predictor.for_calls(_FRAMES_AT_ONCE)) is predictor:
        yield from map(partial(predict, predictor), itertools.islice(frames, 1))
        several = predictor.for_calls(_FRAMES_AT_ONCE)
    if several is predictor:  # in this thread: others get large memory from the system anew for every frame
        yield from map(partial(predict, predictor), frames)
    else:
        yield from map_ahead(partial(predict, several), frames, _FRAMES_AT_ONCE)
