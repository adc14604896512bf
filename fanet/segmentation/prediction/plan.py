"""Which results a prediction will write, and that they do not get into each other's way or anybody else's."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fanet.errors import UserError, counted, printable_line
from fanet.media.channels import count_pages
from fanet.media.formats import is_video
from fanet.segmentation.prediction.annotations import check_stems, own_files, shared_files
from fanet.segmentation.prediction.extras import Extras
from fanet.segmentation.prediction.inputs import LABELS, OVERLAY, PARTIAL, SHARES

#: The table of the objects of all images.
ALL_OBJECTS = "objects.csv"

_EXAMPLES = 3
_LONGEST_NAME = 255  # bytes, of most file systems


@dataclass(frozen=True)
class Prediction:
    """The files of one prediction.

    Attributes:
        source: The image or video, or how a live source is called.
        output: The folder of all results.
        name: Path of the results below it, without what each of them ends with.
        is_video: Whether the source is a video, or live.
        page: Which page or frame of an image file with several it is of, from 1; None if it has only one.
        extras: What is written beside labels and overlay.
    """

    source: Path
    output: Path
    name: Path
    is_video: bool = False
    page: int | None = None
    extras: Extras = Extras()

    @property
    def labels(self) -> Path:
        """The class indices, 8 bits, one channel: an image or a video."""
        return self.beside(LABELS + (".mkv" if self.is_video else ".png"))

    @property
    def overlay(self) -> Path:
        """The image or video with the classes drawn on it."""
        return self.beside(OVERLAY + (".mp4" if self.is_video else ".png"))

    @property
    def objects(self) -> Path:
        """The table of its objects."""
        return self.beside("_objects.csv")

    @property
    def probabilities(self) -> Path:
        """The probabilities of all classes."""
        return self.beside("_probabilities.npz")

    @property
    def shares(self) -> Path:
        """The table of the shares of classes over time."""
        return self.beside(f"{SHARES}.csv")

    @property
    def plot(self) -> Path:
        """The plot of that table."""
        return self.beside(f"{SHARES}.png")

    @property
    def results(self) -> list[Path]:
        """All files that are of this prediction alone."""
        own = [self.labels, self.overlay]
        if self.extras.objects:
            own.append(self.objects)
        if self.is_video:
            return own + ([self.shares, self.plot] if self.extras.shares else [])
        if self.extras.probabilities:
            own.append(self.probabilities)
        return own + [self.output / file for file in own_files(self.extras.annotations, self.name)]

    def beside(self, ending: str) -> Path:
        """Return the result that ends so."""
        return self.output / self.name.with_name(self.name.name + ending)

    def partial(self, result: Path) -> Path:
        """Return the name of a result that ends before its video does."""
        return result.with_name(f"{result.stem}{PARTIAL}{result.suffix}")


def plan_predictions(
    files: Sequence[tuple[Path, Path]],
    output: str | Path,
    overwrite: bool = False,
    channels: int = 3,
    extras: Extras | None = None,
) -> list[Prediction]:
    """Name the results of files.

    `NAME.*` gives `NAME_labels` and `NAME_overlay`, its pages or frames `NAME_page1_labels` and so on. If names in one
    folder differ in their suffix only, the results keep it: `NAME.jpg_labels`.

    Args:
        files: What is to be predicted, and the paths of their results below `output`, without suffix.
        output: The folder for the results.
        overwrite: Whether results of an earlier run may be replaced.
        channels: Number of channels with which images will be read.
        extras: What is written beside labels and overlays; by default nothing.

    Raises:
        UserError: Two files would have the same results, a result would replace an input or, without `overwrite`, any
            file, or its name is too long; or extras are asked for that these files do not have.
    """
    extras = extras or Extras()
    videos = [is_video(path) for path, _ in files]
    same = Counter((path.parent, name, video) for (path, name), video in zip(files, videos, strict=True))
    planned: list[Prediction] = []
    for (path, name), video in zip(files, videos, strict=True):
        if same[path.parent, name, video] > 1:
            name = name.with_name(path.name)
        count = 1 if video else count_pages(path, channels)
        for page in range(1, count + 1):
            number = "" if count == 1 else f"_page{page:0{len(str(count))}d}"
            of_page = name.with_name(name.name + number)
            planned.append(Prediction(path, Path(output), of_page, video, page if count > 1 else None, extras))
    _check_extras(planned, extras)
    check_results(planned, overwrite)
    return planned


def shared_results(planned: Sequence[Prediction]) -> list[Path]:
    """Return the files that are of all images."""
    images = [files for files in planned if not files.is_video]
    if not images:
        return []
    output, extras = images[0].output, images[0].extras
    tables = [output / ALL_OBJECTS] if extras.objects else []
    return tables + [output / file for file in shared_files(extras.annotations)]


def _check_extras(planned: Sequence[Prediction], extras: Extras) -> None:
    videos = [files for files in planned if files.is_video]
    if extras.shares and planned and not videos:
        raise UserError("shares of classes over time are of videos, and none is given: leave --shares out")
    for option, wanted in (("--probabilities", extras.probabilities), ("--annotations", extras.annotations)):
        if wanted and videos:
            raise UserError(f"{option} is for images: predict {printable_line(videos[0].source)} without it")
    pages = [files for files in planned if files.page]
    if extras.annotations and pages:
        raise UserError(
            f"label tools take images of one page, and {printable_line(pages[0].source)} has several: "
            "save them as files of their own, or leave --annotations out"
        )
    check_stems(extras.annotations, [(files.source, files.name) for files in planned])


def check_results(planned: Sequence[Prediction], overwrite: bool) -> None:
    """Check that results replace nothing that they must not, as `plan_predictions` does.

    Raises:
        UserError: They would.
    """
    by_name: dict[Path, Path] = {}
    inputs = {os.path.realpath(files.source) for files in planned}
    existing: list[Path] = []
    for files in planned:
        other = by_name.setdefault(files.labels, files.source)
        if other != files.source:
            raise UserError(
                f"{printable_line(other)} and {printable_line(files.source)} would both become "
                f"{printable_line(files.labels)}: "
                'predict them separately, or give a quoted pattern such as "photos/**", which keeps the folders'
            )
        for result in files.results:
            if len(os.fsencode(result.name)) > _LONGEST_NAME:
                raise UserError(f"the name of {printable_line(files.source)} is too long for its results: shorten it")
            if os.path.realpath(result) in inputs:  # unlike `resolve`, of a link to itself too
                raise UserError(
                    f"the result {printable_line(result)} would overwrite an input: choose another output folder"
                )
            found = [result, files.partial(result)] if files.is_video else [result]
            existing.extend(path for path in found if os.path.lexists(path))
    existing.extend(path for path in shared_results(planned) if os.path.lexists(path))
    if existing and not overwrite:
        names = ", ".join(map(printable_line, existing[:_EXAMPLES])) + (", …" if len(existing) > _EXAMPLES else "")
        exist = "exists" if len(existing) == 1 else "exist"
        raise UserError(
            f"{counted(len(existing), 'result')} of an earlier run {exist} ({names}): "
            "give --overwrite to replace them, or another output folder"
        )
