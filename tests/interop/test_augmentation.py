"""albumentations and Kornia prepare images for models of this package, with labels that stay on their pixels."""

import albumentations as A
import kornia.augmentation as K
import numpy as np
import pytest
import torch
from albumentations.pytorch import ToTensorV2
from torch import Tensor
from torch.nn.functional import cross_entropy

from fanet.scenes import scene
from fanet.segmentation import Preprocessing, SegmentationModel, UperNet, load_model

IGNORED = 255
both = pytest.mark.parametrize("name", ("convnext_atto", "test_fanet"))
pytestmark = pytest.mark.filterwarnings("ignore")  # the libraries' own


@pytest.fixture(scope="module")
def clutter() -> SegmentationModel:
    return load_model("clutter")


def scenes(count: int, side: int = 256) -> tuple[list[np.ndarray], list[np.ndarray]]:
    images, labels = zip(*(scene(1, index, side) for index in range(count)), strict=True)
    return list(images), list(labels)


def in_unit_range(images: list[np.ndarray]) -> Tensor:
    """(H, W, 3) uint8 each -> (B, 3, H, W) float32 in 0..1, as Kornia takes images"""
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2) / 255


def accuracy(net: SegmentationModel, x: Tensor, labels: Tensor) -> float:
    with torch.inference_mode():
        found = net.eval()(x).argmax(1)
    return (found == labels)[labels != IGNORED].float().mean().item()


def test_albumentations_makes_the_input_that_the_model_makes(clutter: SegmentationModel) -> None:
    (image,), _ = scenes(1)
    normalised = A.Normalize(clutter.preprocessing.mean, clutter.preprocessing.std)
    x = A.Compose([normalised, ToTensorV2()])(image=image)["image"][None]
    torch.testing.assert_close(x, clutter.preprocessing(image), atol=1e-5, rtol=0)
    with torch.inference_mode():
        np.testing.assert_array_equal(clutter(x).argmax(1)[0].numpy(), clutter.predict(image))


@pytest.mark.parametrize("size", [(270, 480), (100, 75)])
def test_albumentations_resizes_as_the_published_protocol_does(size: tuple[int, int]) -> None:
    protocol = Preprocessing(fit=(2048, 512), multiple=32)
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    steps = [A.Resize(*step) for step in protocol.sizes(*size)]  # linear by default
    resized = A.Compose(steps)(image=image)["image"]
    expected = protocol.resized(image)[0].permute(1, 2, 0).numpy()
    assert resized.shape == expected.shape
    np.testing.assert_array_equal(resized, expected)


def test_kornia_makes_the_input_that_the_model_makes(clutter: SegmentationModel) -> None:
    images, _ = scenes(2)
    x = K.Normalize(torch.tensor(clutter.preprocessing.mean), torch.tensor(clutter.preprocessing.std))(
        in_unit_range(images)
    )
    torch.testing.assert_close(x, torch.cat([clutter.preprocessing(image) for image in images]), atol=1e-5, rtol=0)
    with torch.inference_mode():
        found = clutter(x).argmax(1).numpy()
    np.testing.assert_array_equal(found, np.stack([clutter.predict(image) for image in images]))


def augmented_by_albumentations(net: SegmentationModel, count: int) -> tuple[Tensor, Tensor]:
    transform = A.Compose(
        [
            A.HorizontalFlip(p=1),
            A.Affine(scale=0.75, translate_percent=0.05, p=1, fill_mask=IGNORED),
            A.RandomCrop(192, 192),
            A.ColorJitter(0.05, 0.05, 0.05, 0),
            A.Normalize(net.preprocessing.mean, net.preprocessing.std),
            ToTensorV2(),
        ],
        seed=0,
    )
    samples = [transform(image=image, mask=labels) for image, labels in zip(*scenes(count), strict=True)]
    return torch.stack([each["image"] for each in samples]), torch.stack([each["mask"] for each in samples]).long()


def augmented_by_kornia(net: SegmentationModel, count: int) -> tuple[Tensor, Tensor]:
    images, labels = scenes(count)
    torch.manual_seed(0)
    transform = K.AugmentationSequential(
        K.RandomHorizontalFlip(p=1.0),
        K.RandomAffine(0.0, (0.05, 0.05), (0.75, 0.75), p=1.0),
        K.RandomCrop((192, 192)),
        K.ColorJiggle(0.05, 0.05, 0.05, 0.0),
        K.Normalize(torch.tensor(net.preprocessing.mean), torch.tensor(net.preprocessing.std)),
        data_keys=["input", "mask"],
    )
    # Kornia takes masks of floats and fills them with 0, which is a class here: move the classes up by one and back.
    masks = torch.from_numpy(np.stack(labels))[:, None].float() + 1
    x, masks = transform(in_unit_range(images), masks)
    moved = masks[:, 0].long() - 1
    return x, torch.where(moved < 0, IGNORED, moved)


AUGMENTED = [augmented_by_albumentations, augmented_by_kornia]


@pytest.mark.parametrize("augmented", AUGMENTED)
def test_labels_follow_the_image(augmented, clutter: SegmentationModel) -> None:
    x, labels = augmented(clutter, 4)
    assert x.shape == (4, 3, 192, 192) and set(labels.unique().tolist()) == {0, 1, 2, 3, 4, IGNORED}
    aligned, mirrored = accuracy(clutter, x, labels), accuracy(clutter, x, labels.flip(-1))
    assert aligned > 0.75 and aligned > mirrored + 0.2


@both
@pytest.mark.parametrize("augmented", AUGMENTED)
def test_augmented_batches_train(augmented, name: str) -> None:
    torch.manual_seed(0)
    net = UperNet(name, 5, head_channels=16, aux_channels=16, dropout=0.0).train()
    x, labels = augmented(net, 2)
    optimizer, losses = torch.optim.AdamW(net.parameters(), lr=1e-2), []
    for _ in range(8):
        main, auxiliary = net(x)
        loss = cross_entropy(main, labels, ignore_index=IGNORED) + 0.4 * cross_entropy(
            auxiliary, labels, ignore_index=IGNORED
        )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]
