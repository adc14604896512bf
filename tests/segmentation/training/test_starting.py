"""Runs that start from a trained model, with a frozen backbone or not, and runs that go on for longer."""

import tempfile

import pytest
import torch
import yaml

from fanet.classes import ClassScheme
from fanet.errors import UserError
from fanet.segmentation import SegmentationModel
from fanet.segmentation.preprocessing import Preprocessing
from fanet.segmentation.training.settings import Settings
from fanet.segmentation.training.starting import start_from
from fanet.segmentation.training.train import train

from .test_labels_of_a_run import data_set
from .tiny_run import state, tiny_recipe

STILL = (
    "optimizer.lr=0",
    "scheduler.warmup_iterations=0",
    "scheduler.min_lr=0",
    "train.ema_decay=0",
    "train.iterations=1",
)

BATCH_NORM = ("running_mean", "running_var", "num_batches_tracked")  # they change without a learning rate


def folder_recipe(root, *overrides):
    data = ("data.dataset=folder", f"data.root={root}", "data.train_kwargs={}", "data.val_kwargs={}")
    return tiny_recipe(*data, *overrides)


def add_class(root):
    description = yaml.safe_load((root / "dataset.yaml").read_text())
    description["classes"].append("cat")
    (root / "dataset.yaml").write_text(yaml.safe_dump(description))


def same(one, other, part):
    return all(
        torch.equal(one[key], other[key]) for key in one if key.startswith(part) and not key.endswith(BATCH_NORM)
    )


@pytest.mark.parametrize("name", ["best", "final", ""])
def test_run_starts_from_the_weights_of_a_model_or_of_a_run(tmp_path, finished, name):
    train(tiny_recipe(*STILL, f"model.init_from={finished[0] / name}"), tmp_path)
    old = SegmentationModel.from_pretrained(finished[0] / (name or "best")).state_dict()
    assert same(old, state(tmp_path)["model"], "")


def test_classifiers_start_anew_if_the_classes_differ(tmp_path, finished, capsys):
    root = data_set(tmp_path / "data", [[0, 1]], [[0, 1]])
    train(folder_recipe(root, *STILL, f"model.init_from={finished[0]}"), tmp_path / "run")
    old = SegmentationModel.from_pretrained(finished[0] / "best").state_dict()
    new = state(tmp_path / "run")["model"]
    assert same({key: value for key, value in old.items() if "conv_seg" not in key}, new, "")
    assert new["decode_head.conv_seg.weight"].shape[0] == 2
    notes = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note: ")]
    assert any("the classifiers start anew" in line and "rigid_plastic" in line for line in notes)


def test_equal_number_of_other_classes_gives_new_classifiers():
    arguments = dict(backbone="test_fanet", head_channels=8, aux_channels=0)
    source = SegmentationModel(num_classes=2, classes=ClassScheme(("a", "b")), **arguments)
    network = SegmentationModel(num_classes=2, classes=ClassScheme(("b", "a")), **arguments)
    before = network.decode_head.conv_seg.weight.clone()
    assert source.preprocessing == network.preprocessing
    lines = start_from_saved(source, network)
    assert torch.equal(network.decode_head.conv_seg.weight, before)
    assert len(lines) == 1 and "other classes (a, b)" in lines[0]


def start_from_saved(source, network):
    with tempfile.TemporaryDirectory() as folder:
        source.save_pretrained(folder)
        return start_from(network, folder)


def test_heads_of_another_width_start_anew_and_the_normalisation_is_taken():
    given = Preprocessing(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25), multiple=32)
    source = SegmentationModel("test_fanet", 2, head_channels=16, preprocessing=given)
    network = SegmentationModel("test_fanet", 2, head_channels=8)
    lines = start_from_saved(source, network)
    assert same(source.state_dict(), network.state_dict(), "backbone.")
    assert len(lines) == 1 and "lacks or has in another shape" in lines[0]
    assert (network.preprocessing.mean, network.preprocessing.multiple) == ((0.5, 0.5, 0.5), 1)


