"""Code that is written for any network of timm's works with this one; a ConvNeXt of timm's is the control."""

import copy
import io
import pickle
import warnings

import pytest
import timm
import torch
from functorch.compile import memory_efficient_fusion
from timm.layers import LayerNorm2d, set_layer_config
from timm.utils import reparameterize_model
from torch import Tensor, nn
from torch.func import functional_call, grad, jacfwd, jacrev, jvp, stack_module_state, vmap
from torch.nn.functional import cross_entropy
from torch.utils.flop_counter import FlopCounterMode

import fanet  # noqa: F401  registers the models

NETWORKS = ("test_convnext", "test_fanet")
CLOSE = dict(atol=1e-5, rtol=1e-4)

both = pytest.mark.parametrize("name", NETWORKS)
pytestmark = pytest.mark.filterwarnings("ignore")  # of functorch and TorchScript


def network(name: str, **kwargs) -> nn.Module:
    torch.manual_seed(0)
    return timm.create_model(name, **(dict(num_classes=3) | kwargs)).eval()


def images(*size: int) -> Tensor:
    return torch.randn(*(size or (2, 3, 64, 64)), generator=torch.Generator().manual_seed(0))


def loss_of(model: nn.Module):
    def loss(parameters: dict[str, Tensor], image: Tensor, label: Tensor) -> Tensor:
        return cross_entropy(functional_call(model, parameters, (image[None],)), label[None])

    return loss


@both
@pytest.mark.parametrize("size", [(64, 64), (75, 90)])
def test_gradients_of_each_image_are_those_of_one_image_at_a_time(name, size):
    model, x, labels = network(name), images(2, 3, *size), torch.tensor([0, 1])
    parameters = {name: parameter.detach() for name, parameter in model.named_parameters()}
    together = vmap(grad(loss_of(model)), (None, 0, 0))(parameters, x, labels)
    for i in range(2):
        model.zero_grad()
        cross_entropy(model(x[i : i + 1]), labels[i : i + 1]).backward()
        for name, parameter in model.named_parameters():
            torch.testing.assert_close(together[name][i], parameter.grad, atol=1e-4, rtol=1e-3)


@both
@pytest.mark.parametrize("arguments", [{}, dict(features_only=True)], ids=str)
def test_an_ensemble_computes_what_its_members_do(name, arguments):
    members = [network(name, **arguments) for _ in range(3)]
    for member in members:
        for parameter in member.parameters():
            parameter.data += 0.01 * torch.randn_like(parameter)
    parameters, buffers = stack_module_state(members)
    skeleton = copy.deepcopy(members[0]).to("meta")
    run = vmap(lambda p, b, x: functional_call(skeleton, (p, b), (x,)), in_dims=(0, 0, None))
    together, alone = run(parameters, buffers, images()), [member(images()) for member in members]
    if arguments:
        together, alone = together[-1], [maps[-1] for maps in alone]
    for output, expected in zip(together, alone, strict=True):
        torch.testing.assert_close(output, expected, **CLOSE)


@both
def test_forward_and_reverse_derivatives_agree(name):
    model, x = network(name), images(1, 3, 64, 64)

    def shifted(change: Tensor) -> Tensor:
        return model(x * (1 + change[0]) + change[1])

    forward = jacfwd(shifted)(torch.zeros(2))
    torch.testing.assert_close(forward, jacrev(shifted)(torch.zeros(2)), atol=1e-4, rtol=1e-3)
    along = jvp(shifted, (torch.zeros(2),), (torch.tensor([1.0, 0.0]),))[1]
    torch.testing.assert_close(along, forward[..., 0], atol=1e-4, rtol=1e-3)


@both
def test_reparameterisation_leaves_the_network_as_it_is(name):
    model = network(name)
    torch.testing.assert_close(reparameterize_model(model)(images()), model(images()), **CLOSE)


def test_no_module_or_attribute_has_a_name_that_libraries_call_as_a_method():
    for module in network("test_fanet").modules():
        for name in ("fuse", "reparameterize", "switch_to_deploy", "fuse_model", "merge"):
            assert not hasattr(module, name) or callable(getattr(type(module), name, None))


