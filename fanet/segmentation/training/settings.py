"""A segmentation recipe, checked: every key known, none missing, every value of its type and in its range."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, is_dataclass
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from fanet.errors import UserError
from fanet.recipes import unknown_key
from fanet.segmentation.data import KINDS

Section = TypeVar("Section")

LARGEST_SEED = 2**63 - 1  # that torch takes


@dataclass(frozen=True)
class ModelSettings:
    """Arguments of `UperNet`."""

    backbone: str
    backbone_kwargs: dict
    pretrained_backbone: bool
    backbone_weights: str | None
    head_channels: int
    aux_channels: int
    dropout: float


@dataclass(frozen=True)
class DataSettings:
    """Arguments of `open_dataset`, and how samples reach the network."""

    dataset: str
    root: str | None
    train_split: str
    train_kwargs: dict
    val_split: str
    val_kwargs: dict
    in_memory: bool
    workers: int


@dataclass(frozen=True)
class AugmentationSettings:
    """Arguments of `TrainTransform`."""

    fit: list[int] | None
    ratios: list[float]
    crop: list[int]
    class_limit: float
    balanced: float
    flip: float
    turns: bool
    photometric: bool


@dataclass(frozen=True)
class TrainSettings:
    """The run itself."""

    iterations: int
    batch_size: int
    accumulation_steps: int
    seed: int
    amp: str
    channels_last: bool
    compile: bool
    sync_bn: bool
    ema_decay: float
    clip_grad: float


@dataclass(frozen=True)
class OptimizerSettings:
    """Arguments of `timm.optim.create_optimizer_v2`."""

    name: str
    lr: float
    weight_decay: float
    layer_decay: float | None


@dataclass(frozen=True)
class SchedulerSettings:
    """The course of the learning rate, see `fanet.segmentation.training.schedule`."""

    name: str
    warmup_iterations: int
    warmup_ratio: float
    min_lr: float
    power: float


@dataclass(frozen=True)
class LossSettings:
    """Arguments of `SegmentationLoss`."""

    aux_weight: float
    class_weights: list[float] | None
    focal_gamma: float
    dice_weight: float


@dataclass(frozen=True)
class EvaluationSettings:
    """How often the validation split is looked at, and at what size: `fit` and `multiple` of `Preprocessing`."""

    every: int
    fit: list[int] | None
    multiple: int


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

    @classmethod
    def from_recipe(cls, recipe: Mapping) -> "Settings":
        """Raises:
        UserError: a key is unknown or missing, or a value has the wrong type or is out of range.
        """
        settings = _read(cls, recipe, "")
        settings._check_choices()
        settings._check_pairs()
        settings._check_ranges()
        return settings

    def _check_choices(self) -> None:
        for key, value, allowed in (
            ("data.dataset", self.data.dataset, KINDS),
            ("train.amp", self.train.amp, ("none", "bf16")),
            ("scheduler.name", self.scheduler.name, ("cosine", "poly")),
        ):
            _require(value in allowed, f"{key} must be {' or '.join(allowed)}, got {value!r}")

    def _check_pairs(self) -> None:
        for key, pair in (
            ("augmentation.crop", self.augmentation.crop),
            ("augmentation.ratios", self.augmentation.ratios),
            ("augmentation.fit", self.augmentation.fit),
            ("evaluation.fit", self.evaluation.fit),
        ):
            fits = pair is None or (len(pair) == 2 and min(pair) > 0)
            _require(fits, f"{key} must be two numbers above 0, got {pair}")
        low, high = self.augmentation.ratios
        _require(low <= high, f"augmentation.ratios must be [low, high], got {self.augmentation.ratios}")

    def _check_ranges(self) -> None:
        train, data, scheduler = self.train, self.data, self.scheduler
        for key, value, low, high in (
            ("model.head_channels", self.model.head_channels, 1, None),
            ("model.aux_channels", self.model.aux_channels, 0, None),
            ("model.dropout", self.model.dropout, 0, 1),
            ("data.workers", data.workers, 0, None),
            ("augmentation.class_limit", self.augmentation.class_limit, 0, 1),
            ("augmentation.balanced", self.augmentation.balanced, 0, 1),
            ("augmentation.flip", self.augmentation.flip, 0, 1),
            ("train.iterations", train.iterations, 1, None),
            ("train.batch_size", train.batch_size, 1, None),
            ("train.accumulation_steps", train.accumulation_steps, 1, None),
            ("train.seed", train.seed, 0, LARGEST_SEED),
            ("train.ema_decay", train.ema_decay, 0, 1),
            ("train.clip_grad", train.clip_grad, 0, None),
            ("optimizer.weight_decay", self.optimizer.weight_decay, 0, None),
            ("scheduler.min_lr", scheduler.min_lr, 0, None),
            ("scheduler.power", scheduler.power, 0, None),
            ("scheduler.warmup_iterations", scheduler.warmup_iterations, 0, train.iterations - 1),
            ("scheduler.warmup_ratio", scheduler.warmup_ratio, 0, 1),
            ("loss.aux_weight", self.loss.aux_weight, 0, None),
            ("loss.focal_gamma", self.loss.focal_gamma, 0, None),
            ("loss.dice_weight", self.loss.dice_weight, 0, None),
            ("evaluation.every", self.evaluation.every, 1, None),
            ("evaluation.multiple", self.evaluation.multiple, 1, None),
        ):
            fits = value >= low and (high is None or value <= high)
            bounds = f"at least {low}" if high is None else f"in {low}..{high}"
            _require(fits, f"{key} must be {bounds}, got {value}")
        _require(self.optimizer.lr > 0, f"optimizer.lr must be positive, got {self.optimizer.lr}")
        weights = self.loss.class_weights
        _require(weights is None or min(weights, default=0) > 0, f"loss.class_weights must be positive, got {weights}")
        decay = self.optimizer.layer_decay
        _require(decay is None or 0 < decay <= 1, f"optimizer.layer_decay must be in 0..1 or null, got {decay}")
        splits = (data.train_split, data.train_kwargs), (data.val_split, data.val_kwargs)
        _require(splits[0] != splits[1], "data.train_split and data.val_split are the same samples")


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise UserError(message)


def _read(section: type[Section], values: Any, prefix: str) -> Section:
    """`values` as the dataclass `section`, its fields read in turn."""
    if not isinstance(values, Mapping):
        raise UserError(f"{prefix.rstrip('.') or 'a recipe'} must be a mapping of keys to values, got {values!r}")
    kinds = get_type_hints(section)
    for key in values:
        if key not in kinds:
            raise unknown_key(f"{prefix}{key}", [f"{prefix}{name}" for name in kinds])
    for name in kinds:
        if name not in values:
            raise UserError(f"the recipe lacks the key {prefix + name!r}: every setting has to be stated")
    return section(**{name: _value(kind, values[name], f"{prefix}{name}") for name, kind in kinds.items()})


def _value(kind: Any, value: Any, key: str) -> Any:
    """`value` as the annotation `kind` of a field wants it."""
    if is_dataclass(kind):
        return _read(kind, value, f"{key}.")  # type: ignore[arg-type]
    for option in get_args(kind) if isinstance(kind, UnionType) else (kind,):
        if option is float:
            if type(value) in (int, float) and math.isfinite(value):
                return float(value)
            continue
        if get_origin(option) is list and isinstance(value, list):
            return [_value(get_args(option)[0], item, key) for item in value]
        if type(value) is option:
            return value
    raise UserError(f"{key} must be {_in_words(kind)}, got {value!r}")


def _in_words(kind: Any) -> str:
    if isinstance(kind, UnionType):
        return " or ".join(_in_words(option) for option in get_args(kind))
    if get_origin(kind) is list:
        return f"a list, each item {_in_words(get_args(kind)[0])}"
    words = {int: "a whole number", float: "a finite number", bool: "true or false", str: "a text", dict: "a mapping"}
    return words.get(kind, "null")
