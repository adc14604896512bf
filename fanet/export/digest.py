"""The digest at the end of an exported file: `"`, the SHA-256 of all bytes before it, `"`.

An ONNX file is a sequence of fields that may come in any order, so a last entry of the metadata, `digest`, is appended
to it. A `.pt2` file is a zip archive, which ends with a comment.
"""

import hashlib
from pathlib import Path

from fanet.errors import UserError, needs_extra

_LENGTH = 66  # of the digest in quotes, which make it JSON, as all metadata is
_COMMENT_LENGTH = 2  # bytes that say how long a zip archive's comment is


def seal(path: Path) -> str:
    """Append its digest to a finished file, `.onnx` or `.pt2`, and return it."""
    data = path.read_bytes()
    data += _entry() if path.suffix.lower() == ".onnx" else b""
    if path.suffix.lower() == ".pt2":
        data = data[:-_COMMENT_LENGTH] + _LENGTH.to_bytes(_COMMENT_LENGTH, "little")
    digest = hashlib.sha256(data).hexdigest()
    path.write_bytes(data + f'"{digest}"'.encode())
    return digest


def check_digest(path: str | Path) -> str:
    """Return the digest of a file.

    Raises:
        UserError: There is no such file, or it is not as it was exported.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"there is no file {path}")
    data = path.read_bytes()
    digest = hashlib.sha256(data[:-_LENGTH]).hexdigest()
    if not data.endswith(f'"{digest}"'.encode()):
        raise UserError(
            f"the digest of {path} is missing or wrong: graph, weights or metadata are not those of the export"
        )
    return digest


def _entry() -> bytes:
    """Return the field of an ONNX file for the entry `digest`, up to its value."""
    with needs_extra("onnx", "onnx"):
        import onnx

    entry = onnx.StringStringEntryProto(key="digest", value="0" * _LENGTH)
    return onnx.ModelProto(metadata_props=[entry]).SerializeToString()[:-_LENGTH]
