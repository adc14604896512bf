"""Learning from labels alone."""

import torch

from fanet.segmentation.training.objectives.base import Objective


class Supervised(Objective):
    """The loss of the network's logits, the auxiliary head's included, against the labels."""

    def forward(
        self, images: torch.Tensor, labels: torch.Tensor, unlabelled: torch.Tensor | None = None
    ) -> torch.Tensor:
        main, auxiliary = self.network(images)
        return self.loss(main, auxiliary, labels)
