"""The files below a folder, sorted by what they may be."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from fanet.media.formats import is_image_file
from fanet.segmentation.data.documents import read_text
from fanet.segmentation.data.walking import File, walk

_RUN_FILES = ("last.pt", "log.csv", "metrics.json")  # what `fanet train` and `fanet evaluate` leave in their folders
_PREDICTED = ("_labels", "_overlay")  # ends of the names of what `fanet predict` writes
_ARCHIVE_FOLDER = "__MACOSX"
ARCHIVES = (".zip", ".tar", ".gz", ".tgz", ".bz2", ".tbz2", ".xz", ".txz", ".zst", ".7z", ".rar")
_FEWEST_NUMBERS = 5  # in a line of YOLO's: class, centre and size of a box


@dataclass
class Tree:
    """The files of a data set. Names are relative to its folder, with forward slashes.

    Attributes:
        root: The folder.
        images: Image files, masks among them.
        coco: Annotation files in COCO's format.
        labelme: labelme's files.
        yolo: Text files with lines of numbers, and empty ones.
        texts: All text files and tables, those among them that name classes or list images.
        unread: Archives, and JSON and XML files in none of these formats.
    """

    root: Path
    images: list[File] = field(default_factory=list)
    coco: list[File] = field(default_factory=list)
    labelme: list[File] = field(default_factory=list)
    yolo: list[File] = field(default_factory=list)
    texts: list[File] = field(default_factory=list)
    unread: list[File] = field(default_factory=list)


def read_tree(root: Path) -> Tree:
    """List what is in a folder, without the results of earlier trainings, evaluations and predictions.

    Raises:
        UserError: A folder or file cannot be read.
    """
    files = walk(root, None).files
    results = {PurePosixPath(file.name).parent for file in files if PurePosixPath(file.name).name in _RUN_FILES}
    results -= {PurePosixPath(".")}
    tree = Tree(root)
    for file in files:
        folders = PurePosixPath(file.name).parents
        if not results.isdisjoint(folders) or _ARCHIVE_FOLDER in PurePosixPath(file.name).parts:
            continue
        suffix = PurePosixPath(file.name).suffix.lower()
        if suffix == ".json":
            _add_json(tree, file)
        elif suffix in (".txt", ".names", ".csv", ".yaml", ".yml"):
            tree.texts.append(file)
        elif suffix in (".xml", *ARCHIVES):
            tree.unread.append(file)
        elif is_image_file(Path(file.path)):
            tree.images.append(file)
    tree.images = _without_predictions(tree.images)
    stems = {PurePosixPath(file.name).stem for file in tree.images}
    for file in tree.texts:
        is_text = PurePosixPath(file.name).suffix.lower() == ".txt" and PurePosixPath(file.name).stem in stems
        if is_text and _is_numbers(Path(file.path)):
            tree.yolo.append(file)
    return tree


def _without_predictions(images: Sequence[File]) -> list[File]:
    """Leave out what `fanet predict` wrote: labels and an overlay, without their image beside them."""
    names = {PurePosixPath(file.name).with_suffix("").as_posix() for file in images}

    def is_result(file: File) -> bool:
        name = PurePosixPath(file.name).with_suffix("").as_posix()
        base = next((name.removesuffix(end) for end in _PREDICTED if name.endswith(end)), None)
        return base is not None and base not in names and all(base + end in names for end in _PREDICTED)

    return [file for file in images if not is_result(file)]


def _add_json(tree: Tree, file: File) -> None:
    """Add a JSON file by the keys that occur in it: most are large, and are read in full only once."""
    content = Path(file.path).read_bytes()
    if b'"shapes"' in content:
        tree.labelme.append(file)
    elif b'"images"' in content and b'"annotations"' in content:
        tree.coco.append(file)
    else:
        tree.unread.append(file)


def _is_numbers(path: Path) -> bool:
    """Return whether the first line with text holds numbers only, as YOLO's do; true for an empty file."""
    line = next((line for line in read_text(path).splitlines() if line.strip()), None)
    if line is None:
        return True
    words = line.split()
    return len(words) >= _FEWEST_NUMBERS and all(_is_number(word) for word in words)


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def by_folder(files: Iterable[File]) -> dict[str, list[File]]:
    """Return files by their folder, which is `.` for the root."""
    found: dict[str, list[File]] = {}
    for file in files:
        found.setdefault(PurePosixPath(file.name).parent.as_posix(), []).append(file)
    return found


def stem_of(file: File) -> str:
    """Return the name of a file without folders and suffix."""
    return PurePosixPath(file.name).stem
