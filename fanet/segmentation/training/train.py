"""Training of a segmentation network from a recipe.

Everything random in step `i` is a function of (seed, i), and everything else a run needs to go on is in its checkpoint:
a resumed run on one CPU process ends with the same weights, bit for bit, as one that was never interrupted.
"""

import contextlib
import itertools
import math
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from timm.utils import ModelEmaV3
from torch import nn
from tqdm import tqdm

from fanet.errors import UserError, needs_extra
from fanet.segmentation.data.memory import InMemory
from fanet.segmentation.data.stream import MicroBatches, TrainSamples, train_batches
from fanet.segmentation.evaluation.evaluate import image_matrices
from fanet.segmentation.evaluation.metrics import ConfusionMatrix
from fanet.segmentation.processes import Share
from fanet.segmentation.training.build import build_network, build_optimizer, build_transform, open_data, try_sizes
from fanet.segmentation.training.environment import describe_environment
from fanet.segmentation.training.losses import SegmentationLoss
from fanet.segmentation.training.run_folder import BEST, FINAL, RunFolder
from fanet.segmentation.training.schedule import Schedule
from fanet.segmentation.training.settings import Settings

if TYPE_CHECKING:
    from accelerate import Accelerator


def train(recipe: dict, output: str | Path, resume: bool = False) -> dict[str, Any]:
    """Trains a network and leaves in the folder `output` what `RunFolder` lists; `best/` holds the averaged weights
    with the best mIoU on the validation split, `final/` the last ones.

    One process, or several as torchrun and `accelerate launch` start them. Ctrl-C ends the run after the current step,
    with a checkpoint; a second one ends it at once.

    Args:
        recipe: as `fanet.recipes.load_recipe` returns it.
        output: a new or empty folder, or with `resume` that of the run to go on with.
        resume: go on from `last.pt`; an empty folder starts a run.

    Returns:
        `iteration`, `seconds` (of training, over all starts), `miou` and `best_miou` (%).

    Raises:
        UserError: the recipe, the data or the folder is unfit, or the loss is no longer a finite number.
        KeyboardInterrupt: the run was interrupted; its text says how to go on.
    """
    settings = Settings.from_recipe(recipe)
    folder = RunFolder(Path(output))
    checkpoint = folder.prepare(recipe, resume)
    accelerator = _accelerator()
    accelerator.wait_for_everyone()  # all have seen the folder before one writes into it
    if checkpoint is not None:  # which has all weights: those that the run began with may be gone by now
        settings = replace(settings, model=replace(settings.model, pretrained_backbone=False, backbone_weights=None))
    trainer = Trainer(settings, recipe, folder, accelerator)
    if checkpoint is not None:
        trainer.restore(checkpoint)
    return trainer.run()


@dataclass
class Progress:
    """Where a run stands.

    Attributes:
        iteration: optimizer steps taken.
        seconds: time they took, with the evaluations.
        loss_sum, loss_count: sum and number of the losses since the last evaluation.
        best_miou: best mIoU so far, %.
        history: the rows of `log.csv`.
    """

    iteration: int = 0
    seconds: float = 0.0
    loss_sum: float = 0.0
    loss_count: int = 0
    best_miou: float = -1.0
    history: list[dict[str, float]] = field(default_factory=list)

    @property
    def mean_loss(self) -> float:
        """Since the last evaluation."""
        return self.loss_sum / max(1, self.loss_count)


