"""Training of a segmentation network from a recipe.

Everything random in step `i` is a function of (seed, i), and everything else a run needs to go on is in its checkpoint:
a resumed run on one CPU process ends with the same weights, bit for bit, as one that was never interrupted.
"""

import csv
import math
import os
import pickle
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import yaml
from timm.optim import create_optimizer_v2, list_optimizers
from timm.utils import ModelEmaV3
from tqdm import tqdm

from fanet.classes import ZEROWASTE
from fanet.errors import UserError, needs_extra
from fanet.files import atomic_path, make_folder
from fanet.recipes import flatten
from fanet.segmentation.data.clutter import ClutterPool
from fanet.segmentation.data.crops import CropStream, to_input
from fanet.segmentation.engine.environment import describe_environment
from fanet.segmentation.engine.evaluate import evaluate
from fanet.segmentation.engine.schedule import learning_rate
from fanet.segmentation.engine.settings import Settings
from fanet.segmentation.losses import segmentation_loss
from fanet.segmentation.model import UperNet

if TYPE_CHECKING:
    from accelerate import Accelerator

CHECKPOINT = "last.pt"


def train(recipe: dict, output: str | Path, resume: bool = False) -> dict:
    """Trains a network and leaves in the folder `output`:

    - `recipe.yaml`, `environment.json`: what runs, and on which versions;
    - `log.csv`: a row an evaluation; `loss` is the mean since the last one, IoU and accuracy are in %;
    - `last.pt`: the checkpoint to resume from;
    - `best/`, `final/`: the averaged weights with the best mIoU on the held-out scenes, and the last ones, for
      `UperNet.from_pretrained`.

    Ctrl-C ends the run after the current step, with a checkpoint; a second one ends it at once.

    Args:
        recipe: as `fanet.recipes.load_recipe` returns it.
        output: a new or empty folder, or with `resume` that of the run to go on with.
        resume: go on from `last.pt`.

    Returns:
        `iteration`, `seconds` (of training, over all starts), `miou` and `best_miou` (%).

    Raises:
        UserError: the recipe or the folder is unfit, or the loss is no longer a finite number.
        KeyboardInterrupt: the run was interrupted; its text says how to go on.
    """
    settings = Settings.from_recipe(recipe)
    output = Path(output)
    checkpoint = _load_checkpoint(output, recipe) if resume else None
    if not resume and output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UserError(f"{output} is not empty: choose another folder, or resume the run in it with --resume")
    accelerator = _accelerator()
    batch_size, processes = settings.train.batch_size, accelerator.num_processes
    if batch_size % processes:
        raise UserError(f"train.batch_size {batch_size} must be a multiple of the {processes} processes")
    accelerator.wait_for_everyone()  # all have seen the folder before one writes into it
    if accelerator.is_main_process:
        make_folder(output)
    trainer = Trainer(settings, recipe, output, accelerator)
    if checkpoint is not None:
        trainer.restore(checkpoint)
    if accelerator.is_main_process:
        (output / "recipe.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False), encoding="utf-8")
        (output / "environment.json").write_text(describe_environment(accelerator) + "\n", encoding="utf-8")
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


class Trainer:
    """One run: the network and its average, the optimizer, the scenes and the progress."""

    def __init__(self, settings: Settings, recipe: dict, output: Path, accelerator: "Accelerator") -> None:
        self.settings, self.recipe, self.output, self.accelerator = settings, recipe, output, accelerator
        self.progress = Progress()
        self.saved: int | None = None  # iteration of the checkpoint
        torch.manual_seed(settings.train.seed)
        self.network = _build_network(settings)
        memory_format = torch.channels_last if settings.train.channels_last else torch.contiguous_format
        self.network.to(accelerator.device).to(memory_format=memory_format).train()
        self.ema = ModelEmaV3(self.network, decay=settings.train.ema_decay, use_warmup=True)
        self.optimizer = _build_optimizer(settings, self.network)
        self.model = accelerator.prepare(self.network)  # the network, wrapped where there are several processes
        data, held_out = settings.data, settings.evaluation
        pool = ClutterPool(data.count, data.seed, data.size, data.difficulty)
        crop = (data.crop[0], data.crop[1])
        self.stream = CropStream(pool.images, pool.labels, crop, settings.train.batch_size, settings.train.seed)
        self.held_out = ClutterPool(held_out.count, held_out.seed, held_out.size, held_out.difficulty)

    def run(self) -> dict:
        """Trains to the end; see `train`."""
        progress, iterations = self.progress, self.settings.train.iterations
        with _deferred_interrupt() as interrupts, self._progress_bar() as bar:
            while progress.iteration < iterations:
                interrupted = self._step(bool(interrupts), bar)
                is_last = progress.iteration == iterations
                if is_last or progress.iteration % self.settings.evaluation.every == 0:
                    self._evaluate()
                    self._save()
                if interrupted and not is_last:
                    self._save()
                    raise KeyboardInterrupt(f"after iteration {progress.iteration}; --resume goes on from there")
        if self.accelerator.is_main_process:
            self.ema.module.save_pretrained(self.output / "final")
        return {
            "iteration": progress.iteration,
            "seconds": progress.seconds,
            "miou": progress.history[-1]["miou"] if progress.history else None,
            "best_miou": progress.best_miou,
        }

    def restore(self, checkpoint: Mapping[str, Any]) -> None:
        """Continues from the contents of `last.pt`."""
        self.network.load_state_dict(checkpoint["model"])
        self.ema.module.load_state_dict(checkpoint["ema"])
        self.optimizer.load_state_dict(checkpoint["optimizer"])
        self.progress = Progress(**checkpoint["progress"])
        self.saved = self.progress.iteration

    def _step(self, interrupt: bool, bar: tqdm) -> bool:
        """One optimizer step. Returns whether any process wants to stop after it."""
        progress, settings, accelerator = self.progress, self.settings, self.accelerator
        started = time.perf_counter()
        rate = self._set_learning_rate()
        images, labels = self._batch()
        loaded = time.perf_counter()

        with torch.autocast(accelerator.device.type, dtype=torch.bfloat16, enabled=settings.train.amp == "bf16"):
            main, auxiliary = self.model(images)
        loss = segmentation_loss(main, auxiliary, labels, settings.loss.aux_weight, ZEROWASTE.ignore_index)
        report = torch.stack([loss.detach(), torch.full_like(loss, float(interrupt), requires_grad=False)])
        mean_loss, interrupted = accelerator.reduce(report, "mean").tolist()  # the same verdict in every process
        self._require_finite("loss", mean_loss)
        self.optimizer.zero_grad(set_to_none=True)
        accelerator.backward(loss)
        norm = accelerator.clip_grad_norm_(self.model.parameters(), settings.train.clip_grad or math.inf)
        self._require_finite("gradient", float(norm))
        self.optimizer.step()
        progress.iteration += 1
        self.ema.update(self.network, step=progress.iteration)

        ended = time.perf_counter()
        progress.seconds += ended - started
        progress.loss_sum += mean_loss
        progress.loss_count += 1
        bar.set_postfix_str(
            f"loss {progress.loss_sum / progress.loss_count:.3f}, lr {rate:.1e}, "
            f"data {1000 * (loaded - started):.0f} of {1000 * (ended - started):.0f} ms",
            refresh=False,
        )
        bar.update()
        return interrupted > 0

    def _set_learning_rate(self) -> float:
        settings = self.settings
        rate = learning_rate(
            self.progress.iteration,
            settings.train.iterations,
            settings.optimizer.lr,
            settings.scheduler.warmup_iterations,
            settings.scheduler.min_lr,
        )
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        return rate

    def _batch(self) -> tuple[torch.Tensor, torch.Tensor]:
        """This process's part of the batch, and a random state of its own for dropout and drop path."""
        iteration, part = self.progress.iteration, self.accelerator.process_index
        state = np.random.SeedSequence([self.settings.train.seed, iteration, part]).generate_state(1, np.uint64)
        torch.manual_seed(int(state[0]))
        images, labels = self.stream.batch(iteration, part, self.accelerator.num_processes)
        device = self.accelerator.device
        inputs = to_input(images, self.network.preprocessing, device)
        if not self.settings.train.channels_last:
            inputs = inputs.contiguous()
        return inputs, torch.from_numpy(labels).to(device).long()

    def _require_finite(self, what: str, value: float) -> None:
        if math.isfinite(value):
            return
        kept = "there is no checkpoint yet"
        if self.saved is not None:
            kept = f"the last good checkpoint is {self.output / CHECKPOINT}, after iteration {self.saved}"
        raise UserError(f"the {what} became {value} in iteration {self.progress.iteration}: lower optimizer.lr; {kept}")

    def _evaluate(self) -> None:
        """Scores the averaged weights, adds a row to the log and keeps the weights if they are the best so far."""
        progress, settings = self.progress, self.settings
        if self.accelerator.is_main_process:
            started = time.perf_counter()
            pool, bf16 = self.held_out, settings.train.amp == "bf16"
            matrix = evaluate(self.ema.module, pool.images, pool.labels, settings.evaluation.batch_size, bf16)
            scores = matrix.to_dict(ZEROWASTE.names)
            progress.seconds += time.perf_counter() - started
            row = {
                "iteration": progress.iteration,
                "loss": progress.loss_sum / progress.loss_count,
                "lr": self.optimizer.param_groups[0]["lr"],
                "seconds": round(progress.seconds, 1),
                "miou": scores["miou"],
                "pixel_accuracy": scores["pixel_accuracy"],
                **{f"iou_{name}": value for name, value in scores["iou"].items()},
            }
            progress.history.append(row)
            with atomic_path(self.output / "log.csv") as path, path.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, row.keys())
                writer.writeheader()
                writer.writerows(progress.history)
            tqdm.write(f"iteration {progress.iteration}: loss {row['loss']:.3f}, mIoU {row['miou']:.2f} %")
            if row["miou"] > progress.best_miou:
                progress.best_miou = row["miou"]
                self.ema.module.save_pretrained(self.output / "best")
        progress.loss_sum, progress.loss_count = 0.0, 0
        self.accelerator.wait_for_everyone()

    def _save(self) -> None:
        self.saved = self.progress.iteration
        if not self.accelerator.is_main_process:
            return
        checkpoint = {
            "model": self.network.state_dict(),
            "ema": self.ema.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "progress": asdict(self.progress),
            "recipe": self.recipe,
        }
        with atomic_path(self.output / CHECKPOINT) as path:
            torch.save(checkpoint, path)

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
    return Accelerator(mixed_precision="no", cpu=cpu_processes)


