"""What the names of folders and files say: images or labels, and which split."""

import re
from pathlib import PurePosixPath

from fanet.segmentation.data.suggest import IMAGE_FOLDERS, MASK_FOLDERS

IMAGES, LABELS = "images", "labels"  # roles of a folder

# Beside the folder names that the suggestions know: parts of names such as `train_masks`, `imagesTr`, `trainannot`.
_LABEL_WORDS = {*MASK_FOLDERS, "ann", "anno", "annot", "annots", "annotation", "gtfine", "gts", "groundtruth"} | {
    *("seg", "segs", "segmentation", "segmentations", "segmentationobject", "semantic", "target", "targets", "truth"),
    *("json", "jsons", "txt", "lbl", "lbls", "msk", "msks"),
}
_IMAGE_WORDS = {*IMAGE_FOLDERS, "photo", "picture", "rgb", "leftimg8bit", "frames"}
_WHOLE = {"data", "x", "y"}  # say something only if they are the whole name
_ASIDE = {
    "visualization",
    "visualizations",
    "visualisation",
    "viz",
    "vis",
    "overlay",
    "overlays",
    "preview",
    "previews",
}
_INSTANCES = {"segmentationobject", "instance", "instances", "instanceids"}
_FILLERS = {"dir", "folder", "ground", "map", "maps", "file", "files"}
_SPLIT_WORDS = {
    **dict.fromkeys(("train", "training", "trn", "tr", "trainset"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "dev", "validate", "valset", "validset", "devset"), "val"),
    **dict.fromkeys(("test", "testing", "tst", "ts", "testset"), "test"),
}
_OF_YEAR = re.compile(r"([a-z]{3,})(?:19|20)\d\d")  # as COCO's `train2017`
_GLUED = re.compile(r"(train|val|test)(annot|mask|masks|label|labels|images?)")  # as CamVid's `trainannot`
# A part of a file's name that marks a mask, `a_mask.png`, `mask_a.png`, `gt-a.png`.
_MARK_WORDS = "masks?|labels?|seg|segmentation|gt|groundtruth|annotations?|annot|semantic|labelids"
_MARK = re.compile(rf"(?:^(?:{_MARK_WORDS})(?=[_\-. ])|(?<=[_\-. ])(?:{_MARK_WORDS})$)", re.IGNORECASE)


def words_of(part: str) -> list[str]:
    """Return the words of a folder's name, in lower case: those of `imagesTr` are `images` and `tr`."""
    whole = part.lower()
    if whole in _LABEL_WORDS | _IMAGE_WORDS:
        return [whole]
    glued = _GLUED.fullmatch(whole)
    if glued is not None:
        return list(glued.groups())
    words = [word.lower() for word in re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])|[^\W_]+", part)]
    return [word for word in words if word not in _WHOLE]


def role_of(folder: str) -> str | None:
    """Return what the name of a folder says is in it, the deepest part first; None if it says nothing."""
    for part in reversed(PurePosixPath(folder).parts):
        words = set(words_of(part))
        if words & _LABEL_WORDS:
            return LABELS
        if words & _IMAGE_WORDS:
            return IMAGES
    return None


def key_of(folder: str) -> tuple[str, ...]:
    """Return what is left of a folder's path without the words for images and labels.

    It is the same for a folder of images and that of their labels: `("train",)` for `images/train`, `train/masks` and
    `trainannot`.
    """
    rest = []
    for part in PurePosixPath(folder).parts:
        words = words_of(part)
        if set(words) & (_LABEL_WORDS | _IMAGE_WORDS):
            words = [word for word in words if word not in _LABEL_WORDS | _IMAGE_WORDS | _FILLERS]
            part = "_".join(_SPLIT_WORDS.get(word, word) for word in words)
        else:
            part = _SPLIT_WORDS.get(part.lower(), part)
        if part:
            rest.append(part)
    return tuple(rest)


def split_of(path: str) -> str | None:
    """Return the split that a path names by a word in one of its parts, the deepest first; None if it names none."""
    for part in reversed(PurePosixPath(path).parts):
        found = {split for word in words_of(part) if (split := _split_word(word)) is not None}
        if len(found) == 1:
            return found.pop()
    return None


def _split_word(word: str) -> str | None:
    """Return the split that a word names, with or without a year; None if it names none."""
    of_year = _OF_YEAR.fullmatch(word)
    return _SPLIT_WORDS.get(of_year[1] if of_year is not None else word)


def is_aside(folder: str) -> bool:
    """Return whether a folder holds drawings for people to look at, by its name."""
    return any(not _ASIDE.isdisjoint(words_of(part)) for part in PurePosixPath(folder).parts)


def is_of_instances(folder: str) -> bool:
    """Return whether a folder holds masks in which each object has a number of its own, by its name."""
    return any(not _INSTANCES.isdisjoint([part.lower(), *words_of(part)]) for part in PurePosixPath(folder).parts)


def is_marked(stem: str) -> bool:
    """Return whether the name of a file says that it is a mask: `a_mask`, `gt-a`."""
    return _MARK.search(stem) is not None


def is_mark(stem: str) -> bool:
    """Return whether the name of a file is nothing but the word for a mask, as `mask` in a folder for each image."""
    return re.fullmatch(_MARK_WORDS, stem, re.IGNORECASE) is not None
