"""Weights in, weights out: every layout into every entrance, conversion, and the way over the Hub and back."""

import json
import pickle
from copy import deepcopy
from pathlib import Path

import pytest
import timm
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

import fanet  # noqa: F401  registers the models
from fanet.backbone.fanet import checkpoint_filter_fn
from fanet.classes import ZEROWASTE
from fanet.cli import main
from fanet.errors import UserError
from fanet.publishing import backbone_card
from fanet.segmentation import Preprocessing, UperNet
from fanet.weights import WeightsError, convert
from fanet.weights.loading import load_checkpoint
from fanet.weights.names import backbone_state_dict
from fanet.weights.variants import find_variant

from .conftest import PARITY, use
from .hub_stand_in import Fault, Hub

AUTHORS = PARITY / "authors_imagenet_micro.pth.tar"
AUTHORS_DDP = PARITY / "authors_imagenet_micro_ddp.pth"
MMSEG = PARITY / "authors_zerowaste_micro.pth"


@pytest.fixture(scope="module")
def layouts(tmp_path_factory: pytest.TempPathFactory, converted: dict[str, Path]) -> dict[str, Path]:
    """The same backbone in every layout there is."""
    folder = tmp_path_factory.mktemp("layouts")
    state_dict = load_checkpoint(AUTHORS)["state_dict"]
    noise = {name: torch.randn_like(tensor) for name, tensor in state_dict.items()}
    torch.save({"state_dict": noise, "state_dict_ema": state_dict}, folder / "ema.pth.tar")
    torch.save({f"_orig_mod.module.{name}": tensor for name, tensor in state_dict.items()}, folder / "compiled.pth")
    return {
        "authors": AUTHORS,
        "data parallel": AUTHORS_DDP,
        "EMA": folder / "ema.pth.tar",
        "compiled": folder / "compiled.pth",
        "ours": converted["backbone"] / "model.safetensors",
    }


LAYOUTS = ("authors", "data parallel", "EMA", "compiled", "ours")


@pytest.fixture(scope="module")
def expected() -> dict[str, torch.Tensor]:
    return backbone_state_dict(load_checkpoint(AUTHORS))


def assert_same(model: torch.nn.Module, expected: dict[str, torch.Tensor], but: tuple[str, ...] = ()) -> None:
    tensors = model.state_dict()
    assert tensors.keys() == expected.keys()
    assert [name for name in tensors if not torch.equal(tensors[name], expected[name]) and name not in but] == []


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_entrance_takes_every_layout(
    layouts: dict[str, Path], expected: dict, converted: dict[str, Path], repos: Hub, tmp_path: Path, layout: str
) -> None:
    path = layouts[layout]
    overlay = dict(file=str(path), num_classes=10)
    assert_same(timm.create_model("test_fanet", pretrained=True, pretrained_cfg_overlay=overlay), expected)
    assert_same(timm.create_model("test_fanet", num_classes=10, checkpoint_path=str(path)), expected)
    for folder in (tmp_path / "local", repos.root / "me" / "new"):
        folder.mkdir()
        (folder / path.name).write_bytes(path.read_bytes())
        (folder / "config.json").write_bytes((converted["backbone"] / "config.json").read_bytes())
    assert_same(timm.create_model(f"local-dir:{tmp_path / 'local'}", pretrained=True), expected)
    assert_same(timm.create_model("hf-hub:me/new", pretrained=True, cache_dir=tmp_path / "cache"), expected)