def _build_network(settings: Settings) -> UperNet:
    try:
        return UperNet(**asdict(settings.model), num_classes=len(ZEROWASTE), classes=ZEROWASTE)
    except TypeError as error:  # timm's answer to an argument that the backbone does not have
        raise UserError(f"model.backbone_kwargs do not suit {settings.model.backbone}: {error}") from error


def _build_optimizer(settings: Settings, network: UperNet) -> torch.optim.Optimizer:
    name, lr, weight_decay = settings.optimizer.name, settings.optimizer.lr, settings.optimizer.weight_decay
    if name not in list_optimizers():
        raise UserError(f"timm has no optimizer {name!r}: optimizer.name is one of timm.optim.list_optimizers()")
    return create_optimizer_v2(network, opt=name, lr=lr, weight_decay=weight_decay)


def _load_checkpoint(output: Path, recipe: dict) -> dict:
    """Contents of `output/last.pt`, after making sure that it is of a run with this recipe."""
    path = output / CHECKPOINT
    if not path.is_file():
        raise UserError(f"nothing to resume: {path} does not exist; leave --resume out to start a run")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, LookupError, pickle.UnpicklingError) as error:
        raise UserError(f"{path} is not a readable checkpoint: start again in another folder") from error
    before, now = dict(flatten(checkpoint["recipe"])), dict(flatten(recipe))
    for key in before | now:
        if before.get(key) != now.get(key):
            raise UserError(
                f"cannot resume {output} with another recipe: {key} was {before.get(key)!r} and is {now.get(key)!r} now"
            )
    return checkpoint


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
