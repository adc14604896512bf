"""Layers that decoders share, under MMSegmentation's parameter names."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from fanet.segmentation.network.resized import conv_of_resized


class AdaptiveAvgPool(nn.AdaptiveAvgPool2d):
    """Adaptive average pooling that is exported for every size: (B, C, H, W) -> (B, C, side, side)

    Exporters unroll `nn.AdaptiveAvgPool2d` into slices for the size at hand, which fail at others or are wrong there.
    As products with matrices of weights it is the same up to rounding, at any size.
    """

    def __init__(self, side: int) -> None:
        super().__init__(side)
        self.side = side

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not torch.jit.is_scripting():
            if torch.compiler.is_exporting():
                rows, columns = (self._weights(size, x) for size in x.shape[-2:])
                return rows @ x @ columns.T
        return F.adaptive_avg_pool2d(x, self.output_size)

    def _weights(self, size: int, x: torch.Tensor) -> torch.Tensor:
        """Return what each of `size` pixels adds to each bin, (side, size); bins overlap if they do not divide it."""
        pixel = torch.arange(size, device=x.device)
        bin_ = torch.arange(self.side, device=x.device)[:, None]
        first, end = bin_ * size // self.side, ((bin_ + 1) * size + self.side - 1) // self.side
        return ((pixel >= first) & (pixel < end)).to(x.dtype) / (end - first).to(x.dtype)


class BatchNorm(nn.BatchNorm2d):
    """Batch norm that also trains if a channel holds one or two values: batch size 1 or 2, pooled to 1x1.

    One value has no variance, so `nn.BatchNorm2d` raises. Two become -1 and 1, whatever they are, and the gradient is
    0, or very large if they happen to be nearly equal. Here they are normalised with the running statistics, as in
    evaluation, which stay unchanged; scale and shift are trained as usual.

    It stays in float32 if the model becomes float16, as its statistics outgrow that type.
    """

    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> "BatchNorm":
        def convert(tensor: torch.Tensor) -> torch.Tensor:
            converted = fn(tensor)
            return tensor.to(converted.device) if converted.dtype == torch.float16 else converted

        return super()._apply(convert, recurse)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        uses_batch = self.training and x.shape[0] * x.shape[2] * x.shape[3] > 2
        if uses_batch and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        mean, variance, weight, bias = self.running_mean, self.running_var, self.weight, self.bias
        return F.batch_norm(x, mean, variance, weight, bias, uses_batch, self.momentum or 0.0, self.eps)


class ConvBnRelu(nn.Module):
    """Convolution without bias, batch norm, ReLU: (B, C_in, H, W) -> (B, C_out, H, W)"""

    def __init__(self, in_chs: int, out_chs: int, kernel_size: int, dilation: int = 1) -> None:
        super().__init__()
        padding = dilation * (kernel_size // 2)
        self.conv = nn.Conv2d(in_chs, out_chs, kernel_size, padding=padding, dilation=dilation, bias=False)
        self.bn = BatchNorm(out_chs)
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return F.relu(self.bn(self.conv(x)), inplace=True)

    def of_resized(self, maps: list[torch.Tensor]) -> torch.Tensor:
        """Apply it to maps as if they were resized to the size of the first and concatenated: [(B, C_i, h_i, w_i)]."""
        return F.relu(self.bn(conv_of_resized(self.conv.weight, maps)), inplace=True)


def classifier(in_chs: int, num_classes: int) -> nn.Conv2d:
    """Build the 1x1 convolution to class logits; its weights start near zero (std 0.01, as in MMSegmentation)."""
    conv = nn.Conv2d(in_chs, num_classes, 1)
    nn.init.normal_(conv.weight, std=0.01)
    nn.init.zeros_(conv.get_parameter("bias"))
    return conv


class AuxiliaryHead(nn.Module):
    """A plain head on one feature map, for a second loss in training: (B, C, h, w) -> (B, num_classes, h, w)

    MMSegmentation's FCNHead with one convolution.
    """

    def __init__(self, in_chs: int, num_classes: int, channels: int, dropout: float) -> None:
        super().__init__()
        self.convs = nn.ModuleList([ConvBnRelu(in_chs, channels, 3)])
        self.dropout = nn.Dropout2d(float(dropout))  # TorchScript takes no int here
        self.conv_seg = classifier(channels, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv_seg(self.dropout(self.convs[0](x)))
