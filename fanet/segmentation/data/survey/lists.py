"""Lists of splits that people keep beside their images, such as Pascal VOC's `ImageSets/Segmentation/train.txt`."""

from collections.abc import Mapping
from pathlib import PurePosixPath

from fanet.errors import UserError
from fanet.segmentation.data.splitting import listed_images
from fanet.segmentation.data.survey.tree import Tree, stem_of
from fanet.segmentation.data.survey.words import split_of, words_of


def find_lists(tree: Tree, images: Mapping[str, str]) -> tuple[dict[str, tuple[str, list[str]]], list[str]]:
    """Find the text files that say which images belong to a split.

    Args:
        tree: The files of the data set.
        images: The path of every image, by its name.

    Returns:
        The list of each split, as the file, relative to the data set's folder, and the names of its images; and a line
        for each guess.

    Raises:
        UserError: A list names images that are missing, or two lists of different images may be meant.
    """
    found: dict[str, tuple[str, list[str]]] = {}
    notes = []
    annotations = {file.name for file in tree.yolo}
    for file in tree.texts:
        split = split_of(stem_of(file))
        is_list = PurePosixPath(file.name).suffix.lower() == ".txt" and len(words_of(stem_of(file))) == 1
        if split is None or not is_list or file.name in annotations:
            continue
        try:
            names = sorted(listed_images(tree.root, file.name, images)[0])
        except UserError as error:
            raise UserError(f"{error}; rename the file if it is no list of the images of {split}") from error
        if split not in found:
            found[split] = (file.name, names)
        elif found[split][1] != names:
            one, other = found[split][0], file.name
            preferred = [name for name in (one, other) if "segmentation" in name.lower()]
            if len(preferred) != 1:
                raise UserError(
                    f"{tree.root / one} and {tree.root / other} both list images of {split}: move the one that is not "
                    f"meant out of {tree.root}"
                )
            notes.append(f"the images of {split} are those of {preferred[0]}")
            if preferred[0] == other:
                found[split] = (other, names)
    return found, notes
