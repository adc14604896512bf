"""TorchScript and torch.fx take segmentation models whole, or TorchScript says in one line what to use instead."""

import io

import pytest
import torch
import torch.fx
from torch import nn

from fanet.errors import UserError
from fanet.segmentation import Decoder, SegmentationModel, UperNet, register_decoder
from fanet.segmentation.network.decoders import base

DECODERS = ("deeplabv3plus", "linear", "upernet")
BACKBONES = ("test_convnext", "test_fanet", "test_resnet")


def images(height: int = 75, width: int = 90) -> torch.Tensor:
    return torch.randn(2, 3, height, width, generator=torch.Generator().manual_seed(0))


def build(backbone: str, decoder: str, **options) -> SegmentationModel:
    torch.manual_seed(0)
    return SegmentationModel(backbone, 2, decoder, head_channels=8, **options).eval()


@pytest.fixture
def registry(monkeypatch):
    monkeypatch.setattr(base, "_decoders", dict(base._decoders))


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_scripted_model_computes_the_same_bits_at_any_size(backbone, decoder):
    net = build(backbone, decoder)
    scripted = torch.jit.script(net)
    with torch.no_grad():
        for x in (images(), images(64, 128)):
            assert torch.equal(scripted(x), net(x))


def test_a_backbone_with_nhwc_maps_and_padded_images_is_scripted():
    net = build("swin_tiny_patch4_window7_224", "linear", backbone_kwargs={"out_indices": (0, 1)})
    assert net.has_nhwc_maps and net.multiple > 1
    with torch.no_grad():
        assert torch.equal(torch.jit.script(net)(images()), net(images()))


@pytest.mark.parametrize("decoder", DECODERS)
@pytest.mark.parametrize("backbone", ["test_fanet", "test_resnet"])
def test_fx_traces_a_model_that_computes_the_same(backbone, decoder):
    net = build(backbone, decoder)
    traced = torch.fx.symbolic_trace(net)
    with torch.no_grad():
        torch.testing.assert_close(traced(images()), net(images()))


def test_fx_traces_a_model_in_training():
    net = build("test_fanet", "linear", aux_channels=0, dropout=0).train()
    torch.testing.assert_close(torch.fx.symbolic_trace(net)(images())[0], net(images())[0])


@pytest.mark.parametrize("aux_channels", [0, 8])
def test_a_scripted_model_trains(aux_channels):
    net = build("test_fanet", "upernet", aux_channels=aux_channels, dropout=0).train()
    gradients = []
    for model in (net, torch.jit.script(net)):
        net.zero_grad()
        main, auxiliary = model(images())
        assert (auxiliary is None) == (aux_channels == 0)
        (main.square().mean() + (0 if auxiliary is None else auxiliary.square().mean())).backward()
        gradients.append([parameter.grad.clone() for parameter in net.parameters()])
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=1e-3)


def test_a_scripted_model_survives_saving_and_freezing():
    net = UperNet("test_fanet", 2, head_channels=8, aux_channels=8).eval()
    scripted, buffer = torch.jit.script(net), io.BytesIO()
    torch.jit.save(scripted, buffer)
    buffer.seek(0)
    with torch.no_grad():
        assert torch.equal(torch.jit.load(buffer)(images()), net(images()))
        torch.testing.assert_close(torch.jit.freeze(scripted)(images()), net(images()), atol=1e-5, rtol=1e-4)


def test_a_model_inside_another_module_is_scripted_and_stays_itself():
    class Outer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = build("test_fanet", "upernet")

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            logits = self.net(x)
            assert isinstance(logits, torch.Tensor)
            return logits.argmax(1)

    outer = Outer().eval()
    assert torch.equal(torch.jit.script(outer)(images()), outer(images()))
    assert type(outer.net) is SegmentationModel


@pytest.mark.parametrize("out_indices", [(0, 1, 2, 3), (1, 3)])
def test_scripted_maps_are_a_list_to_the_code_around_them(out_indices):
    import timm

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = timm.create_model("test_fanet", features_only=True, out_indices=out_indices)

        def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
            maps = self.body(x)
            return [x] + [feature.relu() for feature in maps]

    encoder = Encoder().eval()
    for a, b in zip(torch.jit.script(encoder)(images()), encoder(images()), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("annotated", [True, False])
def test_a_decoder_of_ones_own_is_scripted_if_it_names_its_type(annotated, registry):
    class Slim(Decoder):
        def __init__(self, channels, reductions, width):
            super().__init__(channels[-1])

    class Annotated(Slim):
        def embed(self, features: list[torch.Tensor]) -> torch.Tensor:
            return features[-1]

    class Plain(Slim):
        def embed(self, features):
            return features[-1]

    register_decoder(Annotated if annotated else Plain, name="slim")
    net = build("test_fanet", "slim")
    if annotated:
        assert torch.equal(torch.jit.script(net)(images()), net(images()))
        return
    with pytest.raises(UserError, match="^TorchScript cannot compile the decoder slim: use torch.jit.trace") as caught:
        torch.jit.script(net)
    assert "\n" not in str(caught.value) and caught.value.__cause__ is not None


def test_a_backbone_that_cannot_be_scripted_is_named_in_one_line():
    net = build("test_vit", "linear")
    with pytest.raises(UserError, match="cannot compile test_vit: .* or torch.export.export") as caught:
        torch.jit.script(net)
    assert "\n" not in str(caught.value)
    x = images(64, 64)
    with torch.no_grad():
        torch.testing.assert_close(torch.export.export(net, (x,)).module()(x), net(x))
