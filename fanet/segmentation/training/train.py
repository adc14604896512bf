"""Training of a segmentation network from a recipe.

Everything random in step `i` is a function of (seed, i), and the rest of a run's state is in its checkpoint: a resumed
run in one process on a CPU ends with the same weights, bit for bit, as one that was never interrupted.
"""

import contextlib
import itertools
import math
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from tqdm import tqdm

from fanet.errors import UserError, needs_extra, printable
from fanet.segmentation.data.dataset import SegmentationDataset
from fanet.segmentation.evaluation.evaluate import image_counts
from fanet.segmentation.evaluation.metrics import ConfusionMatrix
from fanet.segmentation.network.saving import BEST, FINAL
from fanet.segmentation.processes import join_processes
from fanet.segmentation.training.environment import describe_environment
from fanet.segmentation.training.progress import ProgressLine
from fanet.segmentation.training.report import RunReport
from fanet.segmentation.training.run import Batch, Run
from fanet.segmentation.training.run_folder import RunFolder
from fanet.segmentation.training.settings import Settings
from fanet.segmentation.training.trackers import Tracker

if TYPE_CHECKING:
    from accelerate import Accelerator

with needs_extra("seg", "accelerate"):
    from accelerate.utils import broadcast, gather_object

#: Seconds after which a run saves a checkpoint, however far the next evaluation is.
SAVE_EVERY = 300.0


def train(
    recipe: dict,
    output: str | Path,
    resume: bool = False,
    data: tuple[SegmentationDataset, SegmentationDataset] | None = None,
) -> dict[str, Any]:
    """Train a network and write the files that `RunFolder` lists to the folder `output`.

    `best/` holds the averaged weights with the best mIoU on the validation split, `final/` the last ones. Runs in one
    process, or in several started by torchrun or `accelerate launch`. Ctrl-C ends the run after the current step, with
    a checkpoint; a second Ctrl-C ends it at once.

    Args:
        recipe: As `fanet.recipes.load_recipe` returns it.
        output: A new or empty folder, or with `resume` the folder of the run to resume.
        resume: Continue from `last.pt`; starts a new run if the folder is empty.
        data: What to train on and what to validate on, instead of the splits that the recipe names.

    Returns:
        `iteration`, `seconds` (of training, over all starts), `miou` and `best_miou` (%).

    Raises:
        UserError: The recipe, the data or the folder is unsuitable, or the loss is no longer a finite number.
        KeyboardInterrupt: The run was interrupted; the message says how to resume it.
    """
    settings = Settings.from_recipe(recipe)
    folder = RunFolder(Path(output))
    accelerator = join_processes()
    tracker = Tracker(accelerator, settings.train.tracker, recipe, folder.path)
    checkpoint = prepared_by_all(accelerator, folder, recipe, resume)
    if checkpoint is not None:  # it has all weights; the files that the run started from may be gone by now
        given = replace(settings.model, pretrained_backbone=False, backbone_weights=None, init_from=None)
        settings = replace(settings, model=given)
    run = Run.build(settings, accelerator, checkpoint, data)
    if accelerator.is_main_process:
        for line in run.remarks:
            print(f"note: {printable(line)}", file=sys.stderr)

    saved_at = time.monotonic()

    def save() -> None:
        nonlocal saved_at
        saved_at = time.monotonic()
        run.saved = run.progress.iteration
        if accelerator.is_main_process:
            folder.save_checkpoint({**run.state(), "recipe": recipe})
        accelerator.wait_for_everyone()

    progress = run.progress
    report = RunReport(run, folder)
    with deferred_interrupt() as interrupts, ProgressLine(run) as bar, tracker:
        batches = with_first_ready(run.batches())  # no folder is made for a run whose data cannot be read
        if accelerator.is_main_process:
            folder.describe(recipe, describe_environment(accelerator))
        if run.saved is None:
            save()  # from here on the run can be resumed, whatever stops it
        while True:
            if evaluation_is_due(run):
                started = time.perf_counter()
                save()  # a validation sample that cannot be read must not cost the steps since the last save
                tracker.log(evaluate(run, folder, report))
                save()
                bar.evaluated(time.perf_counter() - started)
            if progress.iteration == settings.train.iterations or is_out_of_patience(run):
                break
            started = time.perf_counter()
            step = take_step(run, batches, folder, interrupts, saved_at + SAVE_EVERY)
            seconds = time.perf_counter() - started
            progress.add_step(step.loss, step.parts, seconds)
            bar.step(step.rate, step.waited, seconds)
            if step.interrupted or step.is_save_due:
                save()
            if step.interrupted:
                raise KeyboardInterrupt(f"after iteration {progress.iteration}; --resume goes on from there")
    if accelerator.is_main_process:
        folder.save_model(run.ema.module, FINAL)
    return {
        "iteration": progress.iteration,
        "seconds": progress.seconds,
        "miou": progress.history[-1]["miou"] if progress.history else None,
        "best_miou": progress.best_miou,
    }


