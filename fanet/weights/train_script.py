"""What a checkpoint of timm's train.py says about its training, beside the weights."""

import argparse
from collections.abc import Mapping
from typing import Any

from timm.data import resolve_data_config
from timm.models import get_pretrained_cfg

from fanet.errors import one_line
from fanet.weights.failures import WeightsError

STRIDE = 32  # of the coarsest map
DATA_ARGUMENTS = ("in_chans", "input_size", "img_size", "crop_pct", "interpolation", "mean", "std")
# What the result hangs on, in the order in which a model card lists it.
TRAINING_ARGUMENTS = (
    "epochs opt lr weight_decay sched warmup_epochs clip_grad drop_path aa mixup cutmix reprob smoothing "
    "model_ema model_ema_decay layer_decay seed"
).split()


def evaluation_cfg(checkpoint: Mapping[str, Any], variant: str) -> dict[str, Any]:
    """Entries of timm's configuration that make images look as they did in the training's evaluations.

    Args:
        checkpoint: What a file held; one that train.py did not write gives nothing.
        variant: The model in it.

    Raises:
        WeightsError: train.py could not have been given such arguments.
    """
    arguments = _arguments(checkpoint)
    given = {key: arguments[key] for key in DATA_ARGUMENTS if arguments.get(key)}
    if not given:
        return {}
    cfg = get_pretrained_cfg(variant)
    try:
        cfg = resolve_data_config(given, pretrained_cfg=cfg.to_dict() if cfg is not None else {})
        pool_size = tuple(-(-side // STRIDE) for side in cfg["input_size"][1:])
    except (AssertionError, TypeError, ValueError) as error:
        raise WeightsError(f"the training's arguments in the checkpoint make no sense ({one_line(error)})") from error
    keys = ("input_size", "interpolation", "mean", "std", "crop_pct")
    return {key: cfg[key] for key in keys} | {"pool_size": pool_size}


def training_facts(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of the training that shape its result, by name; empty where train.py did not write the file."""
    arguments = _arguments(checkpoint)
    facts = {key: arguments[key] for key in TRAINING_ARGUMENTS if arguments.get(key) not in (None, "", False)}
    try:
        factors = (arguments["batch_size"], arguments.get("world_size", 1), arguments.get("grad_accum_steps", 1))
        facts["global batch"] = int(factors[0]) * int(factors[1]) * int(factors[2])
    except (KeyError, TypeError, ValueError):
        pass
    return facts


def top1(checkpoint: Mapping[str, Any]) -> float | None:
    """The accuracy in % that train.py measured for the weights that a conversion takes, where it did."""
    arguments = _arguments(checkpoint)
    metric = checkpoint.get("metric")
    # averaged weights are what is converted, and on the CPU train.py does not evaluate them
    unmeasured = arguments.get("model_ema") and arguments.get("model_ema_force_cpu")
    if arguments.get("eval_metric") != "top1" or unmeasured or not isinstance(metric, int | float):
        return None
    return float(metric)


def _arguments(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    arguments = checkpoint.get("args")
    return vars(arguments) if isinstance(arguments, argparse.Namespace) else {}