class Trainer:
    """One run: the network and its average, the optimizer, the data and the progress."""

    def __init__(self, settings: Settings, recipe: dict, folder: RunFolder, accelerator: "Accelerator") -> None:
        self.settings, self.recipe, self.folder, self.accelerator = settings, recipe, folder, accelerator
        self.progress = Progress()
        self.saved: int | None = None  # iteration of the checkpoint
        train = settings.train
        parts = train.accumulation_steps * accelerator.num_processes
        if train.batch_size % parts:
            raise UserError(
                f"train.batch_size {train.batch_size} must be a multiple of {parts}: processes times accumulation_steps"
            )
        training, validation = open_data(settings)
        self.classes = training.classes
        # Before data is read: a mistake in the recipe is then told at once.
        self.network = build_network(settings, self.classes, accelerator.device, accelerator.num_processes)
        self.ema = ModelEmaV3(self.network, decay=train.ema_decay, use_warmup=True)
        self.optimizer = build_optimizer(settings, self.network)
        model: nn.Module = accelerator.prepare(self.network)  # wrapped where there are several processes
        self.model = torch.compile(model) if train.compile else model
        self.loss = SegmentationLoss(
            aux_weight=settings.loss.aux_weight,
            class_weights=tuple(settings.loss.class_weights) if settings.loss.class_weights else None,
            focal_gamma=settings.loss.focal_gamma,
            dice_weight=settings.loss.dice_weight,
            ignore_index=self.classes.ignore_index,
        )
        if self.loss.class_weights and len(self.loss.class_weights) != len(self.classes):
            raise UserError(f"loss.class_weights needs one number for each of {len(self.classes)} classes")
        scheduler = asdict(settings.scheduler)
        minimum = scheduler.pop("min_lr")
        self.schedule = Schedule(iterations=train.iterations, peak=settings.optimizer.lr, minimum=minimum, **scheduler)
        if settings.data.in_memory:
            training = InMemory(training, title=f"reading {settings.data.train_split}")
            validation = InMemory(validation, title=f"reading {settings.data.val_split}")
        self.validation = validation
        try_sizes(self.network, settings, validation)
        transform = build_transform(settings, self.network.preprocessing, self.classes.ignore_index)
        self.samples = TrainSamples(training, transform, train.seed)

    def run(self) -> dict[str, Any]:
        """Trains to the end; see `train`."""
        progress, iterations = self.progress, self.settings.train.iterations
        batches = MicroBatches(
            progress.iteration,
            iterations,
            self.settings.train.batch_size,
            self.settings.train.accumulation_steps,
            self.accelerator.process_index,
            self.accelerator.num_processes,
        )
        on_gpu = self.accelerator.device.type == "cuda"
        with _deferred_interrupt() as interrupts, self._progress_bar() as bar:
            stream = train_batches(self.samples, batches, self.settings.data.workers, pin_memory=on_gpu)
            stream = self._begin(stream)
            while True:
                if self._evaluation_is_due():
                    self.save()  # or a sample that cannot be read would cost all steps since the last time
                    self._evaluate()
                    self.save()
                if progress.iteration == iterations:
                    break
                if self._step(stream, bool(interrupts), bar):
                    self.save()
                    raise KeyboardInterrupt(f"after iteration {progress.iteration}; --resume goes on from there")
        if self.accelerator.is_main_process:
            self.folder.save_model(self.ema.module, FINAL)
        return {
            "iteration": progress.iteration,
            "seconds": progress.seconds,
            "miou": progress.history[-1]["miou"] if progress.history else None,
            "best_miou": progress.best_miou,
        }

    def _begin(self, stream: Iterator) -> Iterator:
        """The stream, once its first batch is there: a folder of a run appears when the data can be read."""
        first = list(itertools.islice(stream, 1))
        if self.accelerator.is_main_process:
            self.folder.describe(self.recipe, describe_environment(self.accelerator))
        if self.saved is None:
            self.save()  # whatever stops the run from now on, it can be resumed
        return itertools.chain(first, stream)

    def _evaluation_is_due(self) -> bool:
        """Whether the weights are to be scored now; also where a run is resumed that was stopped while it did."""
        now, every, last = self.progress.iteration, self.settings.evaluation.every, self.settings.train.iterations
        scored = self.progress.history[-1]["iteration"] if self.progress.history else 0
        return now > scored and (now == last or now % every == 0)

    def restore(self, checkpoint: Mapping[str, Any]) -> None:
        """Continues from the contents of `last.pt`."""
        self.network.load_state_dict(checkpoint["model"])
        self.ema.module.load_state_dict(checkpoint["ema"])
        self.optimizer.load_state_dict(checkpoint["optimizer"])
        self.progress = Progress(**checkpoint["progress"])
        self.saved = self.progress.iteration

    def save(self) -> None:
        """Writes the checkpoint."""
        self.saved = self.progress.iteration
        if self.accelerator.is_main_process:
            self.folder.save_checkpoint(
                {
                    "model": self.network.state_dict(),
                    "ema": self.ema.module.state_dict(),
                    "optimizer": self.optimizer.state_dict(),
                    "progress": asdict(self.progress),
                    "recipe": self.recipe,
                }
            )
        self.accelerator.wait_for_everyone()

    def _step(self, stream: Iterator, interrupt: bool, bar: tqdm) -> bool:
        """One optimizer step. Returns whether any process wants to stop after it."""
        progress, settings, accelerator = self.progress, self.settings, self.accelerator
        started = time.perf_counter()
        rate = self.schedule(progress.iteration)
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group.get("lr_scale", 1.0)  # lr_scale is timm's, for layer-wise decay
        self.optimizer.zero_grad(set_to_none=True)
        loss, waited = self._accumulate(stream)
        report = torch.tensor([loss, float(interrupt)], device=accelerator.device)
        mean_loss, interrupted = accelerator.reduce(report, "mean").tolist()  # the same verdict in every process
        self._require_finite("loss", mean_loss)
        norm = accelerator.clip_grad_norm_(self.network.parameters(), settings.train.clip_grad or math.inf)
        self._require_finite("gradient", float(norm))
        self.optimizer.step()
        progress.iteration += 1
        self.ema.update(self.network, step=progress.iteration)

        seconds = time.perf_counter() - started
        progress.seconds += seconds
        progress.loss_sum += mean_loss
        progress.loss_count += 1
        bar.set_postfix_str(
            f"loss {progress.mean_loss:.3f}, lr {rate:.1e}, data {1000 * waited:.0f} of {1000 * seconds:.0f} ms",
            refresh=False,
        )
        bar.update()
        return interrupted > 0

    def _accumulate(self, stream: Iterator) -> tuple[float, float]:
        """Gradients of this process's micro-batches. Returns their mean loss, and the seconds of waiting for data."""
        train, accelerator = self.settings.train, self.accelerator
        device, steps = accelerator.device, train.accumulation_steps
        total, waited = 0.0, 0.0
        for micro in range(steps):
            started = time.perf_counter()
            images, labels = next(stream)
            waited += time.perf_counter() - started
            images, labels = images.to(device, non_blocking=True), labels.to(device, non_blocking=True)
            if not train.channels_last:
                images = images.contiguous()
            self._seed(micro * accelerator.num_processes + accelerator.process_index)
            is_last = micro == steps - 1
            with contextlib.nullcontext() if is_last else accelerator.no_sync(self.model):
                with torch.autocast(device.type, dtype=torch.bfloat16, enabled=train.amp == "bf16"):
                    main, auxiliary = self.model(images)
                loss = self.loss(main, auxiliary, labels) / steps
                accelerator.backward(loss)
            total += loss.item()
        return total, waited

    def _seed(self, part: int) -> None:
        """A random state for dropout and stochastic depth that belongs to this micro-batch."""
        state = np.random.SeedSequence([self.settings.train.seed, self.progress.iteration, part])
        torch.manual_seed(int(state.generate_state(1, np.uint64)[0]))

    def _require_finite(self, what: str, value: float) -> None:
        if math.isfinite(value):
            return
        raise UserError(
            f"the {what} became {value} in iteration {self.progress.iteration}: start anew with a lower optimizer.lr; "
            f"the last good checkpoint is {self.folder.checkpoint_path}, after iteration {self.saved}"
        )

    def _evaluate(self) -> None:
        """Scores the averaged weights, adds a row to the log and keeps the weights if they are the best so far."""
        progress, accelerator = self.progress, self.accelerator
        started = time.perf_counter()
        share = Share(accelerator.process_index, accelerator.num_processes, accelerator.device)
        share.take_over(self.ema.module.buffers())  # batch norm's statistics are each process's own, one's are saved
        matrices = image_matrices(self.ema.module, self.validation, share)
        scores = ConfusionMatrix.of(matrices.sum(axis=0), self.classes.ignore_index).to_dict(self.classes.names)
        progress.seconds += time.perf_counter() - started
        if scores["miou"] is None:
            raise UserError("the validation split has no labelled pixel: choose another data.val_split")
        row = {
            "iteration": progress.iteration,
            "loss": progress.mean_loss,
            "lr": self.schedule(progress.iteration - 1),
            "seconds": round(progress.seconds, 1),
            "miou": scores["miou"],
            "pixel_accuracy": scores["pixel_accuracy"],
            **{f"iou_{name}": value for name, value in scores["iou"].items()},
        }
        progress.history.append(row)
        progress.loss_sum, progress.loss_count = 0.0, 0
        is_best = row["miou"] > progress.best_miou
        progress.best_miou = max(progress.best_miou, row["miou"])
        if accelerator.is_main_process:
            self.folder.log(progress.history)
            tqdm.write(f"iteration {progress.iteration}: loss {row['loss']:.3f}, mIoU {row['miou']:.2f} %")
            if is_best:
                self.folder.save_model(self.ema.module, BEST)

    def _progress_bar(self) -> tqdm:
        return tqdm(
            total=self.settings.train.iterations,
            initial=self.progress.iteration,
            desc="training",
            unit="step",
            dynamic_ncols=True,
            disable=not self.accelerator.is_main_process,
        )


def _accelerator() -> "Accelerator":
    """The devices and processes of this run."""
    with needs_extra("seg", "accelerate"):
        from accelerate import Accelerator
    # Several processes without a GPU must be asked for, or each takes itself for the only one.
    cpu_processes = int(os.environ.get("WORLD_SIZE", "1")) > 1 and not torch.cuda.is_available()
    # Mixed precision is this module's own: accelerate would fix it for all runs of a Python process with the first.
    accelerator = Accelerator(mixed_precision="no", cpu=cpu_processes)
    accelerator.gradient_accumulation_steps = 1  # the trainer's own affair, whatever ACCELERATE_… says
    return accelerator


@contextmanager
def _deferred_interrupt() -> Iterator[list[int]]:
    """Yields a list that is no longer empty once Ctrl-C was pressed; pressed again, it interrupts at once."""
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
