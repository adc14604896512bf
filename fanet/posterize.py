"""Lets timm's RandAugment posterise on Pillow 13: recipes name this module among train.py's `device_modules`.

timm draws how many bits of a colour to keep from 4 to 0. Pillow used to return a black picture for 0 and now raises an
error, which ends the training: with `rand-m9-mstd0.5` once in 660 pictures. Importing this module gives
RandAugment the black picture back, so that the published augmentation is what runs. It changes timm for the whole
process, which is why `import fanet` does not import it.
"""

from typing import Any

from PIL import Image
from timm.data import auto_augment


def posterize(image: Image.Image, bits_to_keep: int, **options: Any) -> Image.Image:
    """Keeps the highest bits, 0 to 8, of every colour of a picture."""
    if bits_to_keep == 0:
        return Image.new(image.mode, image.size)
    return auto_augment.posterize(image, bits_to_keep, **options)


# the one place where timm looks operations up; there is no public way to add one
auto_augment.NAME_TO_OP.update(
    {name: posterize for name in auto_augment.NAME_TO_OP if name.startswith("Posterize")},
)
