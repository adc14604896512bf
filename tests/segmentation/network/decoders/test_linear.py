import torch
import torch.nn.functional as F
from torch import nn

from fanet.segmentation import SegmentationModel
from fanet.segmentation.network.decoders.linear import Linear


def test_the_embedding_is_all_maps_side_by_side_at_the_size_of_the_finest():
    maps = [torch.randn(2, channels, side, side + 1) for channels, side in ((3, 16), (4, 8), (5, 3))]
    decoder = Linear([3, 4, 5], [4, 8, 16], width=64)
    embedding = decoder.embed(maps)
    assert decoder.width == 12 and embedding.shape == (2, 12, 16, 17)
    assert torch.equal(embedding[:, :3], maps[0])
    for start, coarse in ((3, maps[1]), (7, maps[2])):
        expected = F.interpolate(coarse, (16, 17), mode="bilinear", align_corners=False)
        assert torch.equal(embedding[:, start : start + coarse.shape[1]], expected)


def test_a_single_map_is_the_embedding():
    x = torch.randn(1, 3, 8, 8)
    assert torch.equal(Linear([3], [4]).embed([x]), x)


def test_the_classifier_holds_all_parameters():
    net = SegmentationModel("test_resnet", 5, "linear")
    assert [type(module) for module in net.decode_head.children()] == [nn.Dropout2d, nn.Conv2d]
    channels = sum(net.backbone.feature_info.channels())
    assert sum(parameter.numel() for parameter in net.decode_head.parameters()) == 5 * (channels + 1)
