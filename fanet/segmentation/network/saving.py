"""How a segmentation model is saved, loaded from any layout, and shared."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from fanet.classes import ClassScheme
from fanet.errors import UserError, one_line
from fanet.files import atomic_path, make_folder
from fanet.segmentation.network.backbones import kwargs_of_file
from fanet.segmentation.network.card import segmentation_card
from fanet.segmentation.network.checkpoints import describe_checkpoint, is_run_checkpoint, segmentation_state_dict
from fanet.segmentation.network.decoders import decoder_class
from fanet.segmentation.prediction.thresholds import THRESHOLDS, PurityThresholds
from fanet.segmentation.preprocessing import Preprocessing
from fanet.weights.failures import WeightsError
from fanet.weights.hub import CARD_NAME, Repository, upload_folder
from fanet.weights.loading import load_checkpoint
from fanet.weights.sources import CONFIG_NAME, WEIGHTS_NAME, Folder, Source, find_checkpoint

# What the constructor takes and config.json repeats.
ARGUMENTS = (
    "backbone",
    "num_classes",
    "decoder",
    "head_channels",
    "decoder_kwargs",
    "aux_channels",
    "dropout",
    "backbone_kwargs",
)
OF_CLASSES = ("classes", "palette", "ignore_index")
PURPOSE = "a segmentation model"
BEST, FINAL = "best", "final"  # folders with models, in the folder of a training run
HUB_ID = re.compile(r"\w[\w.-]*/\w[\w.-]*")

ModelT = TypeVar("ModelT", bound="PretrainedModel")


class PretrainedModel(nn.Module):
    """Saving, loading and sharing of a segmentation model."""

    # TorchScript knows only plain types
    __jit_ignored_attributes__ = ("config", "classes", "preprocessing", "thresholds")

    config: dict[str, Any]
    classes: ClassScheme
    preprocessing: Preprocessing
    thresholds: PurityThresholds | None

    def save_pretrained(self, folder: str | Path, dtype: torch.dtype | None = None) -> None:
        """Write `config.json` (network, classes, palette, preprocessing, thresholds) and `model.safetensors`.

        Args:
            folder: Where to write them; created if missing.
            dtype: Store parameters in this floating-point type, `torch.float16` for half the size, and the statistics
                of batch norm, which may exceed its range, in float32. By default all as they are.

        Raises:
            UserError: The folder cannot be made or written to, or a value is not finite or exceeds the range of
                `dtype`; then nothing is written.
        """
        tensors = _stored(self, dtype)
        folder = make_folder(folder)
        with atomic_path(folder / WEIGHTS_NAME) as path:
            save_file(tensors, path, metadata={"format": "pt"})
        config = self.config | {
            "library_name": "fanet",
            "classes": list(self.classes.names),
            "palette": [list(colour) for colour in self.classes.palette],
            "ignore_index": self.classes.ignore_index,
            "preprocessing": self.preprocessing.to_dict(),
        }
        if self.thresholds is not None:
            config[THRESHOLDS] = self.thresholds.to_dict()
        with atomic_path(folder / CONFIG_NAME) as path:
            path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def from_pretrained(
        cls: type[ModelT],
        name: str | Path,
        revision: str | None = None,
        cache_dir: str | Path | None = None,
        token: str | bool | None = None,
        local_files_only: bool = False,
    ) -> ModelT:
        """Load a trained model; in evaluation mode, float32.

        Args:
            name: A folder that `save_pretrained` wrote; or a checkpoint file with a FANet, this project's or
                MMSegmentation's; or a folder with such a file; or the Hub id `ORG/NAME` of a repository with either.
            revision: Branch, tag or commit on the Hub.
            cache_dir: The Hub cache to use instead of the usual one.
            token: For private repositories; the stored one by default.
            local_files_only: Use only the Hub cache, and make no request.

        Raises:
            UserError: It is missing, broken or not a segmentation model, or the Hub refuses it.
        """
        path = Path(name).expanduser()
        if path.is_dir():
            if not (path / CONFIG_NAME).is_file() and (models := _models_of_run(path)):
                raise UserError(f"{path} is the folder of a training run: choose {models}")
            return cls._from_source(Folder(path)).eval()
        if path.is_file():
            return cls._from_file(path).eval()
        if not HUB_ID.fullmatch(str(name)) or path.suffix in (".pth", ".pt", ".tar", ".safetensors"):
            raise UserError(f"{name}: no such folder or file; give a model's folder or file, or a Hub id ORG/NAME")
        repository = Repository(str(name), str(name), revision, cache_dir, token, local_files_only)
        try:
            return cls._from_source(repository).eval()
        except WeightsError:
            raise
        except UserError as error:  # about a file, without the repository's name
            raise repository.failure(str(error)) from error

    @classmethod
    def from_config(cls: type[ModelT], config: Mapping[str, Any]) -> ModelT:
        """Build the untrained network that a `config.json` describes, without reading or fetching any file.

        Raises:
            KeyError, TypeError, ValueError: An entry is missing or invalid.
        """
        palette = tuple((red, green, blue) for red, green, blue in config["palette"])
        arguments = cls.arguments(config)
        backbone_kwargs = kwargs_of_file(arguments["backbone"], arguments["backbone_kwargs"] or {})
        net = cls(
            **arguments | {"backbone_kwargs": backbone_kwargs},
            classes=ClassScheme(tuple(config["classes"]), palette, config["ignore_index"]),
            preprocessing=Preprocessing.from_dict(config["preprocessing"]),
        )
        if config.get(THRESHOLDS) is not None:
            net.thresholds = PurityThresholds.from_dict(config[THRESHOLDS], len(net.classes))
        return net

    @classmethod
    def arguments(cls, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return the constructor's arguments that a config.json holds; without `decoder` it is a UperNet's.

        Raises:
            UserError: Arguments are missing, or no decoder of that name is registered.
        """
        of_decoder: dict[str, Any] = {"decoder": "upernet"} if "decoder" not in config else {}
        if of_decoder and "pool_scales" in config:  # the layout from before there were other decoders
            of_decoder["decoder_kwargs"] = {"pool_scales": config["pool_scales"]}
        given = {**of_decoder, **config}
        if missing := [key for key in ARGUMENTS if key not in given]:
            raise UserError(f"lacks {', '.join(missing)}; save the model again with save_pretrained")
        decoder_class(given["decoder"])
        return {key: given[key] for key in ARGUMENTS}

    def push_to_hub(
        self,
        repo_id: str,
        private: bool = False,
        token: str | bool | None = None,
        revision: str | None = None,
        commit_message: str = "Upload model",
        metrics: str | Path | None = None,
        dataset: str | None = None,
        license: str | None = None,
    ) -> str:
        """Upload the model to a repository on the Hub, with a generated model card unless the repository has one.

        Args:
            repo_id: `ORG/NAME`; created if it does not exist.
            private: Create it as a private repository.
            token: A token with write access; the stored one by default.
            revision: The branch to write to.
            commit_message: What the commit says.
            metrics: `metrics.json` of `fanet evaluate`, or the folder with it, for the card.
            dataset: The data set that it was trained on, for the card.
            license: The weights' licence, for the card, as the Hub spells it: "apache-2.0", "cc-by-nc-4.0".

        Returns:
            The address of the commit.

        Raises:
            UserError: The metrics cannot be read, or the Hub refuses.
        """
        card = segmentation_card(repo_id, self.config, self.classes, metrics, dataset, license)
        with TemporaryDirectory() as folder:
            self.save_pretrained(folder)
            (Path(folder) / CARD_NAME).write_text(card, encoding="utf-8")
            return upload_folder(folder, repo_id, private, token, revision, commit_message)

    @classmethod
    def _from_source(cls: type[ModelT], source: Source) -> ModelT:
        """Load from a folder or a repository: as its config.json says, or else from a checkpoint that is recognised."""
        if CONFIG_NAME not in source.files:
            return find_checkpoint(source, PURPOSE, cls._from_checkpoint)[1]
        path = source.fetch(CONFIG_NAME)
        config = _read_config(path)
        if "architecture" in config:  # timm's entry, in the config.json of a backbone
            raise source.failure("it holds a backbone, not a segmentation model: load it with timm.create_model")
        if WEIGHTS_NAME not in source.files:
            raise source.failure(f"{WEIGHTS_NAME} is missing: a model consists of {CONFIG_NAME} and {WEIGHTS_NAME}")
        weights = source.fetch(WEIGHTS_NAME)
        net = cls._from_config_file(path, config)
        try:
            tensors = load_checkpoint(weights)
        except WeightsError as error:
            source.discard(weights)
            raise source.failure(str(error)) from error
        _fill(net, tensors, weights)
        return net

    @classmethod
    def _from_file(cls: type[ModelT], path: Path) -> ModelT:
        """Load from a checkpoint file; a config.json next to a safetensors file belongs to it."""
        checkpoint = load_checkpoint(path)
        config_path = path.with_name(CONFIG_NAME)
        if path.suffix == ".safetensors" and config_path.is_file():
            config = _read_config(config_path)
            if "architecture" not in config:
                net = cls._from_config_file(config_path, config)
                _fill(net, checkpoint, path)
                return net
        try:
            return cls._from_checkpoint(checkpoint)
        except WeightsError as error:
            raise WeightsError(f"{path}: {error}") from error

    @classmethod
    def _from_config_file(cls: type[ModelT], path: Path, config: Mapping[str, Any]) -> ModelT:
        try:
            if missing := [key for key in (*OF_CLASSES, "preprocessing") if key not in config]:
                raise UserError(f"lacks {', '.join(missing)}; save the model again with save_pretrained")
            cls.arguments(config)
        except UserError as error:
            raise UserError(f"{path}: {error}") from error
        try:
            return cls.from_config(config)
        except (TypeError, ValueError, KeyError, AttributeError, RuntimeError) as error:
            raise UserError(f"{path}: does not describe a model ({one_line(error)}); save the model again") from error

    @classmethod
    def _from_checkpoint(cls: type[ModelT], checkpoint: Mapping[str, Any]) -> ModelT:
        """Build the model from a file's contents, if names and shapes are those of a UperNet with a FANet."""
        if is_run_checkpoint(checkpoint):  # classes and preprocessing are not in it
            raise WeightsError(
                f"it is the checkpoint of a training run, not a model: choose {BEST} or {FINAL} in the same folder"
            )
        description = describe_checkpoint(checkpoint)
        options = {key: description[key] for key in ("classes", "preprocessing")}
        net = cls(**cls.arguments(description), **options)
        _load(net, segmentation_state_dict(checkpoint))
        return net