def prepared_by_all(accelerator: "Accelerator", folder: RunFolder, recipe: dict, resume: bool) -> dict[str, Any] | None:
    """Return the checkpoint to resume from, None for a new run, after every process has looked at the folder.

    Raises:
        UserError: The folder is unsuitable to a process, or the processes see different runs in it.
    """
    checkpoint, error = None, None
    try:
        checkpoint = folder.prepare(recipe, resume)
        view = "no run" if checkpoint is None else f"a run at iteration {checkpoint['progress']['iteration']}"
    except UserError as refusal:
        error, view = refusal, str(refusal)  # raised once all know of it: the others would wait for this process
    views = gather_object([(socket.gethostname(), view, error is not None)])
    if error is not None:
        raise error
    first_host, first_view, _ = views[0]
    for rank, (host, view, is_error) in enumerate(views):
        if is_error:
            raise UserError(f"process {rank} on {host}: {view}")
        if view != first_view:
            raise UserError(
                f"in {folder.path} process 0 on {first_host} sees {first_view}, but process {rank} on {host} {view}: "
                "name a folder that all machines share"
            )
    return checkpoint


def with_first_ready(batches: Iterator[Batch]) -> Iterator[Batch]:
    """Return the same batches, with the first one read already."""
    first = list(itertools.islice(batches, 1))
    return itertools.chain(first, batches)


def evaluation_is_due(run: Run) -> bool:
    """Return whether to evaluate now; also true if the run was stopped during an evaluation."""
    now, every, last = run.progress.iteration, run.settings.evaluation.every, run.settings.train.iterations
    scored = run.progress.history[-1]["iteration"] if run.progress.history else 0
    return now > scored and (now == last or now % every == 0)


def is_out_of_patience(run: Run) -> bool:
    """Return whether the last `train.patience` evaluations were no better than the best one before them."""
    patience, scores = run.settings.train.patience, [row["miou"] for row in run.progress.history]
    return patience is not None and len(scores) > patience and max(scores[-patience:]) <= max(scores[:-patience])


@dataclass(frozen=True)
class Step:
    """What a step did: the mean loss of all processes and its parts, its learning rate, seconds of waiting for data;
    and whether, in any process, Ctrl-C was pressed or a checkpoint is due.
    """

    loss: float
    parts: dict[str, float]
    rate: float
    waited: float
    interrupted: bool
    is_save_due: bool


def take_step(
    run: Run, batches: Iterator[Batch], folder: RunFolder, interrupts: Sequence[int] = (), save_at: float = math.inf
) -> Step:
    """Take an optimizer step, the moving average and the objective's hook included.

    Args:
        run: The run.
        batches: Its batches, from the step's on.
        folder: Of the run, for messages.
        interrupts: Grows when Ctrl-C is pressed.
        save_at: When a checkpoint is due, on the monotonic clock.

    Raises:
        UserError: Loss or gradient is not finite, or a sample cannot be read.
    """
    rate, number = set_learning_rate(run), run.progress.iteration + 1
    run.optimizer.zero_grad(set_to_none=True)
    losses, waited = accumulate_gradients(run, batches)
    flags = (bool(interrupts), time.monotonic() > save_at)
    (loss, *parts), (interrupted, is_save_due) = agree(run, list(losses.values()), flags)
    require_finite("loss", loss, run, folder)
    limit = run.settings.train.clip_grad or math.inf
    norm = run.accelerator.clip_grad_norm_(run.objective.parameters(), limit)
    require_finite("gradient", float(norm), run, folder)
    run.optimizer.step()
    run.ema.update(run.network, step=number)
    run.objective.after_step(number)
    return Step(loss, dict(zip(list(losses)[1:], parts, strict=True)), rate, waited, interrupted, is_save_due)


def set_learning_rate(run: Run) -> float:
    """Set the optimizer's learning rate for the next step, and return it."""
    rate = run.schedule(run.progress.iteration)
    for group in run.optimizer.param_groups:
        group["lr"] = rate * group.get("lr_scale", 1.0)  # lr_scale is timm's, for layer-wise decay
    return rate