@pytest.mark.parametrize("where", ["file", "checkpoint_path", "local-dir", "hf-hub"])
def test_backbone_of_a_segmentation_model_is_found(
    where: str, converted: dict[str, Path], repos: Hub, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    expected = backbone_state_dict(load_checkpoint(MMSEG))
    for folder in (tmp_path / "local", repos.root / "me" / "new"):
        folder.mkdir()
        (folder / MMSEG.name).write_bytes(MMSEG.read_bytes())
        (folder / "config.json").write_bytes((converted["backbone"] / "config.json").read_bytes())
    name, arguments = {
        "file": ("test_fanet", dict(pretrained=True, pretrained_cfg_overlay=dict(file=str(MMSEG)))),
        "checkpoint_path": ("test_fanet", dict(checkpoint_path=str(MMSEG))),
        "local-dir": (f"local-dir:{tmp_path / 'local'}", dict(pretrained=True)),
        "hf-hub": ("hf-hub:me/new", dict(pretrained=True, cache_dir=tmp_path / "cache")),
    }[where]
    model = timm.create_model(name, **arguments)
    assert all(torch.equal(model.state_dict()[key], tensor) for key, tensor in expected.items())
    assert "no classification head" in caplog.text


def test_head_and_channels_are_adapted(expected: dict) -> None:
    overlay = dict(file=str(AUTHORS), num_classes=10)
    model = timm.create_model(
        "test_fanet", pretrained=True, pretrained_cfg_overlay=overlay, num_classes=3, in_chans=1, drop_rate=0.1
    )
    assert model.head.fc.weight.shape == (3, 128)
    assert torch.allclose(model.stem.weight, expected["stem.weight"].sum(1, keepdim=True))
    body = timm.create_model("test_fanet", pretrained=True, features_only=True, pretrained_cfg_overlay=overlay)
    assert torch.equal(body.model.stem.weight, expected["stem.weight"])
    assert body.pretrained_cfg["file"] == str(AUTHORS) and not body.pretrained_cfg.get("state_dict")
    without = timm.create_model("test_fanet", pretrained=True, num_classes=0, pretrained_cfg_overlay=overlay)
    assert torch.equal(without.head.norm.weight, expected["head.norm.weight"])


def test_model_shows_the_configuration_that_timm_gives_it(converted: dict[str, Path]) -> None:
    model = timm.create_model(f"local-dir:{converted['backbone']}", pretrained=True)
    plain = timm.create_model(f"local-dir:{converted['backbone']}")
    assert model.pretrained_cfg == plain.pretrained_cfg and model.default_cfg is model.pretrained_cfg


def test_given_state_dict_is_loaded(expected: dict) -> None:
    overlay = dict(state_dict=load_checkpoint(AUTHORS), num_classes=10)
    assert_same(timm.create_model("test_fanet", pretrained=True, pretrained_cfg_overlay=overlay), expected)


def test_file_of_an_address_is_downloaded_once(repos: Hub, tmp_path: Path, expected: dict) -> None:
    url = f"{repos.url}/me/authors/resolve/main/model_best.pth.tar"
    for _ in range(2):
        overlay = dict(url=url, num_classes=10)
        model = timm.create_model(
            "test_fanet", pretrained=True, pretrained_cfg_overlay=overlay, cache_dir=tmp_path / "cache"
        )
        assert_same(model, expected)
    assert len(repos.requests) == 1


def test_filter_is_idempotent(expected: dict) -> None:
    model = timm.create_model("test_fanet", num_classes=10)
    once = checkpoint_filter_fn(load_checkpoint(AUTHORS), model)
    twice = checkpoint_filter_fn(once, model)
    assert once.keys() == twice.keys() == expected.keys()
    assert all(once[name] is twice[name] for name in once)


def test_load_state_dict_does_what_modules_do(expected: dict) -> None:
    model = timm.create_model("test_fanet", num_classes=10).eval()
    for copied in (deepcopy(model), pickle.loads(pickle.dumps(model))):
        copied.load_state_dict(load_checkpoint(AUTHORS))
        assert_same(copied, expected)
    with pytest.raises(RuntimeError, match="Missing key"):
        model.load_state_dict({"stem.weight": expected["stem.weight"]})
    assert model.load_state_dict({"other": torch.ones(1)}, strict=False).unexpected_keys == ["other"]
    scripted = torch.jit.script(model)
    scripted.load_state_dict(expected)
    assert_same(scripted, expected)


def test_choice_among_files_is_remembered(repos: Hub, cache: Path, expected: dict) -> None:
    overlay = dict(hf_hub_id="me/authors", num_classes=10)
    arguments = dict(pretrained=True, pretrained_cfg_overlay=overlay, cache_dir=cache)
    torch.save({"conv.weight": torch.ones(1)}, repos.root / "me" / "authors" / "best_head.pth")  # asked first: smaller
    assert_same(timm.create_model("test_fanet", **arguments), expected)
    downloads = [path for method, path in repos.requests if method == "GET" and "resolve" in path]
    assert [path.rsplit("/")[-1] for path in downloads] == ["best_head.pth", "model_best.pth.tar"]
    for path in cache.rglob("*/best_head.pth"):
        path.unlink()
    repos.requests.clear()
    assert_same(timm.create_model("test_fanet", **arguments), expected)
    assert repos.requests == [("GET", "/api/models/me/authors/revision/main")]
    save_file(expected, repos.root / "me" / "authors" / "any_name.safetensors")  # a new commit: safetensors come first
    repos.requests.clear()
    assert_same(timm.create_model("test_fanet", **arguments), expected)
    assert [path for method, path in repos.requests if method == "GET"][-1].endswith("any_name.safetensors")


def test_warm_cache_replaces_the_network(
    repos: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch, expected: dict
) -> None:
    overlay = dict(hf_hub_id="me/authors", num_classes=10)

    def load_all() -> None:
        arguments = dict(pretrained=True, pretrained_cfg_overlay=overlay, cache_dir=cache)
        assert_same(timm.create_model("test_fanet", **arguments), expected)
        assert_same(timm.create_model("hf-hub:me/backbone", pretrained=True, cache_dir=cache), expected)
        UperNet.from_pretrained("me/segmentation", cache_dir=cache)
        UperNet.from_pretrained("me/authors", cache_dir=cache)

    load_all()
    repos.stop()
    load_all()  # nobody answers
    use("http://127.0.0.1:9", monkeypatch)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    load_all()


def test_segmentation_model_reloads_without_fetching_its_backbone(repos: Hub, cache: Path, tmp_path: Path) -> None:
    net = UperNet("test_fanet", 5, head_channels=8, aux_channels=0, backbone_weights=AUTHORS)
    net.save_pretrained(tmp_path / "model")
    assert "pretrained" not in (tmp_path / "model" / "config.json").read_text()
    UperNet.from_pretrained(tmp_path / "model")
    assert not repos.requests
    UperNet.from_pretrained("me/segmentation", cache_dir=cache)
    assert all("me/segmentation" in path for _, path in repos.requests)


def test_segmentation_checkpoint_is_described(converted: dict[str, Path], tmp_path: Path) -> None:
    net = UperNet.from_pretrained(MMSEG)
    assert net.config["backbone"] == "test_fanet" and net.config["backbone_kwargs"] == {}
    assert net.config["head_channels"] == net.config["aux_channels"] == 32
    assert net.classes == ZEROWASTE and net.preprocessing == Preprocessing(fit=(2048, 512), multiple=32)
    assert not net.training
    checkpoint = load_checkpoint(MMSEG)
    names, palette = ["a", "b", "c", "d", "e"], [[i, i, i] for i in range(5)]
    for meta in ({"CLASSES": names, "PALETTE": palette}, {"dataset_meta": {"classes": names, "palette": palette}}):
        torch.save({**checkpoint, "meta": meta}, tmp_path / "iter.pth")
        classes = UperNet.from_pretrained(tmp_path / "iter.pth").classes
        assert list(classes.names) == names and classes.palette[4] == (4, 4, 4)
    for meta in (None, {"CLASSES": ["a"]}, {"CLASSES": names, "PALETTE": "random"}, {"CLASSES": ["a"] * 5}):
        torch.save({**checkpoint, "meta": meta}, tmp_path / "iter.pth")
        assert len(UperNet.from_pretrained(tmp_path / "iter.pth").classes) == 5
    no_auxiliary = {k: v for k, v in checkpoint["state_dict"].items() if not k.startswith("auxiliary_head")}
    torch.save(no_auxiliary, tmp_path / "raw.pth")
    assert UperNet.from_pretrained(tmp_path / "raw.pth").auxiliary_head is None
    torch.save({"model": net.state_dict(), "ema": net.state_dict()}, tmp_path / "checkpoint.pt")
    assert UperNet.from_pretrained(tmp_path / "checkpoint.pt").preprocessing.fit is None
    (tmp_path / "folder").mkdir()
    (tmp_path / "checkpoint.pt").rename(tmp_path / "folder" / "checkpoint.pt")
    UperNet.from_pretrained(tmp_path / "folder")
    UperNet.from_pretrained(converted["segmentation"] / "model.safetensors")
    with pytest.raises(UserError, match="holds a backbone"):
        UperNet.from_pretrained(AUTHORS)
    with pytest.raises(UserError, match="holds a backbone"):
        UperNet.from_pretrained(converted["backbone"])


@pytest.mark.parametrize("name", ["nowhere/at/all", "model.pth", "runs/best.pth", "/nowhere", "a b"])
def test_missing_path_is_refused_without_a_request(name: str, hub: Hub) -> None:
    with pytest.raises(UserError, match="no such folder or file.*Hub id"):
        UperNet.from_pretrained(name)
    assert not hub.requests


@pytest.mark.parametrize(
    "arguments",
    [
        dict(),
        dict(dims=(24, 48, 96, 192), kernel_sizes=(3, 3, 5, 5)),
        dict(mlp_ratio=2.0),
        dict(scm=False),
        dict(frm="none"),
        dict(frm="low"),
        dict(scm=False, frm="high", in_chans=4),
    ],
)
def test_sizes_follow_from_the_tensors(arguments: dict) -> None:
    tensors = timm.create_model("test_fanet", device="meta", **arguments).state_dict()
    name, found = find_variant(tensors)
    rebuilt = timm.create_model(name, device="meta", **found).state_dict()
    assert {k: v.shape for k, v in rebuilt.items()} == {k: v.shape for k, v in tensors.items()}
    assert (name == "test_fanet") == (not arguments)


def test_other_tensors_are_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="not those of a FANet"):
        find_variant({"conv1.weight": torch.ones(1)})
    save_file({"conv1.weight": torch.ones(1)}, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match="not those of a FANet"):
        convert(tmp_path / "model.safetensors", tmp_path / "target")
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize("source", [AUTHORS, AUTHORS_DDP])
def test_conversion_keeps_every_name_and_bit(source: Path, tmp_path: Path, expected: dict) -> None:
    report = convert(source, tmp_path / "new" / "target")
    assert sorted(path.name for path in (tmp_path / "new" / "target").iterdir()) == ["config.json", "model.safetensors"]
    assert report.kind == "backbone" and report.model == "test_fanet" and report.output == (1, 10)
    assert {row.new: row.shape for row in report.rows} == {name: tuple(t.shape) for name, t in expected.items()}
    assert {row.old for row in report.rows} == set(load_checkpoint(source).get("state_dict", load_checkpoint(source)))
    tensors = load_file(tmp_path / "new" / "target" / "model.safetensors")
    assert all(torch.equal(tensors[name], tensor) for name, tensor in expected.items())
    table = str(report).splitlines()
    assert len(table) == len(expected) + 1 and "192 tensors" in table[-1]
    assert not [path for path in (tmp_path / "new").iterdir() if path.name.startswith(".")]


