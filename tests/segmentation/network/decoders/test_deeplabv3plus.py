import pytest
import torch
from torchvision.models.segmentation.deeplabv3 import ASPP

from fanet.errors import UserError
from fanet.segmentation import SegmentationModel
from fanet.segmentation.network.decoders.deeplabv3plus import RATES, AtrousPyramid, DeepLabV3Plus


def dilations(net: SegmentationModel) -> list[int]:
    return [conv.conv.dilation[0] for conv in net.decode_head.aspp.convs[1:]]


def randomise(model: torch.nn.Module) -> None:
    """Statistics of batch norm as a trained model has them."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 2)
            torch.nn.init.uniform_(module.weight, 0.5, 2)
            torch.nn.init.uniform_(module.bias, -0.5, 0.5)


@pytest.mark.parametrize("rates", [RATES, (2, 4, 6, 8)])
def test_the_pyramid_equals_torchvisions(rates):
    torch.manual_seed(0)
    theirs, ours = ASPP(12, list(rates), out_channels=8).eval(), AtrousPyramid(12, 8, rates, dropout=0.1).eval()
    randomise(theirs)
    *convs, pooled = theirs.convs
    pooled = list(pooled)[1:]  # after the pooling itself
    pairs = [*zip(convs, ours.convs, strict=True), (pooled, ours.image[1]), (theirs.project, ours.project)]
    for (conv, norm, *_), block in pairs:
        block.conv.load_state_dict(conv.state_dict())
        block.bn.load_state_dict(norm.state_dict())
    x = torch.randn(2, 12, 19, 27)
    with torch.no_grad():
        torch.testing.assert_close(ours(x), theirs(x))


def test_the_pyramid_has_as_many_parameters_as_torchvisions():
    ours, theirs = AtrousPyramid(12, 8, RATES, dropout=0.1), ASPP(12, list(RATES), out_channels=8)
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters())


@pytest.mark.parametrize("backbone", ["fanet_pico", "resnet18"])
@pytest.mark.parametrize(("stride", "rates"), [(16, [6, 12, 18]), (8, [12, 24, 36]), (32, [6, 12, 18])])
def test_rates_follow_the_output_stride(backbone, stride, rates):
    with torch.device("meta"):
        net = SegmentationModel(backbone, 3, "deeplabv3plus", 8, backbone_kwargs={"output_stride": stride}).eval()
        assert dilations(net) == rates
        x = torch.zeros(1, 3, 64, 96)
        assert net.decode_head.embed(net.forward_features(x)).shape == (1, 8, 16, 24), "as large as the finest map"
        assert net.forward_features(x)[-1].shape[-2:] == (64 // stride, 96 // stride)
        assert net(x).shape == (1, 3, 64, 96)


@pytest.mark.parametrize("backbone", ["fanet_pico", "resnet18"])
def test_output_stride_16_trains_on_one_image_of_odd_size(backbone):
    torch.manual_seed(0)
    net = SegmentationModel(backbone, 3, "deeplabv3plus", 8, aux_channels=8, backbone_kwargs={"output_stride": 16})
    main, auxiliary = net(torch.randn(1, 3, 41, 67))
    assert main.shape == auxiliary.shape == (1, 3, 41, 67)
    (main.square().mean() + auxiliary.square().mean()).backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in net.parameters())


def test_rates_and_dropout_can_be_chosen():
    kwargs = {"rates": [1, 2], "low_channels": 4, "aspp_dropout": 0.5}
    net = SegmentationModel("test_resnet", 3, "deeplabv3plus", 8, kwargs)
    assert dilations(net) == [1, 2]
    assert net.decode_head.low.conv.out_channels == 4 and net.decode_head.aspp.dropout.p == 0.5


def test_a_single_map_is_an_error_of_one_line():
    with pytest.raises(UserError, match="^deeplabv3plus needs two feature maps: choose other out_indices$"):
        DeepLabV3Plus([64], [16])
    with pytest.raises(UserError, match="^deeplabv3plus needs two feature maps"):
        SegmentationModel("test_resnet", 3, "deeplabv3plus", backbone_kwargs={"out_indices": (4,)})
