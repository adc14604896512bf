"""A segmentation model: a timm backbone, a decoder on its maps, and a classifier on the decoder's embedding."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch
import torch.nn.functional as F
from torch import nn

from fanet.backbone.resize import resize_as
from fanet.classes import ZEROWASTE, ClassScheme
from fanet.errors import UserError, one_line
from fanet.segmentation.bilinear import resize_by_products
from fanet.segmentation.network import backbones
from fanet.segmentation.network.decoders import Decoder, decoder_class
from fanet.segmentation.network.decoders.upernet import POOL_SCALES
from fanet.segmentation.network.layers import AuxiliaryHead, classifier
from fanet.segmentation.network.saving import PretrainedModel
from fanet.segmentation.prediction.engines import AUTO, auto_engine, build_engine
from fanet.segmentation.prediction.predictor import Predictor
from fanet.segmentation.prediction.windows import OVERLAP
from fanet.segmentation.preprocessing import Preprocessing

MOST_CLASSES = 255  # label maps are uint8, and 255 is the ignored label


class SegmentationModel(PretrainedModel):
    """Semantic segmentation with a timm backbone, a decoder, and an auxiliary head in training.

    In evaluation (B, 3, H, W) -> (B, num_classes, H, W) for any H and W; in training a pair of such logits, from the
    decoder and from the auxiliary head (None without one). Backbones that timm builds for one size take others if they
    can (vision transformers, Swin), with images padded to a multiple of their coarsest stride.

    Attributes:
        config: The arguments that build the network again, ready for JSON.
        classes: What the labels mean.
        preprocessing: Turns an image into the network's input.
        thresholds: Probabilities below which a pixel gets the ignored label, as `fanet calibrate` finds them; None
            without any.
        multiple: The sides of an image are padded to a multiple of it.
    """

    def __init__(
        self,
        backbone: str,
        num_classes: int,
        decoder: str = "upernet",
        head_channels: int = 256,
        decoder_kwargs: Mapping[str, Any] | None = None,
        aux_channels: int = 0,
        dropout: float = 0.1,
        backbone_kwargs: Mapping[str, Any] | None = None,
        pretrained_backbone: bool = False,
        backbone_weights: str | Path | None = None,
        classes: ClassScheme | None = None,
        preprocessing: Preprocessing | None = None,
    ) -> None:
        """
        Args:
            backbone: Name of a timm model that takes `features_only=True`.
            num_classes: Number of classes, 1..255.
            decoder: Name of a registered decoder.
            head_channels: Width of the decoder.
            decoder_kwargs: Further arguments of the decoder.
            aux_channels: Width of the auxiliary head on the second to last map; 0 for none.
            dropout: Share of channels dropped before both classifiers in training.
            backbone_kwargs: Further arguments for `timm.create_model`.
            pretrained_backbone: Start from the backbone's published weights.
            backbone_weights: Start from the weights in this file instead.
            classes: Names and colours; by default ZeroWaste-f's for five classes, else numbered ones.
            preprocessing: For `predict`; by default no resizing, and the backbone's normalisation.

        Raises:
            UserError: The backbone is unknown to timm or has no or too few feature maps, there is no such decoder, it
                does not take its arguments, or there are too many classes for 8 bits.
            ValueError: There are not `num_classes` names in `classes`.
        """
        super().__init__()
        if not 1 <= num_classes <= MOST_CLASSES:
            raise UserError(
                f"num_classes must be in 1..{MOST_CLASSES}, as labels have 8 bits and 255 is for ignored pixels, "
                f"got {num_classes}"
            )
        if classes is None:
            classes = ZEROWASTE if num_classes == len(ZEROWASTE) else ClassScheme.numbered(num_classes)
        if len(classes) != num_classes:
            raise ValueError(f"num_classes is {num_classes}, but {len(classes)} classes are named")
        build_decoder: Any = decoder_class(decoder)
        decoder_kwargs = dict(decoder_kwargs or {})
        backbone_kwargs = backbones.kwargs_for_any_size(backbone, backbone_kwargs or {})
        backbone_kwargs = backbones.kwargs_for_last_maps(backbone, backbone_kwargs)
        self.backbone = backbones.create_backbone(backbone, backbone_kwargs, pretrained_backbone, backbone_weights)
        cfg: dict[str, Any] = getattr(self.backbone, "pretrained_cfg", {})
        if cfg["architecture"] != backbone.split(".")[0]:
            backbone = cfg["architecture"]  # the current name of a model that timm has renamed
        self.config = dict(
            backbone=backbone,
            num_classes=num_classes,
            decoder=decoder,
            head_channels=head_channels,
            decoder_kwargs=decoder_kwargs,
            aux_channels=aux_channels,
            dropout=dropout,
            backbone_kwargs=backbone_kwargs,
        )
        self.classes = classes
        self.thresholds = None
        self.in_chans = backbones.in_chans(backbone_kwargs)
        self.preprocessing = preprocessing or Preprocessing(
            mean=backbones.for_channels(cfg["mean"], self.in_chans),
            std=backbones.for_channels(cfg["std"], self.in_chans),
        )
        self.multiple = backbones.size_multiple(self.backbone, backbone, backbone_kwargs)
        self.has_nhwc_maps = backbones.gives_nhwc(self.backbone)
        channels = backbones.channels(self.backbone)
        if aux_channels and len(channels) < 2:
            raise UserError(
                "the auxiliary head needs a second feature map: set aux_channels to 0, or choose other out_indices"
            )
        try:
            self.decode_head: Decoder = build_decoder(
                channels, backbones.reductions(self.backbone), head_channels, **decoder_kwargs
            )
        except UserError:
            raise
        except (TypeError, ValueError, RuntimeError) as error:
            raise UserError(f"decoder_kwargs do not fit {decoder}: {one_line(error)}") from error
        self.decode_head.dropout = nn.Dropout2d(float(dropout))  # TorchScript takes no int here
        self.decode_head.conv_seg = classifier(self.decode_head.width, num_classes)
        self.auxiliary_head = AuxiliaryHead(channels[-2], num_classes, aux_channels, dropout) if aux_channels else None

    def group_matcher(self, coarse: bool = False) -> Callable[[str], float] | None:
        """Return the layer of a parameter by its name, as timm's layer-wise learning rates want it.

        The backbone's by its own layers, all else last. None if timm does not group the layers of the backbone.
        """
        config = self.config
        layers = backbones.layer_ids(self.backbone, config["backbone"], config["backbone_kwargs"], coarse)
        if layers is None:
            return None
        return lambda name: layers.get(name.removeprefix("backbone."), math.inf)

    def no_weight_decay(self) -> set[str]:
        """Return the names of parameters without weight decay, besides the one-dimensional ones, for timm's optimizers.

        They are those that timm lists for the backbone: position embeddings, class tokens.
        """
        config = self.config
        names = backbones.parameters_without_decay(self.backbone, config["backbone"], config["backbone_kwargs"])
        return {f"backbone.{name}" for name in names}

    def forward_features(self, x: torch.Tensor) -> list[torch.Tensor]:
        """(B, 3, H, W) -> the backbone's maps, NCHW, finest first"""
        features = self.backbone(x)
        assert isinstance(features, list)  # tells TorchScript, which takes some of timm's returns for unions
        if self.has_nhwc_maps:
            features = [feature.permute(0, 3, 1, 2) for feature in features]
        return features

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run `forward`, and name sizes that the backbone refuses; compilers do not trace the context manager.

        Raises:
            UserError: The backbone takes no images of this size.
        """
        if torch.compiler.is_compiling():
            return super().__call__(*args, **kwargs)
        with backbones.naming_refused_sizes(self.config["backbone"], self.multiple):
            return super().__call__(*args, **kwargs)

    def forward(self, x: torch.Tensor) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor | None]:
        height, width = x.shape[-2:]
        if self.multiple > 1:
            x = F.pad(x, (0, -width % self.multiple, 0, -height % self.multiple))
        features = self.forward_features(x)
        logits = self.decode_head(features)
        if not self.training:
            return resize_as(logits, x)[..., :height, :width]
        logits = self._resized_to_train(logits, x)[..., :height, :width]
        if self.auxiliary_head is None:
            return logits, None
        return logits, self._resized_to_train(self.auxiliary_head(features[-2]), x)[..., :height, :width]

    def _resized_to_train(self, logits: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Resize logits to an image's size, one plane a class in float32: the loss, too, is faster than otherwise."""
        logits = logits.float().contiguous()
        if not torch.jit.is_scripting():
            return resize_by_products(logits, x.shape[-2:])
        return resize_as(logits, x)

    def __prepare_scriptable__(self) -> "SegmentationModel":
        """Return the model to `torch.jit.script`, which asks for this before it compiles.

        Raises:
            UserError: TorchScript cannot compile the backbone or the decoder.
        """
        names = {
            self.config["backbone"]: self.backbone,
            f"the decoder {self.config.get('decoder', 'upernet')}": self.decode_head,
        }
        for name, part in names.items():
            try:
                torch.jit.script(part)
            except Exception as error:  # of any type, and over many lines
                raise UserError(
                    f"TorchScript cannot compile {name}: use torch.jit.trace or torch.export.export "
                    f"({one_line(error, 150)})"
                ) from error
        return self

    def coarse_logits(self, x: torch.Tensor) -> torch.Tensor:
        """Compute logits for prediction in evaluation mode, without resizing them to the image.

        (B, 3, H, W) -> (B, num_classes, h, w) at the scale of the embedding; at the image's size if it is padded

        Raises:
            UserError: The backbone takes no images of this size.
        """
        with backbones.naming_refused_sizes(self.config["backbone"], self.multiple):
            return self.decode_head(self.forward_features(x)) if self.multiple == 1 else self(x)

    def predictor(
        self,
        window: tuple[int, int] | None = None,
        overlap: float = OVERLAP,
        scales: Sequence[float] = (1.0,),
        flip: bool = False,
        engine: str = "eager",
        precision: str | None = None,
        thresholds: bool = True,
    ) -> Predictor:
        """Return a predictor that runs this model, on the model's device and in evaluation mode.

        Args:
            window: Height and width of a sliding window; by default the whole image.
            overlap: Minimum overlap of neighbouring windows, 0..0.9 of their side; logits are blended there.
            scales: Factors, 1/8..8, on the size at which the network sees the image; probabilities are averaged.
            flip: Average over the mirrored image, too.
            engine: What runs the network: a name of `fanet.segmentation.prediction.engines.ENGINES`; or `auto`, the
                fastest on the first image that gives the labels of `eager`.
            precision: `fp32`, the default, or `bf16` where the processor has it; `auto` by default tries both.
            thresholds: Whether the model's thresholds are applied, if it has any.

        Raises:
            UserError: The window or a scale is invalid, or the engine is not available.
        """
        weight = self.decode_head.conv_seg.weight
        network = CoarseLogits(self)
        return Predictor(
            auto_engine(network, precision) if engine == AUTO else build_engine(engine, network, precision or "fp32"),
            self.preprocessing,
            self.classes,
            weight.device,
            weight.dtype,
            window=window,
            overlap=overlap,
            scales=tuple(scales),
            flip=flip,
            channels=self.in_chans,
            thresholds=self.thresholds if thresholds else None,
        )

    def predict(
        self,
        image: PIL.Image.Image | np.ndarray | str | Path,
        window: tuple[int, int] | None = None,
        overlap: float = OVERLAP,
        scales: Sequence[float] = (1.0,),
        flip: bool = False,
        thresholds: bool = True,
    ) -> np.ndarray:
        """Return the class index of every pixel of an image, at the image's size: (H, W) uint8.

        The model's own preprocessing applies; a window slides over the image after resizing. The model predicts as in
        evaluation, whatever mode it is in.

        Args:
            image: A PIL image, an (H, W, 3) uint8 RGB array or a path.
            window: As for `predictor`.
            overlap: As for `predictor`.
            scales: As for `predictor`.
            flip: As for `predictor`.
            thresholds: As for `predictor`; pixels below them get `classes.ignore_index`.

        Raises:
            UserError: The image cannot be read, the window or a scale is invalid, or the backbone takes no images of
                this size.
        """
        return self.predictor(window, overlap, scales, flip, thresholds=thresholds).labels(image)

    def predict_probabilities(
        self,
        image: PIL.Image.Image | np.ndarray | str | Path,
        window: tuple[int, int] | None = None,
        overlap: float = OVERLAP,
        scales: Sequence[float] = (1.0,),
        flip: bool = False,
    ) -> np.ndarray:
        """Return the probability of every class at every pixel: (num_classes, H, W) float32, summing to 1 per pixel.

        Args and errors as for `predict`.
        """
        return self.predictor(window, overlap, scales, flip, thresholds=False).probabilities(image)