def test_segmentation_model_with_another_backbone_is_converted(tmp_path: Path) -> None:
    UperNet("resnet10t", 3, head_channels=8, aux_channels=0).save_pretrained(tmp_path / "model")
    report = convert(tmp_path / "model", tmp_path / "target")
    assert report.model == "resnet10t" and all(row.old == row.new for row in report.rows)
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in ("model", "target"))
    assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_conversion_overwrites_nothing_and_leaves_no_half_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / "mine").touch()
    assert main(["convert", str(AUTHORS), str(target)]) == 2
    assert "is not empty" in capsys.readouterr().err
    assert main(["convert", str(AUTHORS), str(target / "mine")]) == 2
    (target / "mine").unlink()
    with monkeypatch.context() as broken, pytest.raises(OSError, match="disk full"):

        def full(*_: object, **__: object) -> None:
            raise OSError("disk full")

        broken.setattr("fanet.conversion.save_for_hf", full)
        convert(AUTHORS, target)
    assert [path.name for path in tmp_path.iterdir()] == ["target"] and not any(target.iterdir())
    assert main(["convert", str(AUTHORS), str(target)]) == 0
    assert "backbone, test_fanet: 192 tensors" in capsys.readouterr().out
    broken_weights = load_file(target / "model.safetensors")
    broken_weights["stem.bias"][0] = float("nan")
    save_file(broken_weights, tmp_path / "nan.safetensors")
    with pytest.raises(WeightsError, match="not finite"):
        convert(tmp_path / "nan.safetensors", tmp_path / "other")


