"""An objective that uses all that an objective may have."""

import torch
from torch import nn

from fanet.segmentation.training.objectives import Objective


class Toy(Objective):
    """Supervision, a matrix that is pulled to 1, and a scale that follows how sure the network is without labels."""

    needs_unlabelled = True

    def __init__(self, network, loss):
        super().__init__(network, loss)
        self.target = nn.Parameter(torch.zeros(3, 4))
        self.scale = nn.Parameter(torch.zeros(1))
        self.register_buffer("seen", torch.zeros(3))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def forward(self, images, labels, unlabelled=None):
        main, auxiliary = self.network(images)
        sure = self.network(unlabelled)[0].softmax(1).amax(1).mean()
        self.seen += unlabelled.mean((0, 2, 3))
        return (
            self.loss(main, auxiliary, labels) + (self.target - 1).square().mean() + (self.scale - sure).square().sum()
        )

    def after_step(self, iteration):
        self.steps.fill_(iteration)
