"""Let timm's RandAugment posterise on Pillow 13: recipes name this module among train.py's `device_modules`.

timm keeps between 4 and 0 bits of each colour. For 0, Pillow used to return a black image and now raises an error that
ends the training: with `rand-m9-mstd0.5` once in 660 images. Importing this module restores the black image, so that
the published augmentation is what runs. It changes timm for the whole process, so `import fanet` does not import it.
"""

from typing import Any

from PIL import Image
from timm.data import auto_augment


def posterize(image: Image.Image, bits_to_keep: int, **options: Any) -> Image.Image:
    """Keep the highest bits, 0 to 8, of every colour of an image."""
    if bits_to_keep == 0:
        return Image.new(image.mode, image.size)
    return auto_augment.posterize(image, bits_to_keep, **options)


# timm looks operations up here; there is no public way to add one
auto_augment.NAME_TO_OP.update(
    {name: posterize for name in auto_augment.NAME_TO_OP if name.startswith("Posterize")},
)
