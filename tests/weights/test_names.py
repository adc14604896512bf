"""Names that parameters have had, in files and in state dicts, and layers that a user has put into a network."""

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import fanet  # noqa: F401  registers the models
from fanet.segmentation import UperNet
from fanet.weights import WeightsError
from fanet.weights.files import load_checkpoint
from fanet.weights.names import backbone_state_dict, holds_backbone, is_authors_layout
from fanet.weights.variants import find_variant

PARITY = Path(__file__).parents[1] / "data" / "parity"
AUTHORS = PARITY / "authors_imagenet_micro.pth.tar"


def earlier(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state dict as it was when `afe.proj` was called `afe.fuse`."""
    renamed = {name.replace("afe.proj.", "afe.fuse."): tensor for name, tensor in tensors.items()}
    assert renamed.keys() != tensors.keys()
    return renamed


def classifier() -> nn.Module:
    return timm.create_model("test_fanet", num_classes=10)


def features() -> nn.Module:
    return timm.create_model("test_fanet", features_only=True)


def upernet() -> nn.Module:
    return UperNet("test_fanet", num_classes=5, head_channels=8, aux_channels=8)


def inside_another() -> nn.Module:
    return nn.ModuleDict({"encoder": classifier(), "head": nn.Linear(10, 2)})


def block() -> nn.Module:
    return classifier().stages[0].blocks[0]


@pytest.mark.parametrize("build", [classifier, features, upernet, inside_another, block], ids=lambda f: f.__name__)
@pytest.mark.parametrize("assign", [False, True])
def test_a_state_dict_of_an_earlier_release_loads_strictly(build, assign: bool) -> None:
    source, target = build(), build()
    old = earlier(source.state_dict())
    names = list(old)
    result = target.load_state_dict(old, strict=True, assign=assign)
    assert not result.missing_keys and not result.unexpected_keys and list(old) == names
    assert all(torch.equal(tensor, target.state_dict()[name]) for name, tensor in source.state_dict().items())


@pytest.mark.parametrize("kind", ["file", "checkpoint_path", "local-dir"])
def test_a_file_of_an_earlier_release_loads_as_weights(kind: str, tmp_path: Path) -> None:
    source = classifier()
    if kind == "local-dir":
        timm.models.save_for_hf(source, tmp_path, safe_serialization=True)
    path = tmp_path / "model.safetensors"
    save_file(earlier(source.state_dict()), path)
    if kind == "file":
        overlay = dict(file=str(path), num_classes=10)
        target = timm.create_model("test_fanet", pretrained=True, pretrained_cfg_overlay=overlay, num_classes=10)
    elif kind == "checkpoint_path":
        target = timm.create_model("test_fanet", checkpoint_path=str(path), num_classes=10)
    else:
        target = timm.create_model(f"local-dir:{tmp_path}", pretrained=True)
    assert all(torch.equal(tensor, target.state_dict()[name]) for name, tensor in source.state_dict().items())


def test_an_earlier_name_beside_todays_is_reported_as_unexpected() -> None:
    model = upernet()
    tensors = model.state_dict()
    with pytest.raises(RuntimeError, match=r"afe\.fuse"):
        model.load_state_dict(tensors | earlier(tensors))


def test_translation_is_idempotent() -> None:
    for tensors in (load_checkpoint(AUTHORS), earlier(classifier().state_dict()), earlier(upernet().state_dict())):
        once = backbone_state_dict(tensors)
        assert once.keys() == backbone_state_dict(once).keys() and find_variant(once)[0] == "test_fanet"
        assert not [name for name in once if ".fuse." in name]


def test_the_authors_layout_is_recognised_by_all_names_together() -> None:
    authors = list(load_checkpoint(AUTHORS)["state_dict"])
    assert is_authors_layout(authors)
    assert is_authors_layout([name for name in authors if not name.startswith("downsample_layers.0")])  # a damaged file
    ours = list(classifier().state_dict())
    for own in ([], ["norm.weight"], ["head.weight", "head.bias"], ["downsample_layers.0.weight"], authors):
        assert not is_authors_layout([*ours, *own])
    assert not is_authors_layout(["norm.weight", "head.weight"]) and not is_authors_layout([])


def test_a_layer_called_backbone_does_not_make_a_segmentation_model() -> None:
    ours = list(classifier().state_dict())
    assert not holds_backbone([*ours, "backbone.weight"])
    assert holds_backbone(list(upernet().state_dict()))


@pytest.mark.parametrize("own", [("norm",), ("head",), ("norm", "head")], ids=str)
def test_layers_of_the_users_own_are_left_alone_in_an_earlier_state_dict(own: tuple[str, ...]) -> None:
    def build() -> nn.Module:
        model = classifier()
        for name in own:
            setattr(model, name, nn.Linear(128, 128))
        return model

    source, target = build(), build()
    target.load_state_dict(earlier(source.state_dict()))
    assert all(torch.equal(tensor, target.state_dict()[name]) for name, tensor in source.state_dict().items())


def test_a_file_with_a_head_of_the_users_own_is_refused_for_its_names(tmp_path: Path) -> None:
    model = classifier()
    model.head = nn.Linear(128, 10)
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    overlay = dict(file=str(tmp_path / "model.safetensors"), num_classes=10)
    with pytest.raises(WeightsError, match=r"head\.weight"):
        timm.create_model("test_fanet", pretrained=True, pretrained_cfg_overlay=overlay, num_classes=10)
