import timm
from torch import nn

import fanet  # noqa: F401  registers the models
from fanet.backbone.complexity import count_macs, count_parameters


def test_convolution_is_counted_as_by_hand() -> None:
    conv = nn.Conv2d(3, 8, 5, stride=4, padding=2, device="meta")
    assert count_parameters(conv) == 8 * 3 * 25 + 8
    assert count_macs(conv, (32, 48)) == 8 * 12 * 8 * 3 * 25


def test_fanet_base_has_the_papers_size() -> None:
    model = timm.create_model("fanet_base", device="meta").eval()
    assert count_parameters(model) == 36_721_864
    assert count_macs(model, (224, 224)) == 5_800_459_008
