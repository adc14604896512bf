"""Segment an image with an ONNX file of `fanet export`. Needs numpy, Pillow and onnxruntime, not PyTorch.

python run_onnx.py MODEL.onnx IMAGE     # writes the labels of belt.jpg as belt_labels.png into the current folder

The file's proof comes first: on this very runtime, the function that predicts must give its labels for its images.
"""

import base64
import hashlib
import io
import json
import sys
import zlib
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageOps


def resize(x, size):
    """(C, h, w) -> (C, *size), bilinear: uint8 images bit for bit as OpenCV does, logits as PyTorch."""
    if x.shape[1:] == tuple(size):
        return x
    is_image, x = x.dtype == np.uint8, x.astype(int) if x.dtype == np.uint8 else x
    for axis in (2, 1):
        old, new = x.shape[axis], size[axis - 1]
        centre = ((np.arange(new) + 0.5) * (old / new) - 0.5).astype(np.float32)
        low = np.floor(centre)
        weights = np.stack([1 - (centre - low), centre - low]).reshape(2, *((-1, 1) if axis == 1 else (1, -1)))
        weights = np.rint(2048 * weights).astype(int) if is_image else weights
        pair = [np.take(x, np.clip(low + i, 0, old - 1).astype(int), axis) * weights[i] for i in (0, 1)]
        x = sum(pair) if not is_image else sum(pair) >> 4 if axis == 2 else (sum(x >> 16 for x in pair) + 2) >> 2
    return x.astype(np.uint8) if is_image else x


def read(file):
    """Return an image as (H, W, 3) uint8, turned as its camera was held."""
    image = ImageOps.exif_transpose(Image.open(file))
    if image.mode[0] in "IF" or image.has_transparency_data:  # Pillow would cut off values, or show what is hidden
        raise ValueError("save it with 8 bits a channel and without transparency")
    return np.asarray(image.convert("RGB"))


def predict(session, preprocessing, file):
    """Return the labels of an image, (H, W), and its logits, (num_classes, H, W)."""
    pixels, given = read(file), session.get_inputs()[0]
    if given.type == "tensor(uint8)":  # the preprocessing is in the graph
        return [output[0] for output in session.run(["labels", "scores"], {given.name: pixels[None]})]
    x, fit, multiple = pixels.transpose(2, 0, 1), preprocessing["fit"], preprocessing["multiple"]
    if fit:
        scale = min(fit[0] / max(x.shape[1:]), fit[1] / min(x.shape[1:]))
        x = resize(x, [max(1, int(side * scale + 0.5)) for side in x.shape[1:]])
    x = resize(x, [-(-side // multiple) * multiple for side in x.shape[1:]])
    mean, std = (np.array(preprocessing[key], np.float32)[:, None, None] for key in ("mean", "std"))
    x, (height, width) = (x / np.float32(255) - mean) / std, x.shape[1:]
    if isinstance(given.shape[2], int):  # the file takes one size
        if height > given.shape[2] or width > given.shape[3]:
            raise ValueError(f"the file takes at most {given.shape[2]}x{given.shape[3]} pixels, not {height}x{width}")
        x = np.pad(x, ((0, 0), (0, given.shape[2] - height), (0, given.shape[3] - width)))
    logits = session.run(["logits"], {given.name: x[None]})[0][0, :, :height, :width]
    logits = resize(logits, pixels.shape[:2])
    return logits.argmax(0), logits


def load(path):
    """Return a session that gives on this runtime what the file promises, and the file's metadata."""
    data = Path(path).read_bytes()
    if not data.endswith(f'"{hashlib.sha256(data[:-66]).hexdigest()}"'.encode()):
        raise ValueError("its digest is missing or wrong: graph, weights or metadata are not those of the export")
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    metadata = {key: json.loads(value) for key, value in session.get_modelmeta().custom_metadata_map.items()}
    if not metadata.get("proof"):
        raise ValueError("it carries no proof")
    if len(metadata["preprocessing"]["mean"]) != 3:
        raise ValueError("it takes images of other than three channels, which this script cannot read")
    for case in metadata["proof"]:
        image, *files = (io.BytesIO(zlib.decompress(base64.b64decode(case[k]))) for k in ("image", "labels", "logits"))
        labels, logits = predict(session, metadata["preprocessing"], image)
        expected_labels, expected = map(np.load, files)
        wrong = ((labels != expected_labels) & (expected_labels >= 0)).sum()  # below 0: a tie within the tolerance
        deviation = np.abs(logits[:, :: case["step"], :: case["step"]] - expected).max() / case["tolerance"]
        if wrong or not deviation <= 1:
            raise ValueError(
                f"its proof fails here: {wrong} labels wrong, logits off by {deviation:.3g} times the tolerance"
            )
    return session, metadata


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    model, image = sys.argv[1:]
    try:
        doing = f"{model} is refused"
        session, metadata = load(model)
        doing = f"{image} cannot be segmented"
        labels = Image.fromarray(predict(session, metadata["preprocessing"], image)[0].astype(np.uint8))
    except Exception as error:
        sys.exit(f"{doing}: {' '.join(str(error).split())[:160]}")
    labels.putpalette(np.array(metadata["palette"], np.uint8).tobytes())
    labels.save(f"{Path(image).stem}_labels.png")
    print(f"{Path(image).stem}_labels.png: the proof of {model} holds on onnxruntime {onnxruntime.__version__}")