@pytest.mark.parametrize("source", [AUTHORS, MMSEG])
def test_way_over_the_hub_and_back_keeps_every_bit(hub: Hub, source: Path, tmp_path: Path, cache: Path) -> None:
    first, second, third = (tmp_path / name for name in ("first", "second", "third"))
    convert(source, first)
    if source is AUTHORS:
        model = timm.create_model(f"local-dir:{first}", pretrained=True)
        card = backbone_card("ImageNet-1k", "apache-2.0")
        timm.models.push_to_hf_hub(model, "me/model", safe_serialization=True, model_card=card)
        pulled = timm.create_model("hf-hub:me/model", pretrained=True, cache_dir=cache)
        timm.models.save_for_hf(pulled, second, safe_serialization=True)
    else:
        UperNet.from_pretrained(first).push_to_hub("me/model")
        UperNet.from_pretrained("me/model", cache_dir=cache).save_pretrained(second)
    convert(second, third)
    files = hub.files("me/model") or {}
    assert sorted(files) == ["README.md", "config.json", "model.safetensors"]
    assert b"library_name: fanet" in files["README.md"]
    tensors = [load_file(folder / "model.safetensors") for folder in (first, second, third)]
    assert tensors[0].keys() == tensors[1].keys() == tensors[2].keys()
    for name, tensor in tensors[0].items():
        assert torch.equal(tensor, tensors[1][name]) and torch.equal(tensor, tensors[2][name])


