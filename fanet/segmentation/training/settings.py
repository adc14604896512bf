"""The settings in a segmentation recipe, checked: no key unknown or missing, every value of its type and in range."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from fanet.errors import UserError
from fanet.recipes.fields import (
    AtLeast,
    Between,
    CountOrCounts,
    OneOf,
    Positive,
    PositivePair,
    optional_keys,
    read_section,
)
from fanet.segmentation.data import KINDS
from fanet.segmentation.data.transforms import AugmentationSettings
from fanet.segmentation.training.losses import LossSettings
from fanet.segmentation.training.objectives import OBJECTIVES
from fanet.segmentation.training.objectives.perturbations import PERTURBATIONS
from fanet.segmentation.training.schedule import SchedulerSettings
from fanet.segmentation.training.trackers import TRACKERS

LARGEST_SEED = 2**63 - 1  # torch's limit


@dataclass(frozen=True)
class ModelSettings:
    """Arguments of `SegmentationModel`, and where its weights come from."""

    backbone: str
    backbone_kwargs: dict
    pretrained_backbone: bool
    backbone_weights: str | None
    head_channels: Annotated[int, AtLeast(1)]
    aux_channels: Annotated[int, AtLeast(0)]
    dropout: Annotated[float, Between(0, 1)]
    decoder: str = "upernet"
    decoder_kwargs: dict = field(default_factory=dict)
    init_from: str | None = None
    freeze_backbone: bool = False


@dataclass(frozen=True)
class DataSettings:
    """Arguments of `open_dataset`, and how samples reach the network."""

    dataset: Annotated[str, OneOf(KINDS)]
    root: str | None
    train_split: str
    train_kwargs: dict
    val_split: str
    val_kwargs: dict
    in_memory: bool
    workers: Annotated[int, AtLeast(0)]
    unlabelled_split: str | None = None
    longest_side: Annotated[int | None, AtLeast(32)] = None
    repeat_rare: Annotated[float, Between(0, 1)] = 0.0
    trim: bool = False


@dataclass(frozen=True)
class TrainSettings:
    """The run itself."""

    iterations: Annotated[int, AtLeast(1)]
    batch_size: Annotated[int, AtLeast(1)]
    accumulation_steps: Annotated[int, AtLeast(1)]
    seed: Annotated[int, Between(0, LARGEST_SEED)]
    amp: Annotated[str, OneOf(("none", "bf16", "auto"))]
    channels_last: bool
    compile: bool
    sync_bn: bool
    ema_decay: Annotated[float, Between(0, 1)]
    clip_grad: Annotated[float, AtLeast(0)]
    grad_checkpointing: bool = False
    patience: Annotated[int | None, AtLeast(1)] = None
    tracker: Annotated[str | None, OneOf(TRACKERS)] = None


@dataclass(frozen=True)
class OptimizerSettings:
    """Arguments of `timm.optim.create_optimizer_v2`."""

    name: str
    lr: Annotated[float, AtLeast(0)]
    weight_decay: Annotated[float, AtLeast(0)]
    layer_decay: Annotated[float | None, Positive(), Between(0, 1)]


@dataclass(frozen=True)
class ObjectiveSettings:
    """What the run minimises; see `fanet.segmentation.training.objectives`."""

    name: Annotated[str, OneOf(OBJECTIVES)] = "supervised"
    auxiliary_decoders: Annotated[int | dict, CountOrCounts(PERTURBATIONS)] = 30


@dataclass(frozen=True)
class EvaluationSettings:
    """How often to evaluate on the validation split, and at what size: `fit` and `multiple` of `Preprocessing`."""

    every: Annotated[int, AtLeast(1)]
    fit: Annotated[list[int] | None, PositivePair()]
    multiple: Annotated[int, AtLeast(1)]


@dataclass(frozen=True)
class Settings:
    """A whole recipe; the sections are those of `fanet/recipes/clutter.yaml`, where each key is explained."""

    model: ModelSettings
    data: DataSettings
    augmentation: AugmentationSettings
    train: TrainSettings
    optimizer: OptimizerSettings
    scheduler: SchedulerSettings
    loss: LossSettings
    evaluation: EvaluationSettings
    objective: ObjectiveSettings = field(default_factory=ObjectiveSettings)

    @classmethod
    def from_recipe(cls, recipe: Mapping) -> "Settings":
        """Read a recipe.

        Raises:
            UserError: A key is unknown or missing, or a value has the wrong type or is out of range.
        """
        settings = read_section(cls, recipe)
        last, warmup = settings.train.iterations - 1, settings.scheduler.warmup_iterations
        if warmup > last:
            raise UserError(
                f"scheduler.warmup_iterations must be in 0..{last}, below train.iterations, got {warmup}: set it too"
            )
        if settings.scheduler.name == "step" and not settings.scheduler.steps:
            raise UserError("scheduler.name=step needs the iterations that lower the rate: set scheduler.steps=[…]")
        low, high = ratios = settings.augmentation.ratios
        if low > high:
            raise UserError(f"augmentation.ratios must be [low, high], got {ratios}")
        model, data = settings.model, settings.data
        if model.freeze_backbone and not (model.pretrained_backbone or model.backbone_weights or model.init_from):
            raise UserError(
                "model.freeze_backbone would keep random weights: set model.init_from=MODEL, "
                "model.backbone_weights=FILE or model.pretrained_backbone=true"
            )
        if (data.train_split, data.train_kwargs) == (data.val_split, data.val_kwargs):
            raise UserError("data.train_split and data.val_split are the same samples: choose another data.val_split")
        return settings


#: Keys that recipes may leave out, and their defaults.
OPTIONAL_KEYS = optional_keys(Settings)