def test_every_layer_with_parameters_is_of_a_type_that_torch_or_timm_knows():
    owners = {type(module) for module in network("test_fanet").modules() if [*module.parameters(recurse=False)]}
    assert owners == {nn.Conv2d, nn.Linear, LayerNorm2d}


@both
@pytest.mark.parametrize(
    "head",
    [
        nn.Identity(),
        nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LazyLinear(5)),
        nn.Conv2d(64, 2, 1),
    ],
    ids=["identity", "sequential", "convolution"],
)
def test_a_head_of_the_users_own_gets_the_last_map(name, head):
    model = network(name)
    head = nn.Conv2d(model.num_features, 2, 1) if isinstance(head, nn.Conv2d) else copy.deepcopy(head)
    model.head = head
    torch.testing.assert_close(model(images()), head(model.forward_features(images())))
    torch.testing.assert_close(model.forward_head(model.forward_features(images())), model(images()))
    assert model.train()(images()).requires_grad


@both
@pytest.mark.parametrize("own", ["norm", "head", "norm and head", "backbone", "module", "model", "wrapped stem"])
@pytest.mark.parametrize("assign", [False, True])
def test_a_network_with_layers_of_the_users_own_reloads_its_own_state_dict(name, own, assign):
    def build(seed: int) -> nn.Module:
        model = network(name)
        torch.manual_seed(seed)
        if "norm" in own:
            model.norm = nn.BatchNorm2d(model.num_features)
        if "head" in own:
            model.head = nn.Linear(model.num_features, 4)
        if own in ("backbone", "module", "model"):
            setattr(model, own, nn.Conv2d(3, 3, 1))
        if own == "wrapped stem":
            model.stem = nn.Sequential(nn.Conv2d(3, 3, 1), model.stem)
        for parameter in model.parameters():
            parameter.data += torch.randn_like(parameter)
        return model

    source, target = build(1), build(2)
    result = target.load_state_dict(source.state_dict(), assign=assign)
    assert not result.missing_keys and not result.unexpected_keys
    assert all(torch.equal(tensor, target.state_dict()[key]) for key, tensor in source.state_dict().items())


@both
def test_a_norm_of_the_users_own_is_not_taken_for_that_of_the_head(name):
    source, target = network(name), network(name)
    source.norm = nn.LayerNorm(source.num_features)
    nn.init.constant_(source.norm.weight, 7.0)
    tensors = {key: tensor for key, tensor in source.state_dict().items() if not key.startswith("head.")}
    result = target.load_state_dict(tensors, strict=False)
    assert set(result.unexpected_keys) == {"norm.weight", "norm.bias"}
    assert (target.head.norm.weight == 1).all()


@both
@pytest.mark.parametrize("feature_cls", ["list", "dict", "fx", "hook", "getter"])
def test_every_feature_class_of_timm_gives_the_same_maps(name, feature_cls):
    model = network(name)
    expected = model.forward_intermediates(images(), intermediates_only=True)
    body = network(name, features_only=True, feature_cls=feature_cls)
    found = body(images())
    found = list(found.values()) if isinstance(found, dict) else found
    assert len(found) == 4
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b, **CLOSE)
    assert body.feature_info.channels() == [info["num_chs"] for info in model.feature_info]


@both
@pytest.mark.parametrize("feature_cls", ["list", "dict", "getter"])
def test_a_subset_of_maps_trains_with_gradient_checkpointing(name, feature_cls):
    body = network(name, features_only=True, feature_cls=feature_cls, out_indices=(1, 3)).train()
    is_whole = name == "test_fanet" or feature_cls != "getter"  # timm's getter has no checkpointing, and before 1.0.31
    if is_whole:  # keeps parameters that no map needs
        body.set_grad_checkpointing()
    maps = body(images())
    maps = list(maps.values()) if isinstance(maps, dict) else maps
    sum(feature.mean() for feature in maps).backward()
    assert all(parameter.grad is not None for parameter in body.parameters()) or not is_whole