def _stored(net: nn.Module, dtype: torch.dtype | None) -> dict[str, Tensor]:
    """Return the tensors to save; if `dtype` is given, parameters in that type and buffers in float32.

    Raises:
        UserError: The type is not a floating-point one, or a value is not finite, before or after rounding.
    """
    if dtype is not None and not dtype.is_floating_point:
        raise UserError(f"dtype must be a floating-point type such as torch.float16, got {dtype}")
    parameters = {name for name, _ in net.named_parameters(remove_duplicate=False)}
    tensors: dict[str, Tensor] = {}
    memory = set()
    for name, tensor in net.state_dict().items():
        if not tensor.isfinite().all():
            raise UserError(f"{name} has values that are not finite: not saved; use an earlier checkpoint")
        if dtype is not None and tensor.is_floating_point():
            tensor = tensor.to(dtype if name in parameters else torch.float32)
            if not tensor.isfinite().all():
                raise UserError(
                    f"{name} has values too large for {dtype}: not saved; choose a dtype with a wider range"
                )
        tensor = tensor.contiguous()
        if tensor.untyped_storage().data_ptr() in memory:
            tensor = tensor.clone()  # of layers that share parameters, as in CoaT: safetensors stores no shared memory
        memory.add(tensor.untyped_storage().data_ptr())
        tensors[name] = tensor
    return tensors


def _models_of_run(folder: Path) -> str:
    """Return the models in the folder of a training run, in words; empty if there are none."""
    return " or ".join(str(folder / name) for name in (BEST, FINAL) if (folder / name / CONFIG_NAME).is_file())


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not readable as JSON ({one_line(error)}); save the model again") from None
    if not isinstance(config, dict):
        raise UserError(f"{path}: not the configuration of a model; save the model again")
    return config


def _fill(net: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    try:
        _load(net, tensors)
    except WeightsError as error:
        raise UserError(f"{path}: the weights do not fit {CONFIG_NAME}: {error}") from error


def _load(net: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Load tensors under exactly the network's names; they are cast to its types."""
    try:
        net.load_state_dict(tensors)
    except RuntimeError as error:
        raise WeightsError(one_line(error, 200)) from error
