"""Prediction over one video file."""

import os
from collections.abc import Iterator

from tqdm import tqdm

from fanet.errors import UserError, printable_line
from fanet.media.video import DamagedVideoError, Frame, open_video
from fanet.segmentation.prediction.extras import Outcome, predict_outcome
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
        damage: DamagedVideoError | None = None
        with (
            write_recording(
                files, predictor.classes, clip, size, legend, files.partial, predictor.thresholds is not None
            ) as recording,
            Background() as writer,
            tqdm(desc=files.source.name, unit="frame", total=clip.count, disable=None) as bar,
        ):

            def rest() -> Iterator[Frame]:
                nonlocal damage
                try:
                    yield from frames
                except DamagedVideoError as error:
                    damage = error

            outcome = predict_outcome(predictor, first.pixels, files.extras, name)
            writer.submit(recording.write, first, outcome)
            bar.update()
            several = predictor.for_calls(_FRAMES_AT_ONCE)

            def predict(frame: Frame) -> tuple[Frame, Outcome]:
                return frame, predict_outcome(several, frame.pixels, files.extras, name)

            # one call at a time stays in this thread: others get large memory anew from the system for every frame
            is_single = several is predictor
            outcomes = map(predict, rest()) if is_single else map_ahead(predict, rest(), _FRAMES_AT_ONCE)
            for frame, outcome in outcomes:
                writer.submit(recording.write, frame, outcome)
                bar.update()
    if damage is not None:
        kept = [str(files.partial(files.labels)), *(files.partial(path).name for path in files.results[1:])]
        raise UserError(f"{damage}; their results are in {', '.join(kept[:-1])} and {kept[-1]}") from damage
    for path in files.results:
        os.replace(files.partial(path), path)
