"""How `timm.create_model(…, pretrained=True)` gets weights from wherever its configuration points.

timm adapts head and input channels; this module finds, opens and checks the file, and words what goes wrong.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from timm.models import PretrainedCfg, resolve_pretrained_cfg
from torch import Tensor, nn
from torch.hub import download_url_to_file, get_dir

from fanet.errors import one_line
from fanet.weights.failures import WeightsError
from fanet.weights.fitting import fit_backbone, fit_published
from fanet.weights.hub import Repository
from fanet.weights.loading import load_checkpoint
from fanet.weights.sources import Folder, find_checkpoint

# timm asks the filter function for the tensors: so the file is read after the network is built.
_LATER = {"read by": "the filter function"}

_WAYS_OUT = (
    "or start without them: pretrained=False, in a recipe model.pretrained_backbone=false, for timm's scripts without "
    "--pretrained; or from a file: pretrained_cfg_overlay=dict(file=PATH), model.backbone_weights=PATH, "
    "--pretrained-path PATH"
)

ModelT = TypeVar("ModelT", bound=nn.Module)


def build_pretrained(
    build: Callable[..., ModelT],
    variant: str,
    pretrained_cfg: Any = None,
    pretrained_cfg_overlay: dict[str, Any] | None = None,
    cache_dir: str | Path | None = None,
    **kwargs: Any,
) -> ModelT:
    """Build a network through timm and fill it with the weights that its configuration names.

    Args:
        build: timm's `build_model_with_cfg`, which gets all arguments but these.
        variant: Name of the model.
        pretrained_cfg: As timm passes it.
        pretrained_cfg_overlay: As timm passes it.
        cache_dir: As timm passes it.
        **kwargs: Arguments of the network, and timm's.

    Raises:
        WeightsError: there are no weights, they cannot be had, or they do not fit.
    """
    overlay = pretrained_cfg_overlay or {}
    if any(overlay.get(key) for key in ("state_dict", "hf_hub_id", "url")):
        overlay = {"file": None, **overlay}  # the file inside the package would come first
    cfg = resolve_pretrained_cfg(variant, pretrained_cfg, overlay)
    if not any((cfg.state_dict, cfg.file, cfg.hf_hub_id, cfg.url)):
        raise WeightsError(
            f"{variant} has no published weights: pass pretrained=False, take fanet_base, which has those of "
            "ImageNet-1k, or fanet_pico, which has those of Tiny-ImageNet inside the package, or for segmentation "
            "fanet.segmentation.load_model(), a trained model with fanet_pico inside"
        )
    repository = _repository(cfg, variant, cache_dir) if _is_on_hub(cfg) else None
    if repository is not None:
        try:
            repository.files  # noqa: B018  # without a connection this fails before a network is built
        except WeightsError as error:
            raise WeightsError(f"{error}; {_WAYS_OUT}") from error
    lacks_head = bool(kwargs.get("features_only")) or kwargs.get("num_classes") == 0

    def read(_: Mapping[str, Any], model: nn.Module) -> dict[str, Tensor]:
        described: Any = model.pretrained_cfg  # what timm shows of the model: where the weights come from, not how
        described.clear()
        described.update(replace(cfg, state_dict=None).to_dict())
        tensors = _read(cfg, variant, model, repository, cache_dir, warn=not lacks_head)
        return {name: tensor.float() for name, tensor in tensors.items()}  # timm would adapt the stem in float16

    try:
        return build(
            pretrained_cfg=replace(cfg, source="", state_dict=_LATER),
            pretrained_filter_fn=read,
            cache_dir=cache_dir,
            **kwargs,
        )
    except WeightsError:
        raise
    except RuntimeError as error:  # torch's and timm's words for weights that do not fit
        raise WeightsError(
            f"cannot load {variant} from {_place(cfg)}: {one_line(error)}; check the variant, num_classes and in_chans"
        ) from error


def _is_on_hub(cfg: PretrainedCfg) -> bool:
    return cfg.source == "hf-hub" or (
        cfg.source != "local-dir" and not cfg.state_dict and not cfg.file and bool(cfg.hf_hub_id)
    )


def _read(
    cfg: PretrainedCfg,
    variant: str,
    model: nn.Module,
    repository: Repository | None,
    cache_dir: str | Path | None,
    warn: bool,
) -> dict[str, Tensor]:
    """The tensors for a network, from the place that timm would take them from."""

    def fit(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
        return fit_backbone(checkpoint, model, warn)

    def fit_exactly(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
        return fit_published(checkpoint, model, cfg.num_classes, cfg.input_size[0])

    if cfg.source == "local-dir":
        return find_checkpoint(Folder(str(cfg.file)), variant, fit)[1]
    if repository is not None and cfg.source == "hf-hub":
        return find_checkpoint(repository, variant, fit)[1]
    if repository is not None:
        return find_checkpoint(repository, f"{variant}.{cfg.tag or ''}", fit_exactly)[1]
    try:
        if cfg.state_dict:
            return fit(cfg.state_dict)
        return fit(load_checkpoint(cfg.file or _download(str(cfg.url), cache_dir)))
    except (WeightsError, OSError) as error:
        raise WeightsError(f"cannot load {variant} from {_place(cfg)}: {one_line(error)}") from error


def _repository(cfg: PretrainedCfg, variant: str, cache_dir: str | Path | None) -> Repository:
    repo_id, _, revision = str(cfg.hf_hub_id).partition("@")
    return Repository(variant, repo_id, revision or None, cache_dir, filename=cfg.hf_hub_filename or None)


def _download(url: str, cache_dir: str | Path | None) -> Path:
    """The file at an address, kept where timm keeps such files."""
    target = Path(cache_dir or Path(get_dir()) / "checkpoints") / url.rsplit("/", 1)[-1]
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        download_url_to_file(url, str(target))
    return target


def _place(cfg: PretrainedCfg) -> str:
    if cfg.source in ("hf-hub", "local-dir"):
        return str(cfg.hf_hub_id if cfg.source == "hf-hub" else cfg.file)
    return "the given state_dict" if cfg.state_dict else str(cfg.file or cfg.hf_hub_id or cfg.url)
