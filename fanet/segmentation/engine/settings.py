"""A segmentation recipe, checked: every key known, none missing, every value of its type and in its range."""

from collections.abc import Mapping
from dataclasses import dataclass, is_dataclass
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from fanet.errors import UserError
from fanet.recipes import unknown_key

Section = TypeVar("Section")


@dataclass(frozen=True)
class ModelSettings:
    """Arguments of `UperNet`."""

    backbone: str
    backbone_kwargs: dict
    pretrained_backbone: bool
    head_channels: int
    aux_channels: int
    dropout: float


@dataclass(frozen=True)
class DataSettings:
    """What is trained on: a pool of scenes and the crops taken from it."""

    dataset: str
    count: int
    seed: int
    size: list[int]
    difficulty: float | list[float]
    crop: list[int]


@dataclass(frozen=True)
class TrainSettings:
    """The run itself."""

    iterations: int
    batch_size: int
    seed: int
    amp: str
    channels_last: bool
    ema_decay: float
    clip_grad: float


@dataclass(frozen=True)
class OptimizerSettings:
    """Arguments of `timm.optim.create_optimizer_v2`."""

    name: str
    lr: float
    weight_decay: float


@dataclass(frozen=True)
class SchedulerSettings:
    """The course of the learning rate, see `fanet.segmentation.engine.schedule`."""

    name: str
    warmup_iterations: int
    min_lr: float


@dataclass(frozen=True)
class LossSettings:
    """Arguments of `segmentation_loss`."""

    aux_weight: float


@dataclass(frozen=True)
class EvaluationSettings:
    """The held-out scenes, and how often they are looked at."""

    every: int
    count: int
    seed: int
    size: list[int]
    difficulty: float | list[float]
    batch_size: int


@dataclass(frozen=True)
class Settings:
    """A whole recipe; the sections are those of `fanet/recipes/clutter.yaml`, where each key is explained."""

    model: ModelSettings
    data: DataSettings
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
        settings._check()
        return settings

    def _check(self) -> None:
        counts = {
            "data.count": self.data.count,
            "train.iterations": self.train.iterations,
            "train.batch_size": self.train.batch_size,
            "evaluation.every": self.evaluation.every,
            "evaluation.count": self.evaluation.count,
            "evaluation.batch_size": self.evaluation.batch_size,
        }
        for key, count in counts.items():
            _require(count >= 1, f"{key} must be at least 1, got {count}")
        for key, value, allowed in (
            ("data.dataset", self.data.dataset, ("clutter",)),
            ("train.amp", self.train.amp, ("none", "bf16")),
            ("scheduler.name", self.scheduler.name, ("cosine",)),
        ):
            _require(value in allowed, f"{key} must be {' or '.join(allowed)}, got {value!r}")
        for key, size in (("data", self.data.size), ("evaluation", self.evaluation.size), ("crop", self.data.crop)):
            _require(len(size) == 2, f"{key} size must be [height, width], got {size}")
        fits = all(0 < inner <= outer for inner, outer in zip(self.data.crop, self.data.size, strict=True))
        _require(fits, f"data.crop {self.data.crop} must fit into data.size {self.data.size}")
        _require(
            self.data.seed != self.evaluation.seed,
            f"data.seed and evaluation.seed are both {self.data.seed}: the evaluation needs scenes of its own",
        )
        _require(self.train.seed >= 0, f"train.seed must not be negative, got {self.train.seed}")
        _require(0 <= self.train.ema_decay < 1, f"train.ema_decay must be in 0..1, got {self.train.ema_decay}")
        _require(self.train.clip_grad >= 0, f"train.clip_grad must not be negative, got {self.train.clip_grad}")
        _require(self.optimizer.lr > 0, f"optimizer.lr must be positive, got {self.optimizer.lr}")
        warmup = self.scheduler.warmup_iterations
        _require(
            0 <= warmup < self.train.iterations,
            f"scheduler.warmup_iterations must be in 0..train.iterations ({self.train.iterations}), got {warmup}",
        )


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
        if option is float and type(value) in (int, float):
            return float(value)
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
    return {int: "a whole number", float: "a number", bool: "true or false", str: "a text", dict: "a mapping"}[kind]
