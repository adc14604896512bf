"""lightly trains a backbone without labels, and its file starts a segmentation model."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torch import nn

import fanet  # noqa: F401  registers the models
from fanet.scenes import scene
from fanet.segmentation import SegmentationModel

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from lightly.loss import NegativeCosineSimilarity
    from lightly.models.modules import SimSiamPredictionHead, SimSiamProjectionHead
    from lightly.transforms import SimSiamTransform

pytestmark = pytest.mark.filterwarnings("ignore")  # the libraries' own


@pytest.mark.parametrize("name", ("convnext_atto", "test_fanet"))
def test_backbone_trained_by_simsiam_starts_a_segmentation_model(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    np.random.seed(0)
    backbone = timm.create_model(name, num_classes=0)
    before = {key: tensor.clone() for key, tensor in backbone.state_dict().items()}
    width = backbone.num_features
    projection, prediction = SimSiamProjectionHead(width, 64, 32), SimSiamPredictionHead(32, 16, 32)
    parameters = nn.ModuleList([backbone, projection, prediction]).parameters()
    optimizer, criterion = torch.optim.SGD(parameters, lr=0.05), NegativeCosineSimilarity()
    transform = SimSiamTransform(input_size=64)
    for _ in range(3):
        views = [transform(Image.fromarray(scene(0, index, 96)[0])) for index in range(4)]
        first, second = (projection(backbone(torch.stack(view))) for view in zip(*views, strict=True))
        loss = 0.5 * (criterion(prediction(first), second.detach()) + criterion(prediction(second), first.detach()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        assert loss.isfinite()
    torch.save(backbone.state_dict(), tmp_path / "simsiam.pth")

    net = SegmentationModel(name, 5, head_channels=16, backbone_weights=tmp_path / "simsiam.pth")
    assert not all(torch.equal(before[key], tensor) for key, tensor in backbone.state_dict().items())
    x = net.preprocessing(scene(0, 0, 64)[0])
    with torch.no_grad():
        expected = backbone.eval().forward_intermediates(x, intermediates_only=True)
        for found, map_ in zip(net.eval().forward_features(x), expected[-4:], strict=True):
            torch.testing.assert_close(found, map_)
