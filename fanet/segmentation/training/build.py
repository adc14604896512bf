"""Build what a recipe's settings describe: data, network, objective, optimizer."""

import copy
import inspect
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from typing import Any

import torch
from timm.optim import (
    create_optimizer_v2,
    get_optimizer_class,
    get_optimizer_info,
    list_optimizers,
    param_groups_weight_decay,
)
from torch import nn

from fanet.classes import ClassScheme
from fanet.errors import UserError, one_line
from fanet.segmentation.data import SegmentationDataset, open_dataset, open_unlabelled
from fanet.segmentation.data.changed import FirstClasses, Shrunken, Trimmed
from fanet.segmentation.data.dataset import by_split
from fanet.segmentation.data.labelled import require_labels
from fanet.segmentation.network.backbones import naming_refused_sizes
from fanet.segmentation.network.model import SegmentationModel
from fanet.segmentation.training.muon import BatchedMuon
from fanet.segmentation.training.objectives import OBJECTIVES, Objective
from fanet.segmentation.training.settings import Settings


def open_data(settings: Settings, classes: ClassScheme | None = None) -> list[SegmentationDataset]:
    """Open the training split, the validation split, and the unlabelled images if the objective needs them.

    Args:
        settings: Settings of the run.
        classes: Those of a run that is resumed: what the data set has gained since is ignored.

    Raises:
        UserError: The data is missing or unfit, or the data set does not take the arguments.
    """
    data = settings.data
    splits = [("train_kwargs", data.train_split, data.train_kwargs), ("val_kwargs", data.val_split, data.val_kwargs)]
    opened: list[SegmentationDataset] = []
    for key, split, kwargs in splits:
        with _naming(f"data.{key}", data.dataset):
            opened.append(open_dataset(data.dataset, data.root, split, **kwargs))
    if data.unlabelled_split is not None and OBJECTIVES[settings.objective.name].needs_unlabelled:
        with _naming("data.train_kwargs", data.dataset):
            opened.append(open_unlabelled(data.unlabelled_split, opened[0], data.dataset, data.root, data.train_kwargs))
    if data.trim:
        opened[0] = Trimmed(opened[0])
    if data.longest_side is not None:
        opened = [Shrunken(dataset, data.longest_side) for dataset in opened]
    if classes is not None and classes.names != opened[0].classes.names:
        opened = [FirstClasses(dataset, classes) for dataset in opened]
    return opened


def describe_data(
    settings: Settings,
    training: SegmentationDataset,
    validation: SegmentationDataset,
    unlabelled: SegmentationDataset | None = None,
) -> list[str]:
    """Return a line for each thing that was left out of the data, or that may be wrong with it.

    Raises:
        UserError: There is nothing to learn or to score.
    """
    lines: dict[str, list[str]] = {}
    for dataset, key in ((training, "train_split"), (validation, "val_split")):
        split = getattr(settings.data, key)
        found = [*dataset.remarks(), *dataset.unlisted(), *require_labels(dataset, split, f"data.{key}")]
        lines.setdefault(split, found)  # one split may be both
    if unlabelled is not None:
        lines.setdefault(str(settings.data.unlabelled_split), unlabelled.remarks())
    shared = training.image_paths() & validation.image_paths()
    if not shared:
        return by_split(lines)
    return [
        *by_split(lines),
        f"{len(shared)} of the {len(validation)} images of the split {settings.data.val_split} are also in "
        f"{settings.data.train_split}, so that scores say little about new images",
    ]


def build_network(settings: Settings, classes: ClassScheme, device: torch.device, processes: int) -> SegmentationModel:
    """Build the network in training mode on `device`; its random weights depend on the seed alone.

    Args:
        settings: Settings of the run.
        classes: The classes to predict.
        device: Device of this process.
        processes: Number of processes that train together.

    Raises:
        UserError: There is no such backbone, it does not take the arguments, its weights are not available, or it has
            no gradient checkpointing.
    """
    torch.manual_seed(settings.train.seed)
    arguments = asdict(settings.model)
    if arguments.pop("init_from") is not None:  # it replaces them
        arguments |= {"pretrained_backbone": False, "backbone_weights": None}
    if arguments.pop("freeze_backbone") and settings.train.grad_checkpointing:
        raise UserError("a frozen backbone keeps no activations: set train.grad_checkpointing=false")
    with _naming("model.backbone_kwargs", settings.model.backbone):
        network = SegmentationModel(**arguments, num_classes=len(classes), classes=classes)
    fit: Any = settings.evaluation.fit and tuple(settings.evaluation.fit)
    network.preprocessing = replace(network.preprocessing, fit=fit, multiple=settings.evaluation.multiple)
    if settings.train.sync_bn and processes > 1:
        if device.type == "cpu":
            raise UserError("train.sync_bn works on GPUs only: set train.sync_bn=false")
        network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
    if settings.train.grad_checkpointing:
        recompute_activations(network.backbone, settings.model.backbone)
    network.to(device).train()
    if settings.train.channels_last:
        network.to(memory_format=torch.channels_last)
    return network


