import pytest
import torch
import torch.nn.functional as F

from fanet.segmentation.training.losses import SegmentationLoss, dice_loss, pixel_loss


@pytest.fixture
def logits() -> torch.Tensor:
    return torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def target() -> torch.Tensor:
    target = torch.randint(0, 3, (2, 4, 5), generator=torch.Generator().manual_seed(1))
    target[0, :2] = 255
    return target


def test_auxiliary_loss_is_added_with_its_weight(logits, target):
    expected = F.cross_entropy(logits, target, ignore_index=255) + 0.3 * F.cross_entropy(
        -logits, target, ignore_index=255
    )
    torch.testing.assert_close(SegmentationLoss(aux_weight=0.3)(logits, -logits, target), expected)


def test_class_weights_act_as_in_torch(logits, target):
    weights = torch.tensor([1.0, 2.0, 5.0])
    expected = F.cross_entropy(logits, target, weights, ignore_index=255)
    torch.testing.assert_close(SegmentationLoss(class_weights=(1.0, 2.0, 5.0))(logits, None, target), expected)


def test_focal_loss_matches_its_definition(logits, target):
    values = []
    for probability, label in zip(logits.softmax(1).movedim(1, -1).reshape(-1, 3), target.flatten(), strict=True):
        if label != 255:
            values.append(-((1 - probability[label]) ** 2) * probability[label].log())
    torch.testing.assert_close(pixel_loss(logits, target, 255, focal_gamma=2.0), torch.stack(values).mean())


@pytest.mark.parametrize("gamma", [0.0, 2.0])
@pytest.mark.parametrize("weights", [None, (1.0, 2.0, 5.0)])
@pytest.mark.parametrize("share", [0.01, 0.2, 0.5, 1.0])
def test_hard_pixels_are_the_counted_ones_with_the_largest_losses(logits, target, share, gamma, weights):
    pixels = []
    for probability, label in zip(logits.softmax(1).movedim(1, -1).reshape(-1, 3), target.flatten(), strict=True):
        if label != 255:
            weight = 1.0 if weights is None else weights[int(label)]
            pixels.append((float(-weight * (1 - probability[label]) ** gamma * probability[label].log()), weight))
    hardest = sorted(pixels, reverse=True)[: max(1, int(share * len(pixels)))]
    expected = sum(loss for loss, _ in hardest) / sum(weight for _, weight in hardest)
    loss = SegmentationLoss(class_weights=weights, focal_gamma=gamma, hard_pixels=share)(logits, None, target)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_dice_loss_matches_its_definition(logits, target):
    scores = []
    counted = target != 255
    for index, probability in enumerate(logits.softmax(1).unbind(1)):
        truth = (target == index)[counted].float()
        scores.append(2 * (probability[counted] * truth).sum() / (probability[counted].sum() + truth.sum()))
    torch.testing.assert_close(dice_loss(logits, target, 255), 1 - torch.stack(scores).mean())


def test_dice_loss_leaves_out_a_class_that_does_not_occur():
    target = torch.zeros(1, 2, 2, dtype=torch.int64)
    logits = torch.zeros(1, 3, 2, 2)
    logits[:, 0] = 50
    assert dice_loss(logits, target, 255) < 1e-6


@pytest.mark.parametrize("loss", [SegmentationLoss(), SegmentationLoss(0.4, (1.0, 2.0, 3.0), 2.0, 1.0)])
def test_ignored_pixels_get_no_gradient(logits, target, loss):
    logits.requires_grad_()
    loss(logits, logits, target).backward()
    ignored = (target == 255)[:, None].expand_as(logits)
    assert not logits.grad[ignored].any() and logits.grad[~ignored].all()


@pytest.mark.parametrize(
    "loss", [SegmentationLoss(), SegmentationLoss(0.4, (1.0, 2.0, 3.0), 2.0, 1.0), SegmentationLoss(hard_pixels=0.2)]
)
def test_batch_without_counted_pixels_has_zero_loss(logits, loss):
    logits.requires_grad_()
    value = loss(logits, None, torch.full((2, 4, 5), 255))
    value.backward()
    assert value == 0 and not logits.grad.any()


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0])
def test_focal_loss_of_certain_pixels_has_a_finite_gradient(gamma):
    logits = torch.tensor([60.0, 0.0]).view(1, 2, 1, 1).requires_grad_()
    pixel_loss(logits, torch.zeros(1, 1, 1, dtype=torch.int64), 255, focal_gamma=gamma).backward()
    assert logits.grad is not None and logits.grad.isfinite().all()