def accumulate_gradients(run: Run, batches: Iterator[Batch]) -> tuple[dict[str, float], float]:
    """Compute the gradients of this process's micro-batches.

    Returns:
        Their mean loss, called `loss`, and the means of its parts; and the seconds spent waiting for data.
    """
    accelerator, steps = run.accelerator, run.settings.train.accumulation_steps
    mixed = run.mixed
    totals, waited = {"loss": 0.0}, 0.0
    for micro in range(steps):
        started = time.perf_counter()
        batch = next(batches)
        waited += time.perf_counter() - started
        seed_step(run, micro * accelerator.num_processes + accelerator.process_index)
        is_last = micro == steps - 1
        with contextlib.nullcontext() if is_last else accelerator.no_sync(run.model):
            with torch.autocast(accelerator.device.type, dtype=torch.bfloat16, enabled=mixed):
                loss = run.model(*batch) / steps
            accelerator.backward(loss)
        totals["loss"] += loss.item()
        for name, part in run.objective.parts.items():
            totals[name] = totals.get(name, 0.0) + part.item() / steps
    return totals, waited


def seed_step(run: Run, part: int) -> None:
    """Seed dropout and stochastic depth for this micro-batch."""
    state = np.random.SeedSequence([run.settings.train.seed, run.progress.iteration, part])
    torch.manual_seed(int(state.generate_state(1, np.uint64)[0]))


def agree(run: Run, losses: list[float], flags: Sequence[bool]) -> tuple[list[float], list[bool]]:
    """Return the mean losses of all processes, and which flags are set in any of them: the same in each."""
    report = torch.tensor([*losses, *map(float, flags)], device=run.accelerator.device)
    means = run.accelerator.reduce(report, "mean").tolist()
    return means[: len(losses)], [share > 0 for share in means[len(losses) :]]


def require_finite(what: str, value: float, run: Run, folder: RunFolder) -> None:
    """Refuse a loss or a gradient that is not finite.

    Raises:
        UserError: The value is not finite.
    """
    if math.isfinite(value):
        return
    iteration, model = run.progress.iteration, run.settings.model
    cure = "start again with a lower optimizer.lr"
    if what == "gradient" and iteration == 0 and not (model.pretrained_backbone or model.backbone_weights):
        cure = (  # no step has been taken: the learning rate cannot be the cause
            "from random weights, features of constant regions (padding, black frames) have no variance, which layer "
            "norms divide by; start from weights, model.pretrained_backbone=true or model.backbone_weights=FILE"
        )
    raise UserError(
        f"the {what} became {value} in iteration {iteration}: {cure}; "
        f"the last good checkpoint is {folder.checkpoint_path}, after iteration {run.saved}"
    )


def evaluate(run: Run, folder: RunFolder, report: RunReport) -> dict[str, float]:
    """Evaluate the averaged weights, add a row to the log, save the weights if they are the best so far, and report.

    Returns:
        The row.

    Raises:
        UserError: A validation sample cannot be read, fewer than two classes are labelled, or the disk is full.
    """
    progress, accelerator, model = run.progress, run.accelerator, run.ema.module
    started = time.perf_counter()
    broadcast(list(model.buffers()))  # each process has its own batch-norm statistics; the first one's are saved
    predictor = model.predictor()
    counts = image_counts(predictor, run.validation, accelerator)
    scores = ConfusionMatrix.of(counts.matrix, run.classes.ignore_index).to_dict(run.classes.names)
    progress.seconds += time.perf_counter() - started
    if scores["miou"] is None:
        raise UserError(
            "fewer than two classes are labelled in the validation split, so that no score would mean anything: "
            "choose another data.val_split"
        )
    row = {
        "iteration": progress.iteration,
        "loss": progress.mean_loss,
        **{f"loss_{name}": mean for name, mean in progress.mean_parts.items()},
        "lr": run.schedule(progress.iteration - 1),
        "seconds": round(progress.seconds, 1),
        "miou": scores["miou"],
        "pixel_accuracy": scores["pixel_accuracy"],
        **{f"iou_{name}": value for name, value in scores["iou"].items()},
    }
    progress.history.append(row)
    progress.forget_losses()
    is_best = row["miou"] > progress.best_miou
    progress.best_miou = max(progress.best_miou, row["miou"])
    if accelerator.is_main_process:
        folder.log(progress.history)
        tqdm.write(f"iteration {progress.iteration}: loss {row['loss']:.3f}, mIoU {row['miou']:.2f} %")
        if is_best:
            folder.save_model(model, BEST)
        report.write(predictor, counts)
    return row


@contextmanager
def deferred_interrupt() -> Iterator[list[int]]:
    """Yield a list that is not empty once Ctrl-C was pressed; a second Ctrl-C interrupts at once."""
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received  # only the main thread may handle signals
        return
    previous = signal.getsignal(signal.SIGINT)

    def note(number: int, _: object) -> None:
        received.append(number)
        signal.signal(signal.SIGINT, previous)

    signal.signal(signal.SIGINT, note)
    try:
        yield received
    finally:
        signal.signal(signal.SIGINT, previous)
