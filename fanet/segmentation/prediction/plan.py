"""Which results a prediction will write, and that they do not get into each other's way or anybody else's."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fanet.errors import UserError
from fanet.media.channels import count_pages
from fanet.media.formats import is_video
from fanet.segmentation.prediction.inputs import LABELS, OVERLAY, PARTIAL, counted, printable

_EXAMPLES = 3
_LONGEST_NAME = 255  # bytes, of most file systems


@dataclass(frozen=True)
class Prediction:
    """The files of one prediction.

    Attributes:
        source: The image or video.
        labels: The class indices, 8 bits, one channel.
        overlay: The image or video with the classes drawn on it.
        is_video: Whether they are videos.
        page: Which page or frame of an image file with several it is of, from 1; None if it has only one.
    """

    source: Path
    labels: Path
    overlay: Path
    is_video: bool = False
    page: int | None = None

    def partial(self, result: Path) -> Path:
        """Return the name of a result that ends before its video does."""
        return result.with_name(f"{result.stem}{PARTIAL}{result.suffix}")

    @property
    def results(self) -> tuple[Path, Path]:
        """Labels and overlay."""
        return self.labels, self.overlay


def plan_predictions(
    files: Sequence[tuple[Path, Path]], output: str | Path, overwrite: bool = False, channels: int = 3
) -> list[Prediction]:
    """Name the results of files.

    `NAME.*` gives `NAME_labels` and `NAME_overlay`, its pages or frames `NAME_page1_labels` and so on. If names in one
    folder differ in their suffix only, the results keep it: `NAME.jpg_labels`.

    Args:
        files: What is to be predicted, and the paths of their results below `output`, without suffix.
        output: The folder for the results.
        overwrite: Whether results of an earlier run may be replaced.
        channels: Number of channels with which images will be read.

    Raises:
        UserError: Two files would have the same results, a result would replace an input or, without `overwrite`, any
            file, or its name is too long.
    """
    videos = [is_video(path) for path, _ in files]
    same = Counter((path.parent, name, video) for (path, name), video in zip(files, videos, strict=True))
    planned: list[Prediction] = []
    for (path, name), video in zip(files, videos, strict=True):
        if same[path.parent, name, video] > 1:
            name = name.with_name(path.name)
        count = 1 if video else count_pages(path, channels)
        for page in range(1, count + 1):
            planned.append(_prediction(path, Path(output) / name, video, page if count > 1 else None, len(str(count))))
    _check(planned, overwrite)
    return planned


def _prediction(source: Path, base: Path, video: bool, page: int | None, digits: int) -> Prediction:
    stem = base.name if page is None else f"{base.name}_page{page:0{digits}d}"
    labels, overlay = (".mkv", ".mp4") if video else (".png", ".png")
    return Prediction(
        source, base.with_name(f"{stem}{LABELS}{labels}"), base.with_name(f"{stem}{OVERLAY}{overlay}"), video, page
    )


def _check(planned: Sequence[Prediction], overwrite: bool) -> None:
    by_name: dict[Path, Path] = {}
    inputs = {os.path.realpath(files.source) for files in planned}
    existing: list[Path] = []
    for files in planned:
        other = by_name.setdefault(files.labels, files.source)
        if other != files.source:
            raise UserError(
                f"{printable(other)} and {printable(files.source)} would both become {printable(files.labels)}: "
                'predict them separately, or give a quoted pattern such as "photos/**", which keeps the folders'
            )
        for result in files.results:
            if len(os.fsencode(result.name)) > _LONGEST_NAME:
                raise UserError(f"the name of {printable(files.source)} is too long for its results: shorten it")
            if os.path.realpath(result) in inputs:  # unlike `resolve`, of a link to itself too
                raise UserError(
                    f"the result {printable(result)} would overwrite an input: choose another output folder"
                )
            found = [result, files.partial(result)] if files.is_video else [result]
            existing.extend(path for path in found if os.path.lexists(path))
    if existing and not overwrite:
        names = ", ".join(map(printable, existing[:_EXAMPLES])) + (", …" if len(existing) > _EXAMPLES else "")
        exist = "exists" if len(existing) == 1 else "exist"
        raise UserError(
            f"{counted(len(existing), 'result')} of an earlier run {exist} ({names}): "
            "give --overwrite to replace them, or another output folder"
        )
