import pytest
import torch
import torch.nn.functional as F

from fanet.segmentation.losses import segmentation_loss


@pytest.fixture
def logits():
    return torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))


def test_is_the_mean_over_counted_pixels_plus_the_weighted_auxiliary_term(logits):
    target = torch.randint(0, 3, (2, 4, 5), generator=torch.Generator().manual_seed(1))
    target[0] = 255
    expected = F.cross_entropy(logits, target, ignore_index=255) + 0.3 * F.cross_entropy(
        -logits, target, ignore_index=255
    )
    torch.testing.assert_close(segmentation_loss(logits, -logits, target, aux_weight=0.3), expected)


def test_batch_without_a_counted_pixel_gives_zero_not_nan(logits):
    logits.requires_grad_()
    loss = segmentation_loss(logits, None, torch.full((2, 4, 5), 255))
    loss.backward()
    assert loss == 0
    assert not logits.grad.any()
