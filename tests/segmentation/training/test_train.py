import csv
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
import timm
import torch
import yaml

from fanet.classes import ZEROWASTE
from fanet.errors import UserError
from fanet.segmentation import UperNet
from fanet.segmentation.data import ClutterScenes
from fanet.segmentation.data.clutter import write_clutter
from fanet.segmentation.data.stream import MicroBatches
from fanet.segmentation.evaluation.evaluate import image_counts
from fanet.segmentation.evaluation.metrics import ConfusionMatrix
from fanet.segmentation.training import train as train_module
from fanet.segmentation.training.losses import SegmentationLoss
from fanet.segmentation.training.run_folder import RunFolder
from fanet.segmentation.training.train import train

from ...platforms import posix
from .tiny_run import TINY, assert_same_weights, state, tiny_recipe


@pytest.fixture
def one_thread():
    """One thread, as in processes with OMP_NUM_THREADS=1: sums by other numbers of threads round differently."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def read_log(folder):
    return list(csv.DictReader((folder / "log.csv").read_text().splitlines()))


def test_run_writes_all_its_files(finished):
    folder, result = finished
    contents = {"best", "environment.json", "final", "last.pt", "log.csv", "recipe.yaml", "report.html"}
    contents.add("tensorboard")
    assert {path.name for path in folder.iterdir()} == contents
    assert yaml.safe_load((folder / "recipe.yaml").read_text()) == tiny_recipe()
    assert json.loads((folder / "environment.json").read_text())["packages"]["torch"] == torch.__version__.split("+")[0]
    rows = read_log(folder)
    assert [row["iteration"] for row in rows] == ["4", "6"], "the last iteration is evaluated too"
    assert result["iteration"] == 6
    assert result["miou"] == pytest.approx(float(rows[-1]["miou"]))
    assert result["best_miou"] == pytest.approx(max(float(row["miou"]) for row in rows))


def test_final_model_is_the_evaluated_average_of_the_weights(finished):
    folder, result = finished
    model = UperNet.from_pretrained(folder / "final")
    averaged = state(folder)["ema"]
    assert all(torch.equal(value, averaged[name]) for name, value in model.state_dict().items())
    counts = image_counts(model.predictor(), ClutterScenes("val", count=2, size=40))
    scores = ConfusionMatrix.of(counts.matrix).to_dict(ZEROWASTE.names)
    assert scores["miou"] == pytest.approx(result["miou"], abs=1e-9)


def test_average_of_the_weights_differs_from_the_last_weights(finished):
    final = UperNet.from_pretrained(finished[0] / "final").train()
    last = state(finished[0])
    name = "decode_head.conv_seg.weight"
    assert not torch.equal(last["model"][name], last["ema"][name])
    assert torch.equal(final.state_dict()[name], last["ema"][name])


@pytest.mark.parametrize("iteration", [4, 5])
def test_run_resumed_after_a_crash_is_bit_identical_to_an_uninterrupted_one(tmp_path, finished, at_step, iteration):
    def crash():
        raise RuntimeError("power cut")

    at_step(iteration, crash)
    with pytest.raises(RuntimeError, match="power cut"):
        train(tiny_recipe(), tmp_path)
    result = train(tiny_recipe(), tmp_path, resume=True)
    assert_same_weights(state(tmp_path), state(finished[0]))
    assert result["miou"] == finished[1]["miou"]
    loss = [[row["loss"] for row in read_log(folder)] for folder in (tmp_path, finished[0])]
    assert loss[0] == loss[1]


def test_a_checkpoint_is_saved_after_a_while_however_far_the_next_evaluation_is(tmp_path, monkeypatch):
    saved = []
    save = RunFolder.save_checkpoint

    def spy(folder, checkpoint):
        saved.append(checkpoint["progress"]["iteration"])
        save(folder, checkpoint)

    monkeypatch.setattr(RunFolder, "save_checkpoint", spy)
    options = ["train.iterations=5", "evaluation.every=5"]
    train(tiny_recipe(*options), tmp_path / "rare")
    assert saved == [0, 5, 5], "at the start, and before and after the evaluation"
    saved.clear()
    monkeypatch.setattr(train_module, "SAVE_EVERY", 0.0)
    train(tiny_recipe(*options), tmp_path / "often")
    assert saved == [0, 1, 2, 3, 4, 5, 5, 5]
    assert_same_weights(state(tmp_path / "rare"), state(tmp_path / "often"))


@posix
def test_run_killed_at_random_moments_is_bit_identical_to_an_uninterrupted_one(tmp_path, one_thread):
    options = ["train.iterations=100", "evaluation.every=9"]
    arguments = ["train", "clutter", *TINY, *options, "--resume", "-o", str(tmp_path / "killed")]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    checkpoint, moments = tmp_path / "killed" / "last.pt", random.Random(0)
    for _ in range(5):
        before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        process = subprocess.Popen([sys.executable, "-m", "fanet", *arguments], env=environment, stderr=subprocess.PIPE)
        while process.poll() is None and (not checkpoint.exists() or checkpoint.stat().st_mtime_ns == before):
            time.sleep(0.01)
        written, end = checkpoint.stat().st_mtime_ns, time.monotonic() + moments.uniform(0, 0.3)
        while time.monotonic() < end and checkpoint.stat().st_mtime_ns == written:  # at most one checkpoint further
            time.sleep(0.001)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL, "the run was over before it could be killed"
    subprocess.run([sys.executable, "-m", "fanet", *arguments], env=environment, check=True, capture_output=True)
    train(tiny_recipe(*options), tmp_path / "whole")
    assert_same_weights(state(tmp_path / "killed"), state(tmp_path / "whole"))


@posix
def test_interrupt_finishes_the_step_and_the_run_can_be_resumed(tmp_path, finished, at_step):
    handler = signal.getsignal(signal.SIGINT)
    at_step(2, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt, match="--resume"):
        train(tiny_recipe(), tmp_path)
    assert signal.getsignal(signal.SIGINT) is handler
    kept = state(tmp_path)["progress"]["iteration"]
    assert kept in (3, 4), "the interrupted step is finished"
    train(tiny_recipe(), tmp_path, resume=True)
    assert_same_weights(state(tmp_path), state(finished[0]))


@posix
def test_interrupt_of_the_whole_process_group_loses_no_step(tmp_path):
    options = ["data.workers=1", "train.iterations=100000", "evaluation.every=100000"]
    arguments = [sys.executable, "-m", "fanet", "train", "clutter", *TINY, *options, "-o", str(tmp_path / "run")]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(arguments, env=environment, stderr=subprocess.PIPE, start_new_session=True)
    assert process.stderr is not None
    shown = b""
    try:
        while not re.search(rb" ([5-9]|\d\d+)/100000 ", shown):  # the progress bar skips fast steps
            part = process.stderr.read1()
            assert part, f"the run ended by itself: {shown.decode()}"
            shown += part
        os.killpg(process.pid, signal.SIGINT)
        errors = process.communicate(timeout=60)[1].decode()
    finally:
        process.kill()
        process.communicate()
    assert "--resume goes on from there" in errors and "Traceback" not in errors
    assert state(tmp_path / "run")["progress"]["iteration"] >= 5


@pytest.mark.parametrize("workers", [0, 1])
def test_unreadable_sample_ends_the_run_in_one_line(tmp_path, workers):
    root = tmp_path / "scenes"
    for split in ("train", "val"):
        write_clutter(root, 2, 0, 40, split=split)
    for image in root.glob("**/train/data/*"):
        image.write_bytes(image.read_bytes()[:500])
    options = ("data.train_kwargs={}", "data.val_kwargs={}", f"data.workers={workers}", "data.in_memory=false")
    with pytest.raises(UserError, match=r"^\S+/train/data/\S+\.PNG is truncated or damaged .*$"):
        train(tiny_recipe(f"data.root={root}", *options), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_broken_validation_sample_keeps_the_steps_before_it(tmp_path, finished, monkeypatch):
    load = ClutterScenes.load

    def broken(dataset, index):
        if len(dataset) == 2:  # the validation split
            raise UserError("scene.PNG is cut off")
        return load(dataset, index)

    monkeypatch.setattr(ClutterScenes, "load", broken)
    with pytest.raises(UserError, match="^scene.PNG is cut off$"):
        train(tiny_recipe("data.in_memory=false"), tmp_path)
    assert state(tmp_path)["progress"]["iteration"] == 4
    monkeypatch.undo()
    train(tiny_recipe("data.in_memory=false"), tmp_path, resume=True)
    assert_same_weights(state(tmp_path), state(finished[0]))
    assert len(state(tmp_path)["progress"]["history"]) == len(state(finished[0])["progress"]["history"])


def test_validation_that_gives_no_score_ends_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setattr(ConfusionMatrix, "to_dict", lambda *args: {"miou": None, "pixel_accuracy": None, "iou": {}})
    for resume in (False, True):
        with pytest.raises(UserError, match=r"fewer than two classes are labelled.*data\.val_split"):
            train(tiny_recipe(), tmp_path, resume)
    assert state(tmp_path)["progress"]["iteration"] == 4


def test_finished_run_can_be_resumed_and_stays_the_same(finished):
    before = state(finished[0])
    result = train(tiny_recipe(), finished[0], resume=True)
    assert result["miou"] == finished[1]["miou"]
    assert_same_weights(state(finished[0]), before)


def test_other_seed_gives_other_weights(tmp_path, finished):
    train(tiny_recipe("train.seed=1", "train.iterations=2"), tmp_path)
    name = "decode_head.conv_seg.weight"
    assert not torch.equal(state(tmp_path)["model"][name], state(finished[0])["model"][name])


def test_non_finite_loss_stops_the_run_and_names_the_checkpoint(tmp_path):
    recipe = tiny_recipe("optimizer.lr=1e30", "train.clip_grad=0", "evaluation.every=1", "train.iterations=20")
    with pytest.raises(
        UserError,
        match=r"in iteration \d+: start again with a lower optimizer.lr; the last good checkpoint is .*last.pt",
    ):
        train(recipe, tmp_path)
    assert state(tmp_path)["progress"]["iteration"] >= 1


def test_non_finite_loss_in_the_first_step_names_the_initial_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(SegmentationLoss, "__call__", lambda self, main, *args: main.sum() * float("nan"))
    with pytest.raises(UserError, match="the loss became nan in iteration 0.*last.pt, after iteration 0"):
        train(tiny_recipe(), tmp_path)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.backbone=fanet_pink", "fanet_pink"),
        ("model.backbone_kwargs.colour=pink", "colour"),
        ("model.backbone_kwargs.frm=foo", "model.backbone_kwargs do not fit test_fanet"),
        ("model.backbone_kwargs.depths=[1, 1]", "model.backbone_kwargs do not fit test_fanet"),
        ("model.backbone=hiera_tiny_224", "hiera_tiny_224 takes no images of this size"),
        ("data.train_kwargs.count=abc", "data.train_kwargs do not fit clutter"),
        ("optimizer.name=adamm", "no optimizer 'adamm'"),
        ("optimizer.name=adahessian", "adahessian needs second derivatives"),
        ("optimizer.name=fusedadam", "the optimizer's settings do not fit fusedadam"),
    ],
)
def test_mistake_in_the_recipe_leaves_the_folder_free_for_another_attempt(tmp_path, override, message):
    with pytest.raises(UserError, match=message):
        train(tiny_recipe(override), tmp_path)
    assert not list(tmp_path.iterdir())


def test_validation_size_is_checked_before_the_first_step(tmp_path):
    sizes = ("augmentation.crop=[224,224]", "data.train_kwargs.size=[224,224]", "data.val_kwargs.size=[256,256]")
    with pytest.raises(UserError, match="hiera_tiny_224 takes no images of this size"):
        train(tiny_recipe("model.backbone=hiera_tiny_224", "model.backbone_kwargs={}", *sizes), tmp_path)
    assert not list(tmp_path.iterdir())


def test_initial_weights_are_not_needed_to_resume_a_run(tmp_path, at_step):
    weights = tmp_path / "backbone.pth"
    torch.save(timm.create_model("test_fanet").state_dict(), weights)
    recipe = tiny_recipe(f"model.backbone_weights={weights}")

    def crash():
        raise RuntimeError("power cut")

    train(recipe, tmp_path / "whole")
    at_step(5, crash)
    with pytest.raises(RuntimeError, match="power cut"):
        train(recipe, tmp_path / "run")
    weights.unlink()
    train(recipe, tmp_path / "run", resume=True)
    assert_same_weights(state(tmp_path / "run"), state(tmp_path / "whole"))


@posix
def test_run_resumes_with_more_workers(tmp_path, finished, at_step):
    at_step(2, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        train(tiny_recipe(), tmp_path)
    train(tiny_recipe("data.workers=1", "data.in_memory=false"), tmp_path, resume=True)
    assert_same_weights(state(tmp_path), state(finished[0]))


@pytest.mark.parametrize(
    "options",
    [
        ("train.amp=bf16",),
        ("train.channels_last=false", "model.aux_channels=0", "train.clip_grad=0", "train.ema_decay=0"),
        ("loss.class_weights=[1, 2, 2, 2, 2]", "loss.focal_gamma=2", "loss.dice_weight=1", "augmentation.balanced=1"),
        ("scheduler.name=poly", "optimizer.layer_decay=0.7", "data.workers=1", "augmentation.photometric=true"),
        ("model.backbone=test_convnext", "model.backbone_kwargs={}", "data.in_memory=false"),
    ],
)
def test_options_train_to_finite_weights(tmp_path, options):
    result = train(tiny_recipe("train.iterations=2", *options), tmp_path)
    assert result["iteration"] == 2
    assert all(value.isfinite().all() for value in state(tmp_path)["model"].values())


def test_weight_decay_spares_parameters_with_one_dimension(tmp_path, finished):
    groups = state(finished[0])["optimizer"]["param_groups"]
    assert sorted(group["weight_decay"] for group in groups) == [0, 0.05]
    spared = next(group["params"] for group in groups if group["weight_decay"] == 0)
    model = UperNet.from_pretrained(finished[0] / "final")
    assert len(spared) == sum(parameter.ndim <= 1 for parameter in model.parameters())


def test_accumulated_micro_batches_are_those_of_two_processes():
    whole = list(MicroBatches(3, 5, batch_size=8, accumulation_steps=2))
    ranks = [list(MicroBatches(3, 5, batch_size=8, accumulation_steps=1, rank=rank, processes=2)) for rank in (0, 1)]
    assert whole == [batch for pair in zip(*ranks, strict=True) for batch in pair]
    assert sorted(number for batch in whole for number in batch) == list(range(24, 40))


def test_layer_decay_halves_the_rate_of_each_layer(tmp_path):
    train(tiny_recipe("optimizer.layer_decay=0.5", "train.iterations=2"), tmp_path)
    scales = sorted({group["lr_scale"] for group in state(tmp_path)["optimizer"]["param_groups"]})
    assert scales[-1] == 1 and scales[0] == 0.5 ** (len(scales) - 1) and len(scales) > 5


def test_two_processes_have_the_losses_of_one(tmp_path, one_thread):
    recipe = ["train.iterations=4", "evaluation.every=1", "train.ema_decay=0", "model.backbone_kwargs={}"]
    train(tiny_recipe(*recipe, "train.accumulation_steps=2"), tmp_path / "one")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    arguments = ["-m", "fanet", "train", "clutter", *TINY, *recipe, "-o", str(tmp_path / "two")]
    subprocess.run([*command, *arguments], env=environment, check=True, capture_output=True, timeout=300)
    one, two = ([float(row["loss"]) for row in read_log(tmp_path / name)] for name in ("one", "two"))
    assert two == pytest.approx(one, rel=1e-4)
    # Batch norm's statistics differ from process to process; those that are saved are those that were evaluated.
    counts = image_counts(
        UperNet.from_pretrained(tmp_path / "two" / "final").predictor(), ClutterScenes("val", 2, size=40)
    )
    scores = ConfusionMatrix.of(counts.matrix).to_dict(ZEROWASTE.names)
    assert float(read_log(tmp_path / "two")[-1]["miou"]) == pytest.approx(scores["miou"], abs=1e-9)


@pytest.mark.parametrize("first", ["run", "nothing"])
def test_processes_that_see_different_folders_are_told_to_share_one(tmp_path, finished, first):
    disks = (tmp_path / "run", tmp_path / "nothing")
    shutil.copytree(finished[0], disks[0])
    disks = disks if first == "run" else disks[::-1]
    script = tmp_path / "train.py"
    script.write_text(
        "import os, sys\nfrom fanet.cli import main\n"
        f"folder = {list(map(str, disks))!r}[int(os.environ['RANK'])]\n"
        f"sys.exit(main(['train', 'clutter', *{TINY!r}, '--resume', '-o', folder]))\n"
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", str(script)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    one, other = ("a run at iteration 6", "no run") if first == "run" else ("no run", "a run at iteration 6")
    line = rf"fanet: error: in .* process 0 on .* sees {one}, but process 1 on .* {other}: .* all machines share"
    assert done.returncode and re.search(line, done.stderr)
    assert not (tmp_path / "nothing").exists()