class CoarseLogits(nn.Module):
    """A segmentation model as engines run it, without the last resize: (B, 3, H, W) -> (B, num_classes, h, w)"""

    def __init__(self, model: SegmentationModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.model.coarse_logits(x)


class UperNet(SegmentationModel):
    """`SegmentationModel` with UperNet's decoder, as FANet's authors used it."""

    def __init__(
        self,
        backbone: str,
        num_classes: int,
        head_channels: int = 256,
        aux_channels: int = 256,
        pool_scales: Sequence[int] = POOL_SCALES,
        dropout: float = 0.1,
        backbone_kwargs: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> None:
        """Take the arguments of `SegmentationModel`; `pool_scales` are the sides of the pooled last map."""
        scales = list(pool_scales)
        super().__init__(
            backbone,
            num_classes,
            "upernet",
            head_channels,
            {"pool_scales": scales},
            aux_channels,
            dropout,
            backbone_kwargs,
            **options,
        )
        # this class's own arguments, in the order of earlier config.json files
        given = {**self.config, "pool_scales": scales}
        order = "backbone num_classes head_channels aux_channels pool_scales dropout backbone_kwargs"
        self.config = {key: given[key] for key in order.split()}

    @classmethod
    def arguments(cls, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return the constructor's arguments that a config.json holds.

        Raises:
            UserError: The model has another decoder.
        """
        arguments = super().arguments(config)
        decoder, decoder_kwargs = arguments.pop("decoder"), arguments.pop("decoder_kwargs")
        if decoder != "upernet":
            raise UserError(f"the model's decoder is {decoder}: load it with SegmentationModel.from_pretrained")
        return {**arguments, "pool_scales": POOL_SCALES, **decoder_kwargs}
