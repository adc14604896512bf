"""The state of a training run: everything a step changes, and everything it uses."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from fanet.classes import ClassScheme
from fanet.errors import UserError
from fanet.segmentation.data import SegmentationDataset, Unlabelled
from fanet.segmentation.data.counting import balanced_weights, pixel_counts, repeats
from fanet.segmentation.data.in_memory import InMemory
from fanet.segmentation.data.stream import MicroBatches, TrainSamples, train_batches
from fanet.segmentation.network.model import SegmentationModel
from fanet.segmentation.prediction.engines.precision import has_bf16
from fanet.segmentation.training.average import MovingAverage
from fanet.segmentation.training.build import (
    build_network,
    build_objective,
    build_optimizer,
    check_channels,
    describe_data,
    open_data,
    try_sizes,
)
from fanet.segmentation.training.losses import AUTO
from fanet.segmentation.training.mixed import keep_slow_in_float32
from fanet.segmentation.training.objectives import Objective
from fanet.segmentation.training.schedule import Schedule
from fanet.segmentation.training.settings import Settings
from fanet.segmentation.training.starting import freeze, start_from

if TYPE_CHECKING:
    from accelerate import Accelerator

# Added to the seed, so that unlabelled samples have an order and augmentations of their own.
UNLABELLED_SEED = 1_000_003

#: A micro-batch: images (B, 3, h, w) float32, labels (B, h, w) int64, and unlabelled images or None.
Batch = tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]


@dataclass
class Progress:
    """Where a run is.

    Attributes:
        iteration: Optimizer steps taken.
        seconds: Time they took, evaluations included.
        loss_sum, loss_count: Sum and number of the losses since the last evaluation.
        part_sums: Sums of the parts of these losses, by name.
        best_miou: Best mIoU so far, %.
        history: The rows of `log.csv`.
    """

    iteration: int = 0
    seconds: float = 0.0
    loss_sum: float = 0.0
    loss_count: int = 0
    part_sums: dict[str, float] = field(default_factory=dict)
    best_miou: float = -1.0
    history: list[dict[str, float]] = field(default_factory=list)

    @property
    def mean_loss(self) -> float:
        """Mean loss since the last evaluation."""
        return self.loss_sum / max(1, self.loss_count)

    @property
    def mean_parts(self) -> dict[str, float]:
        """Means of the parts of the loss since the last evaluation, by name."""
        return {name: total / max(1, self.loss_count) for name, total in self.part_sums.items()}

    def add_step(self, loss: float, parts: Mapping[str, float], seconds: float) -> None:
        """Add a step."""
        self.iteration += 1
        self.seconds += seconds
        self.loss_sum += loss
        self.loss_count += 1
        for name, part in parts.items():
            self.part_sums[name] = self.part_sums.get(name, 0.0) + part

    def forget_losses(self) -> None:
        """Begin new means."""
        self.loss_sum, self.loss_count, self.part_sums = 0.0, 0, {}


@dataclass
class Run:
    """One run.

    Attributes:
        settings: The recipe.
        accelerator: Devices and processes.
        classes: The classes to predict.
        network: What is trained.
        ema: The moving average of its weights, which is evaluated and saved.
        objective: What is minimised; it holds the network.
        model: The objective as it is called: compiled if asked for, and wrapped if there are several processes.
        optimizer: Trains the network and the objective's own parameters.
        schedule: Learning rate by iteration.
        samples: The streams of training samples: labelled, and unlabelled if the objective needs them.
        validation: The data set that the network is scored on.
        mixed: Whether the network computes in bfloat16; with `train.amp: auto`, where the device is faster in it.
        progress: Where the run is.
        remarks: A line for each thing that was left out of the data, or that may be wrong with it.
        saved: Iteration of the last checkpoint; None before there is one.
    """

    settings: Settings
    accelerator: "Accelerator"
    classes: ClassScheme
    network: SegmentationModel
    ema: MovingAverage
    objective: Objective
    model: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    samples: list[TrainSamples]
    validation: SegmentationDataset
    mixed: bool
    remarks: list[str] = field(default_factory=list)
    progress: Progress = field(default_factory=Progress)
    saved: int | None = None

    @classmethod
    def build(
        cls,
        settings: Settings,
        accelerator: "Accelerator",
        checkpoint: Mapping[str, Any] | None = None,
        data: Sequence[SegmentationDataset] | None = None,
    ) -> "Run":
        """Build a run, at its start or as a checkpoint holds it. Mistakes in the recipe are found before data is read.

        Args:
            settings: The recipe.
            accelerator: Devices and processes.
            checkpoint: What `RunFolder.save_checkpoint` wrote.
            data: What to train on and what to validate on, instead of what the recipe names.

        Raises:
            UserError: The recipe or the data is unfit.
        """
        train, processes = settings.train, accelerator.num_processes
        parts = train.accumulation_steps * processes
        if train.batch_size % parts:
            raise UserError(
                f"train.batch_size {train.batch_size} must be a multiple of {parts}: processes times accumulation_steps"
            )
        known = ClassScheme(**checkpoint["classes"]) if checkpoint and "classes" in checkpoint else None
        training, validation, *unlabelled = data or open_data(settings, known)
        remarks = describe_data(settings, training, validation, *unlabelled)
        classes = training.classes
        network = build_network(settings, classes, accelerator.device, processes)
        check_channels(network, training)
        if settings.model.init_from is not None:
            remarks += start_from(network, settings.model.init_from)
        if settings.model.freeze_backbone:
            freeze(network.backbone)
        ema = MovingAverage(network, train.ema_decay)
        objective = build_objective(settings, network, classes)
        optimizer = build_optimizer(settings, objective)
        mixed = train.amp == "bf16" or (train.amp == "auto" and has_bf16(accelerator.device))
        if mixed:
            keep_slow_in_float32(network)
        model: nn.Module = accelerator.prepare(objective)
        model = torch.compile(model) if train.compile else model  # type: ignore[assignment]
        schedule = settings.scheduler.build(train.iterations, settings.optimizer.lr)
        try_sizes(network, settings, validation)
        sources = [training, *map(Unlabelled, unlabelled)] if objective.needs_unlabelled else [training]
        if settings.data.in_memory:
            sources = [InMemory(source, title="reading training samples") for source in sources]
            validation = InMemory(validation, title="reading validation samples")
        often, threshold = None, settings.data.repeat_rare
        if threshold or settings.loss.class_weights == AUTO:
            counts = pixel_counts(sources[0], workers=1 if settings.data.in_memory else None)
            often = repeats(counts, threshold) if threshold else None
            if settings.loss.class_weights == AUTO:
                objective.loss = replace(objective.loss, class_weights=balanced_weights(counts))
        transform = settings.augmentation.build(network.preprocessing, classes.ignore_index)
        samples = [TrainSamples(sources[0], transform, train.seed, often)]
        samples += [TrainSamples(source, transform, UNLABELLED_SEED + train.seed) for source in sources[1:]]
        run = cls(
            settings,
            accelerator,
            classes,
            network,
            ema,
            objective,
            model,
            optimizer,
            schedule,
            samples,
            validation,
            mixed,
            remarks,
        )
        if checkpoint is not None:
            run.restore(checkpoint)
        return run

    def batches(self) -> Iterator[Batch]:
        """Yield this process's micro-batches, starting at the current iteration, on its device.

        Raises:
            UserError: A sample cannot be read.
        """
        accelerator, train = self.accelerator, self.settings.train
        indices = MicroBatches(
            self.progress.iteration,
            train.iterations,
            train.batch_size,
            train.accumulation_steps,
            accelerator.process_index,
            accelerator.num_processes,
        )
        pinned = accelerator.device.type == "cuda"
        streams = [train_batches(source, indices, self.settings.data.workers, pinned) for source in self.samples]
        for (images, labels), *unlabelled in zip(*streams, strict=True):
            yield self._input(images), self._moved(labels), self._input(unlabelled[0][0]) if unlabelled else None

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint holds, except for the recipe."""
        return {
            "classes": asdict(self.classes),
            "model": self.network.state_dict(),
            "ema": self.ema.module.state_dict(),
            "objective": self.objective.own_state(),
            "optimizer": self.optimizer.state_dict(),
            "progress": asdict(self.progress),
        }

    def restore(self, checkpoint: Mapping[str, Any]) -> None:
        """Continue from the contents of a checkpoint."""
        self.network.load_state_dict(checkpoint["model"])
        self.ema.module.load_state_dict(checkpoint["ema"])
        self.objective.load_own_state(checkpoint.get("objective", {}))  # older checkpoints have none
        self.optimizer.load_state_dict(checkpoint["optimizer"])
        self.progress = Progress(**checkpoint["progress"])
        self.saved = self.progress.iteration

    def _input(self, images: torch.Tensor) -> torch.Tensor:
        images = self._moved(images)
        return images if self.settings.train.channels_last else images.contiguous()

    def _moved(self, values: torch.Tensor) -> torch.Tensor:
        return values.to(self.accelerator.device, non_blocking=True)
