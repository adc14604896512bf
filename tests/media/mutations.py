"""Files that no program wrote: random bytes, and good images and videos with bytes changed, cut off or put in."""

import io
import random
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import tifffile
from PIL import Image

# Written by Pillow under these endings.
IMAGE_ENDINGS = ("jpg", "png", "gif", "bmp", "tif", "webp", "avif", "jp2", "ppm", "pgm", "tga")
VIDEO_ENDINGS = {"mp4": "libx264", "mkv": "libx264", "avi": "mpeg4", "ts": "mpeg2video", "webm": "libvpx"}


def good_files(folder: Path) -> dict[str, bytes]:
    """Return the contents of small files of every kind, by an ending."""
    pixels = np.random.default_rng(0).integers(256, size=(24, 32, 3), dtype=np.uint8)
    files = {}
    for ending in IMAGE_ENDINGS:
        path = folder / f"good.{ending}"
        Image.fromarray(pixels[..., 0] if ending == "pgm" else pixels).save(path)
        files[ending] = path.read_bytes()
    Image.fromarray(pixels.astype(np.uint16)[..., 0] * 257).save(folder / "deep.png")
    files["deep.png"] = (folder / "deep.png").read_bytes()
    frames = [Image.fromarray(np.roll(pixels, shift, 1)) for shift in range(3)]
    for ending in ("gif", "tif", "png", "webp"):
        frames[0].save(folder / f"frames.{ending}", save_all=True, append_images=frames[1:])
        files[f"frames.{ending}"] = (folder / f"frames.{ending}").read_bytes()
    bands = io.BytesIO()
    tifffile.imwrite(bands, np.repeat(pixels, 2, axis=2), photometric="minisblack")
    files["bands.tif"] = bands.getvalue()
    array = io.BytesIO()
    np.save(array, pixels)
    files["npy"] = array.getvalue()
    return files


def good_videos(folder: Path) -> dict[str, bytes]:
    """Return the contents of short videos, by their ending."""
    files = {}
    for ending, codec in VIDEO_ENDINGS.items():
        path = folder / f"good.{ending}"
        with av.open(str(path), "w") as container:
            stream = container.add_stream(codec, rate=25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            for index in range(6):
                pixels = np.random.default_rng(index).integers(256, size=(48, 64, 3), dtype=np.uint8)
                container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
            container.mux(stream.encode(None))
        files[ending] = path.read_bytes()
    return files


def mutations(files: dict[str, bytes], count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield names and contents: every fifth of random bytes, the rest a good file that was damaged."""
    chance = random.Random(seed)
    endings = list(files)
    for index in range(count):
        ending = endings[index % len(endings)]
        good = bytearray(files[ending])
        kind = index % 5
        if kind == 0:
            start = bytes(good[: chance.choice((0, 4, 16))])
            good = bytearray(start + chance.randbytes(chance.randrange(2000)))
        elif kind == 1:
            del good[chance.randrange(len(good)) :]
        elif kind == 2:  # in the header, where sizes are
            for _ in range(chance.randrange(1, 6)):
                good[chance.randrange(min(64, len(good)))] = chance.randrange(256)
        elif kind == 3:
            for _ in range(chance.randrange(1, 40)):
                good[chance.randrange(len(good))] ^= 1 << chance.randrange(8)
        else:
            place = chance.randrange(len(good))
            good[place : place + chance.randrange(50)] = chance.randbytes(chance.randrange(50))
        yield f"{index}.{ending}", bytes(good)