def recompute_activations(backbone: nn.Module, name: str) -> None:
    """Turn on gradient checkpointing: blocks or stages keep their inputs only, and run again in the backward pass.

    Raises:
        UserError: timm has no gradient checkpointing for this backbone.
    """
    # timm wraps models for feature maps: around some the wrapper checkpoints stages, others do it themselves
    holder: Any = backbone if hasattr(backbone, "set_grad_checkpointing") else backbone.get_submodule("model")
    try:
        holder.set_grad_checkpointing(True)
    except (AttributeError, AssertionError, NotImplementedError) as error:
        raise UserError(f"{name} has no gradient checkpointing: set train.grad_checkpointing=false") from error


def check_channels(network: SegmentationModel, dataset: SegmentationDataset) -> None:
    """Refuse images with other channels than the network takes.

    Raises:
        UserError: The numbers differ.
    """
    if network.in_chans != dataset.channels:
        raise UserError(
            f"the network takes {network.in_chans} channels (in_chans in model.backbone_kwargs), the data set has "
            f"{dataset.channels}: set `channels: {network.in_chans}` in its dataset.yaml, or change in_chans"
        )


def try_sizes(network: SegmentationModel, settings: Settings, validation: SegmentationDataset) -> None:
    """Run the network on a crop and a validation image if timm builds its backbone for one size: some take no others.

    Raises:
        UserError: The backbone takes no images of that size.
    """
    sizes = [tuple(settings.augmentation.crop)]
    with suppress(UserError):  # an image that cannot be read is the evaluation's affair
        sizes.append(tuple(network.preprocessing.resized(validation.load_image(0)).shape[-2:]))
    twin = copy.deepcopy(network.backbone).to("meta").eval()  # nothing is computed there
    for size in sizes:
        height, width = (-(-side // network.multiple) * network.multiple for side in size)
        # suppressed are operations without a meta kernel, as they say nothing of real images
        with torch.no_grad(), suppress(RuntimeError), naming_refused_sizes(settings.model.backbone, network.multiple):
            twin(torch.zeros(1, network.in_chans, height, width, device="meta"))


def build_objective(settings: Settings, network: SegmentationModel, classes: ClassScheme) -> Objective:
    """Build what the recipe minimises.

    Raises:
        UserError: The loss does not fit the classes, or the objective needs images that the recipe does not name.
    """
    objective = OBJECTIVES[settings.objective.name]
    if objective.needs_unlabelled and settings.data.unlabelled_split is None:
        raise UserError(f"{settings.objective.name} needs images without labels: set data.unlabelled_split")
    given = {"iterations": settings.train.iterations, **asdict(settings.objective)}
    options = {key: value for key, value in given.items() if key in inspect.signature(objective).parameters}
    return objective(network, settings.loss.build(classes), **options).to(next(network.parameters()).device)


def build_optimizer(settings: Settings, objective: Objective) -> torch.optim.Optimizer:
    """Build timm's optimizer with its parameter groups for the network; the objective's own parameters come last.

    Raises:
        UserError: There is no such optimizer, it cannot be built, or the backbone does not support layer-wise decay.
    """
    options, network = settings.optimizer, objective.network
    if options.name not in list_optimizers():
        raise UserError(f"timm has no optimizer {options.name!r}: choose one of timm.optim.list_optimizers()")
    if options.layer_decay is not None and network.group_matcher() is None:
        raise UserError(f"{settings.model.backbone} does not support layer-wise decay: set optimizer.layer_decay=null")
    if get_optimizer_info(options.name).second_order:
        raise UserError(f"{options.name} needs second derivatives, which are not computed: choose another optimizer")
    with _naming("the optimizer's settings", options.name):
        arguments = inspect.signature(get_optimizer_class(options.name, bind_defaults=False)).parameters
        fused: dict[str, Any] = {"fused": True} if "fused" in arguments else {}
        optimizer = create_optimizer_v2(
            network,
            opt=options.name,
            lr=options.lr,
            weight_decay=options.weight_decay,
            layer_decay=options.layer_decay,
            **fused,
        )
    if options.name == "muon":
        optimizer = BatchedMuon(optimizer.param_groups)
    own = nn.ParameterList(objective.own_parameters())
    for group in param_groups_weight_decay(own, options.weight_decay):
        if group["params"]:
            optimizer.add_param_group({**group, "lr": options.lr})
    return optimizer


@contextmanager
def _naming(settings: str, what: str) -> Iterator[None]:
    """Name the settings if timm or a data set refuses its arguments."""
    try:
        yield
    except UserError:
        raise
    except (TypeError, ValueError, AssertionError, ImportError) as error:
        raise UserError(f"{settings} do not fit {what}: {one_line(error)}") from error
