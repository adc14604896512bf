"""What training minimises."""

import torch
import torch.nn.functional as F


def segmentation_loss(
    main: torch.Tensor,
    auxiliary: torch.Tensor | None,
    target: torch.Tensor,
    aux_weight: float = 0.4,
    ignore_index: int = 255,
) -> torch.Tensor:
    """Cross-entropy of the main logits plus `aux_weight` times that of the auxiliary logits, a scalar.

    Args:
        main: logits, (B, num_classes, H, W).
        auxiliary: logits of the auxiliary head, same shape, or None for a network without one.
        target: class indices or `ignore_index`, (B, H, W), int64.
        aux_weight: 0.4 is the usual weight since PSPNet (Zhao et al., CVPR 2017, section 4).
        ignore_index: pixels with this label do not count; where all pixels have it, the loss is 0.
    """
    counted = (target != ignore_index).sum().clamp(min=1)

    def per_pixel(logits: torch.Tensor) -> torch.Tensor:
        # Summed and divided here, because reduction="mean" is nan for a batch without a counted pixel.
        return F.cross_entropy(logits.float(), target, ignore_index=ignore_index, reduction="sum") / counted

    loss = per_pixel(main)
    return loss if auxiliary is None else loss + aux_weight * per_pixel(auxiliary)