def test_repository_is_converted(repos: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    assert convert("me/backbone", tmp_path / "a").model == "test_fanet"
    assert convert("me/segmentation", tmp_path / "b").kind == "segmentation model"
    with pytest.raises(WeightsError, match="me/nothing: there is no such repository"):
        convert("me/nothing", tmp_path / "c")


def test_card_names_results_and_licence(hub: Hub, converted: dict[str, Path], tmp_path: Path) -> None:
    metrics = {
        "miou": 54.321,
        "pixel_accuracy": 91.4,
        "iou": {"metal": 30.0, "cardboard": None},
        "confusion_matrix": [],
    }
    (tmp_path / "metrics.json").write_text(json.dumps(metrics))
    net = UperNet.from_pretrained(converted["segmentation"])
    url = net.push_to_hub(
        "me/model", metrics=tmp_path, dataset="ZeroWaste-f", license="cc-by-nc-4.0", commit_message="First"
    )
    assert url.startswith(f"{hub.url}/me/model")
    card = (hub.root / "me" / "model" / "README.md").read_text(encoding="utf-8")
    for part in (
        "library_name: fanet",
        "pipeline_tag: image-segmentation",
        "license: cc-by-nc-4.0",
        "value: 54.32",
        "| mIoU | 54.32 |",
        "| IoU metal | 30.00 |",
        "On ZeroWaste-f, in %",
        'UperNet.from_pretrained("me/model")',
        "Licence of the weights: cc-by-nc-4.0",
    ):
        assert part in card, card
    (hub.root / "me" / "model" / "README.md").write_text("by hand")
    net.push_to_hub("me/model")
    assert (hub.root / "me" / "model" / "README.md").read_text() == "by hand"
    with pytest.raises(UserError, match="cannot read the metrics"):
        net.push_to_hub("me/model", metrics=tmp_path / "gone.json")


@pytest.mark.parametrize(
    "status, code, says", [(403, "", "refused"), (401, "", "log in"), (500, "", "status 500"), (409, "", "status 409")]
)
def test_failed_push_is_one_line(hub: Hub, converted: dict[str, Path], status: int, code: str, says: str) -> None:
    net = UperNet.from_pretrained(converted["segmentation"])
    hub.faults = [Fault("/commit/|/preupload/", status=status, code=code)]
    with pytest.raises(WeightsError, match=f"cannot push to the Hub repository me/model: .*{says}"):
        net.push_to_hub("me/model")
    hub.faults = []
    net.push_to_hub("me/model")


def test_models_without_weights_claim_none() -> None:
    assert timm.list_pretrained("fanet*") == ["fanet_base.in1k", "fanet_pico.tiny_imagenet"]
    assert timm.list_pretrained("test_fanet*") == []