@both
def test_checkpointing_changes_no_gradient_and_skips_no_hook_of_a_block(name):
    """Stochastic depth draws the same again; sharding and adapters rely on the hooks."""
    x, gradients, calls = images(), [], []
    for is_checkpointed in (False, True):
        model = network(name, drop_path_rate=0.5).train()
        model.set_grad_checkpointing(is_checkpointed)
        blocks = [block for stage in model.stages for block in stage.blocks]
        for index, block in enumerate(blocks):
            block.register_forward_pre_hook(lambda *_, index=index: calls.append(index))
        calls.clear()
        torch.manual_seed(1)
        loss = model(x).square().mean()
        assert calls == [*range(len(blocks))]
        loss.backward()
        gradients.append([parameter.grad for parameter in model.parameters()])
    for plain, checkpointed in zip(*gradients, strict=True):
        assert torch.equal(plain, checkpointed)


@both
def test_copies_and_files_of_the_whole_network_compute_the_same(name):
    model, expected = network(name), network(name)(images())
    buffer = io.BytesIO()
    torch.save(model, buffer)
    buffer.seek(0)
    for copied in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), torch.load(buffer, weights_only=False)):
        assert torch.equal(copied(images()), expected)


@both
def test_scripts_traces_exports_and_aot_graphs_compute_the_same(name):
    model, x = network(name), images(1, 3, 75, 90)
    expected = model(x)
    with torch.no_grad():
        for other in (
            torch.jit.script(model),
            torch.jit.freeze(torch.jit.script(model)),
            torch.jit.trace(model, x),
            torch.export.export(model, (x,)).module(),
            memory_efficient_fusion(model),
        ):
            torch.testing.assert_close(other(x), expected, **CLOSE)


def test_an_aot_graph_trains_as_the_network_does():
    model, other = network("test_fanet").train(), network("test_fanet").train()
    memory_efficient_fusion(model)(images()).square().sum().backward()
    other(images()).square().sum().backward()
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, atol=1e-3, rtol=1e-3)


@both
def test_an_aot_graph_of_bfloat16_computes_the_same(name):
    model, x = network(name).bfloat16(), images().bfloat16()
    with torch.no_grad():
        torch.testing.assert_close(memory_efficient_fusion(model)(x), model(x), atol=0.02, rtol=0.02)


@both
def test_layers_exchanged_by_type_are_all_found(name):
    model, expected = network(name), network(name)(images())
    seen = []

    class Mine(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(self)
            return super().forward(x)

    convolutions = [path for path, module in model.named_modules() if type(module) is nn.Conv2d]
    for path in convolutions:
        old = model.get_submodule(path)
        new = Mine(
            old.in_channels,
            old.out_channels,
            old.kernel_size,
            old.stride,
            old.padding,
            old.dilation,
            old.groups,
            old.bias is not None,
        )
        new.load_state_dict(old.state_dict())
        model.set_submodule(path, new)
    torch.testing.assert_close(model(images()), expected)
    assert len(seen) == len(convolutions) and any(conv.in_channels == 3 for conv in seen)


@both
def test_every_multiplication_happens_in_a_module_that_hooks_see(name):
    model, counted = network(name), []

    def count(module: nn.Module, _: tuple, output: Tensor) -> None:
        counted.append(module.weight[0].numel() * output.numel())

    for module in model.modules():
        if type(module) in (nn.Conv2d, nn.Linear):
            module.register_forward_hook(count)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(images())
    assert sum(counted) == counter.get_total_flops() // 2


@both
def test_norms_exchanged_by_type_are_all_found(name):
    model = network(name)
    for path, module in list(model.named_modules()):
        if isinstance(module, LayerNorm2d):
            model.set_submodule(path, nn.GroupNorm(1, module.normalized_shape[0]))
    assert model(images()).isfinite().all()


@both
def test_layer_settings_of_timm_are_followed(name):
    with set_layer_config(scriptable=True, exportable=True):
        model = network(name)
    torch.testing.assert_close(torch.jit.script(model)(images()), network(name)(images()), **CLOSE)


@both
def test_dynamic_quantisation_takes_the_classifier(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantised = torch.ao.quantization.quantize_dynamic(network(name), {nn.Linear}, torch.qint8)
    assert (quantised(images()) - network(name)(images())).abs().max() < 0.05
    quantised.load_state_dict(quantised.state_dict())


@both
def test_weights_survive_the_meta_device(name):
    source = network(name)
    target = network(name, device="meta")
    target.load_state_dict(source.state_dict(), assign=True)
    torch.testing.assert_close(target(images()), source(images()))
