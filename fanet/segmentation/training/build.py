"""Build what a recipe's settings describe: data, network, objective, optimizer."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

import torch
from timm.optim import create_optimizer_v2, get_optimizer_info, list_optimizers, param_groups_weight_decay
from torch import nn

from fanet.classes import ClassScheme
from fanet.errors import UserError, one_line
from fanet.segmentation.data import SegmentationDataset, open_dataset
from fanet.segmentation.network.model import SegmentationModel
from fanet.segmentation.preprocessing import Preprocessing
from fanet.segmentation.training.objectives import OBJECTIVES, Objective
from fanet.segmentation.training.settings import Settings


def open_data(settings: Settings) -> tuple[SegmentationDataset, SegmentationDataset]:
    """Open the training and the validation split.

    Raises:
        UserError: The data is missing or unfit, or the data set does not take the arguments.
    """
    data = settings.data
    with _naming("data.train_kwargs", data.dataset):
        training = open_dataset(data.dataset, data.root, data.train_split, **data.train_kwargs)
    with _naming("data.val_kwargs", data.dataset):
        validation = open_dataset(data.dataset, data.root, data.val_split, **data.val_kwargs)
    return training, validation


def open_unlabelled(settings: Settings) -> SegmentationDataset:
    """Open the split whose images are used without their labels.

    Raises:
        UserError: The data is missing or unfit.
    """
    data = settings.data
    with _naming("data.train_kwargs", data.dataset):
        return open_dataset(data.dataset, data.root, str(data.unlabelled_split), **data.train_kwargs)


def build_network(settings: Settings, classes: ClassScheme, device: torch.device, processes: int) -> SegmentationModel:
    """Build the network in training mode on `device`; its random weights depend on the seed alone.

    Args:
        settings: Settings of the run.
        classes: The classes to predict.
        device: Device of this process.
        processes: Number of processes that train together.

    Raises:
        UserError: There is no such backbone, it does not take the arguments, or its weights are not available.
    """
    torch.manual_seed(settings.train.seed)
    with _naming("model.backbone_kwargs", settings.model.backbone):
        network = SegmentationModel(**asdict(settings.model), num_classes=len(classes), classes=classes)
    network.preprocessing = Preprocessing(
        mean=network.preprocessing.mean,
        std=network.preprocessing.std,
        fit=_pair(settings.evaluation.fit),
        multiple=settings.evaluation.multiple,
    )
    if settings.train.sync_bn and processes > 1:
        if device.type == "cpu":
            raise UserError("train.sync_bn works on GPUs only: set train.sync_bn=false")
        network = nn.SyncBatchNorm.convert_sync_batchnorm(network)
    network.to(device).train()
    if settings.train.channels_last:
        network.to(memory_format=torch.channels_last)
    return network


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
    shown = network.preprocessing.resized(validation[0].image)
    twin = copy.deepcopy(network).to("meta").eval()  # where nothing is computed
    with torch.no_grad():
        for size in (tuple(settings.augmentation.crop), tuple(shown.shape[-2:])):
            twin.coarse_logits(torch.zeros(1, shown.shape[1], *size, device="meta"))


def build_objective(settings: Settings, network: SegmentationModel, classes: ClassScheme) -> Objective:
    """Build what the recipe minimises.

    Raises:
        UserError: The loss does not fit the classes, or the objective needs images that the recipe does not name.
    """
    objective = OBJECTIVES[settings.objective.name]
    if objective.needs_unlabelled and settings.data.unlabelled_split is None:
        raise UserError(f"{settings.objective.name} needs images without labels: set data.unlabelled_split")
    return objective(network, settings.loss.build(classes)).to(next(network.parameters()).device)


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
        optimizer = create_optimizer_v2(
            network,
            opt=options.name,
            lr=options.lr,
            weight_decay=options.weight_decay,
            layer_decay=options.layer_decay,
        )
    own = nn.ParameterList(objective.own_parameters())
    for group in param_groups_weight_decay(own, options.weight_decay):
        if group["params"]:
            optimizer.add_param_group({**group, "lr": options.lr})
    return optimizer


def _pair(values: list | None) -> tuple | None:
    return None if values is None else (values[0], values[1])


@contextmanager
def _naming(settings: str, what: str) -> Iterator[None]:
    """Name the settings if timm or a data set refuses its arguments."""
    try:
        yield
    except UserError:
        raise
    except (TypeError, ValueError, AssertionError, ImportError) as error:
        raise UserError(f"{settings} do not fit {what}: {one_line(error)}") from error
