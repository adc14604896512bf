"""Which COCO files describe which images, and what their categories are called."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from fanet.errors import UserError, counted
from fanet.segmentation.data.dataset import shortened
from fanet.segmentation.data.documents import read_json
from fanet.segmentation.data.labels.names import match_names
from fanet.segmentation.data.survey.tree import Tree
from fanet.segmentation.data.survey.words import split_of
from fanet.segmentation.data.walking import File


def find_coco(tree: Tree, images: Sequence[File]) -> tuple[dict[str, list[tuple[File, File]]], list[str]]:
    """Find the images that each annotation file lists.

    Args:
        tree: The files of the data set.
        images: Those that are images.

    Returns:
        Images with their annotation file, by split; an empty name stands for a file that names none. And a line for
        each file that lists images which are missing.

    Raises:
        UserError: A file cannot be read, lists none of the images, or there are two for one split.
    """
    files = [file for file in tree.coco if _has_outlines(Path(file.path))]
    if not files:
        raise UserError(f"{tree.coco[0].path} has no outlines: export `segmentation` as polygons or run lengths")
    found: dict[str, list[tuple[File, File]]] = {}
    sources: dict[str, File] = {}
    notes = []
    for file in files:
        split = split_of(PurePosixPath(file.name).with_suffix("").as_posix()) or ""
        if split in sources:
            raise UserError(
                f"{sources[split].path} and {file.path} are both annotations of {split or 'all images'}: put train, "
                f"val or test into their names, or move the one that is not meant out of {tree.root}"
            )
        sources[split] = file
        listed = [str(image.get("file_name")) for image in _read(Path(file.path))["images"]]
        inside = [image for image in images if split and split_of(image.name) == split]
        beside = [image for image in images if PurePosixPath(file.name).parent in PurePosixPath(image.name).parents]
        for some in (inside, beside, images):
            by_name = {image.name: image for image in some}
            matched, _ = match_names(
                listed, {name: image.path for name, image in by_name.items()}, tree.root, file.path
            )
            if len(matched) * 2 > len(listed) or some is images:
                break
        if not matched:
            raise UserError(f"{file.path} lists none of the images in {tree.root}: its first file_name is {listed[:1]}")
        found[split] = [(by_name[name], file) for name in matched]
        used = set(matched.values())
        missing = [entry for entry in listed if entry not in used]
        if missing:
            notes.append(f"{counted(len(missing), 'image')} of {file.name} missing: {shortened(missing)}")
    return found, notes


def categories_of(path: Path) -> tuple[list[str], list[str]]:
    """Return the names of the categories that have objects, by their ids, and those of the others.

    Raises:
        UserError: The file cannot be read.
    """
    content = _read(path)
    used = {str(entry.get("category_id")) for entry in content["annotations"]}
    categories = sorted(content.get("categories") or [], key=lambda entry: _order(entry.get("id")))
    names = [(str(entry.get("name")).strip(), str(entry.get("id")) in used) for entry in categories]
    return [name for name, is_used in names if is_used], [name for name, is_used in names if not is_used]


def _order(key: Any) -> tuple[float, str]:
    return (float(key), "") if isinstance(key, int | float) else (float("inf"), str(key))


def _has_outlines(path: Path) -> bool:
    return any(entry.get("segmentation") for entry in _read(path)["annotations"])


def _read(path: Path) -> dict[str, Any]:
    content = read_json(path, _lean)
    if not isinstance(content, dict) or not all(
        isinstance(content.get(key), list) for key in ("images", "annotations")
    ):
        raise UserError(f"{path} is not in COCO's format: it must have lists of images and annotations")
    return {
        key: [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else value
        for key, value in content.items()
    }


def _lean(entry: dict[str, Any]) -> dict[str, Any]:
    """Drop the coordinates of outlines while the file is read."""
    if "image_id" not in entry:
        return entry
    return {"category_id": entry.get("category_id"), "segmentation": bool(entry.get("segmentation"))}