def test_another_backbone_is_refused_and_named(tmp_path):
    with pytest.raises(UserError, match=r"does not fit the backbone test_fanet .*: set model.backbone=fanet_pico"):
        train(tiny_recipe("model.init_from=clutter"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["clutte", "model.onnx", "./nowhere"])
def test_model_that_is_not_there_is_refused_with_the_key(tmp_path, name):
    with pytest.raises(UserError, match=f"^model.init_from: {name}"):
        train(tiny_recipe(f"model.init_from={name}"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("backbone", ["test_fanet", "test_resnet"])
def test_frozen_backbone_stays_as_it_is(tmp_path, backbone):
    model = SegmentationModel(backbone, 5, head_channels=8, aux_channels=8)
    model.save_pretrained(tmp_path / "model")
    options = ["model.freeze_backbone=true", f"model.init_from={tmp_path / 'model'}", "train.iterations=2"]
    train(tiny_recipe(f"model.backbone={backbone}", "model.backbone_kwargs={}", *options), tmp_path / "run")
    before, after = model.state_dict(), state(tmp_path / "run")["model"]
    backbone_keys = [key for key in before if key.startswith("backbone.")]  # statistics of batch norm among them
    assert all(torch.equal(before[key], after[key]) for key in backbone_keys)
    assert not torch.equal(before["decode_head.conv_seg.weight"], after["decode_head.conv_seg.weight"])


def test_frozen_random_backbone_is_refused():
    with pytest.raises(UserError, match="would keep random weights: set model.init_from"):
        Settings.from_recipe(tiny_recipe("model.freeze_backbone=true"))


def test_finished_run_goes_on_for_longer_after_its_start_is_gone(tmp_path, finished):
    SegmentationModel.from_pretrained(finished[0] / "best").save_pretrained(tmp_path / "start")
    options = (f"model.init_from={tmp_path / 'start'}", "train.iterations=2")
    train(tiny_recipe(*options), tmp_path / "run")
    (tmp_path / "start" / "model.safetensors").unlink()
    result = train(tiny_recipe(*options, "train.iterations=5"), tmp_path / "run", resume=True)
    assert result["iteration"] == 5
    with pytest.raises(UserError, match="is at iteration 5: train.iterations must be at least that, not 3"):
        train(tiny_recipe(*options, "train.iterations=3"), tmp_path / "run", resume=True)


def test_resumed_run_ignores_classes_that_the_data_gained(tmp_path, capsys):
    root = data_set(tmp_path / "data", [[0, 1], [0, 1]], [[0, 1]])
    train(folder_recipe(root, "train.iterations=1", "scheduler.warmup_iterations=0"), tmp_path / "run")
    add_class(root)
    (root / "masks" / "train" / "0.png").write_bytes((root / "masks" / "train" / "1.png").read_bytes())
    train(folder_recipe(root, "train.iterations=2", "scheduler.warmup_iterations=0"), tmp_path / "run", resume=True)
    assert "the run has no class cat: its pixels are ignored" in capsys.readouterr().err
    assert SegmentationModel.from_pretrained(tmp_path / "run" / "final").classes.names == ("background", "dog")


def test_resumed_run_refuses_other_classes(tmp_path):
    root = data_set(tmp_path / "data", [[0, 1]], [[0, 1]])
    train(folder_recipe(root, "train.iterations=1", "scheduler.warmup_iterations=0"), tmp_path / "run")
    text = (root / "dataset.yaml").read_text()
    (root / "dataset.yaml").write_text(text.replace("dog", "wolf"))
    with pytest.raises(UserError, match="the run has the classes background, dog, the data set background, wolf"):
        train(folder_recipe(root, "train.iterations=2", "scheduler.warmup_iterations=0"), tmp_path / "run", resume=True)


def test_run_ends_when_patience_does(tmp_path):
    options = (*STILL, "model.decoder=linear", "train.iterations=9", "evaluation.every=1", "train.patience=2")
    assert train(tiny_recipe(*options), tmp_path)["iteration"] == 3  # the first score, and two that are no better
    assert (tmp_path / "final" / "model.safetensors").exists()
    assert train(tiny_recipe(*options, "train.patience=4"), tmp_path, resume=True)["iteration"] == 5
