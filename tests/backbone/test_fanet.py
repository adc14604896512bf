import pytest
import timm
import torch
from fvcore.nn import FlopCountAnalysis
from timm.layers import LayerNorm2d
from torch import nn

import fanet  # noqa: F401  registers the models
from fanet.backbone import FANet
from fanet.backbone.blocks import ToChannelsLast
from fanet.backbone.spelled import spell_out

# (scm, frm) of the six rows of the paper's Table 2
ABLATIONS = ((False, None), (True, None), (False, "high"), (False, "low"), (False, "both"), (True, "both"))
SMALL = dict(depths=(1, 1, 1, 1), dims=(8, 16, 24, 32), drop_path_rate=0.0, num_classes=3)


def count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def test_parameter_count_is_the_papers():
    assert count(timm.create_model("fanet_base", device="meta")) == 36_721_864


def test_gmacs_are_the_papers():
    counter = FlopCountAnalysis(timm.create_model("fanet_base").eval(), torch.zeros(1, 3, 224, 224))
    counts = counter.unsupported_ops_warnings(False).uncalled_modules_warnings(False).by_operator()
    # fvcore also counts layer norm (0.04 G) and bilinear resizing, which multiply and accumulate nothing.
    assert round((counts["conv"] + counts["linear"]) / 1e9, 2) == 5.80


@pytest.mark.parametrize(
    "name, low, high",
    [("fanet_large", 83.6, 92.4), ("fanet_small", 16, 20), ("fanet_nano", 3, 5), ("fanet_pico", 1, 1.5)],
)
def test_variant_keeps_its_size_class(name, low, high):
    assert low <= count(timm.create_model(name, device="meta")) / 1e6 <= high


def test_name_of_the_authors_makes_the_same_network():
    with pytest.warns(UserWarning, match="fanet_tiny"):
        model = timm.create_model("fanet_tiny", device="meta")
    assert {name: p.shape for name, p in model.named_parameters()} == {
        name: p.shape for name, p in timm.create_model("fanet_base", device="meta").named_parameters()
    }


@pytest.mark.parametrize("scm, frm", ABLATIONS)
def test_ablation_has_no_unused_parameter(scm, frm):
    model = FANet(scm=scm, frm=frm, **SMALL)
    model(torch.randn(2, 3, 64, 64)).sum().backward()
    assert not [name for name, parameter in model.named_parameters() if parameter.grad is None]


def test_rows_of_the_ablation_table_differ_in_size_but_for_low_and_high():
    sizes = {(scm, frm): count(FANet(scm=scm, frm=frm, device="meta", **SMALL)) for scm, frm in ABLATIONS}
    assert sizes.pop((False, "low")) == sizes[False, "high"]
    assert len(set(sizes.values())) == len(sizes)


@pytest.mark.parametrize("in_chans", [1, 4, 13])
def test_other_numbers_of_input_channels_run(in_chans):
    model = timm.create_model("test_fanet", in_chans=in_chans, num_classes=7).eval()
    assert model(torch.randn(1, in_chans, 64, 64)).shape == (1, 7)


@pytest.mark.parametrize("output_stride, sizes", [(8, [24, 12, 12, 12]), (16, [24, 12, 6, 6]), (32, [24, 12, 6, 3])])
def test_output_stride_sets_the_size_of_the_maps(output_stride, sizes):
    body = timm.create_model("test_fanet", features_only=True, output_stride=output_stride).eval()
    assert [feature.shape[-1] for feature in body(torch.randn(1, 3, 96, 96))] == sizes


@pytest.mark.parametrize("dims", [(16, 32, 64, 128), (16, 16, 16, 16)])
def test_output_stride_keeps_the_parameters(dims):
    names = [set(FANet(dims=dims, output_stride=stride, device="meta").state_dict()) for stride in (8, 16, 32)]
    assert names[0] == names[1] == names[2]


def test_dilation_keeps_what_a_constant_image_gives():
    # Far from the borders a constant image looks the same at every stride, so the centre pixel must agree.
    plain = timm.create_model("test_fanet", features_only=True).eval()
    dilated = timm.create_model("test_fanet", features_only=True, output_stride=8).eval()
    dilated.load_state_dict(plain.state_dict())
    image = torch.ones(1, 3, 1024, 1024)
    with torch.no_grad():
        a, b = plain(image)[-1], dilated(image)[-1]
    torch.testing.assert_close(a[..., 16, 16], b[..., 64, 64], rtol=1e-4, atol=1e-5)


def test_stochastic_depth_rises_linearly_to_a_tenth():
    model = timm.create_model("fanet_base", device="meta")
    rates = [getattr(block.drop_path1, "drop_prob", 0.0) for stage in model.stages for block in stage.blocks]
    assert rates == pytest.approx([0.1 * i / 13 for i in range(14)])


def test_weights_start_as_published_but_for_the_bias_of_the_stem():
    torch.manual_seed(0)
    model = timm.create_model("fanet_pico")
    weights = torch.cat([m.weight.flatten() for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)])
    assert weights.std().item() == pytest.approx(0.02, rel=0.02)
    biases = {name for name, parameter in model.named_parameters() if name.endswith("bias") and parameter.any()}
    assert biases == {"stem.bias"}
    assert all((m.weight == 1).all() for m in model.modules() if isinstance(m, nn.LayerNorm))


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(dims=(8, 16, 20, 32)), "multiples of 8"),
        (dict(depths=(1, 1, 1)), "one entry a stage"),
        (dict(kernel_sizes=(5, 4, 3, 3)), "odd"),
        (dict(output_stride=4), "8, 16 or 32"),
        (dict(frm="middle"), '"none" or None'),
    ],
)
def test_wrong_argument_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        FANet(**(SMALL | arguments))


def test_unknown_argument_is_refused():
    with pytest.raises(TypeError):
        timm.create_model("test_fanet", window_size=7)


def test_compile_makes_one_graph():
    model = timm.create_model("test_fanet", num_classes=3).eval()
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    image = torch.randn(1, 3, 64, 80)
    torch.testing.assert_close(compiled(image), model(image))


def test_export_computes_the_same_at_another_size():
    model = timm.create_model("test_fanet", num_classes=3).eval()
    sizes = {0: torch.export.Dim("batch"), 2: torch.export.Dim("height", min=65), 3: torch.export.Dim("width", min=65)}
    program = torch.export.export(model, (torch.randn(2, 3, 96, 96),), dynamic_shapes=(sizes,))
    image = torch.randn(1, 3, 128, 160)
    torch.testing.assert_close(program.module()(image), model(image), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_maps_are_not_copied_between_memory_layouts(memory_format):
    model = timm.create_model("test_fanet").eval().to(memory_format=memory_format)
    image = torch.randn(2, 3, 96, 96).contiguous(memory_format=memory_format)
    for feature in model.forward_intermediates(image, intermediates_only=True):
        assert feature.is_contiguous(memory_format=torch.channels_last)


def test_spelled_out_norms_compute_the_same():
    torch.manual_seed(0)
    net = timm.create_model("test_fanet").eval()
    spelled = spell_out(net)
    assert {type(module) for module in net.modules()} - {type(module) for module in spelled.modules()} == {
        LayerNorm2d,
        ToChannelsLast,
    }
    x = torch.randn(2, 3, 64, 96)
    torch.testing.assert_close(spelled(x), net(x), atol=1e-5, rtol=1e-4)
