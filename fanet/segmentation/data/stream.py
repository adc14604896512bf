"""The stream of training samples: endless, repeatable, in random order, transformed."""

import signal
from collections.abc import Iterator

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from fanet.errors import UserError
from fanet.segmentation.data.counting import epoch_order
from fanet.segmentation.data.dataset import SegmentationDataset
from fanet.segmentation.data.transforms import TrainTransform, sample_rng

Item = tuple[torch.Tensor, torch.Tensor]


class TrainSamples(Dataset):
    """A stream of samples: number `n` is a pure function of (seed, n), so a resumed run sees the same samples.

    Every epoch shows every sample once, or as often as `repeats` says, in its own order. An item is an image (3, h, w)
    float32 and its labels (h, w) int64, or the UserError that says why it cannot be read: raised in a worker process,
    it would reach the main process as another exception, with a traceback in its text.
    """

    def __init__(
        self, dataset: SegmentationDataset, transform: TrainTransform, seed: int, repeats: np.ndarray | None = None
    ) -> None:
        self.dataset, self.transform, self.seed, self.repeats = dataset, transform, seed, repeats
        self._epoch, self._order = -1, self._order_of(0)

    def _order_of(self, epoch: int) -> np.ndarray:
        rng = np.random.default_rng([self.seed, epoch])
        return rng.permutation(len(self.dataset)) if self.repeats is None else epoch_order(self.repeats, rng)

    def __getitem__(self, number: int) -> Item | UserError:
        epoch, place = divmod(number, len(self._order))
        if epoch != self._epoch:
            self._epoch, self._order = epoch, self._order_of(epoch)
        try:
            return self.transform(self.dataset[int(self._order[place])], sample_rng(self.seed, number))
        except UserError as error:
            return error


class MicroBatches:
    """The numbers of the samples in the micro-batches of one process, from iteration `start` to `stop`.

    Iteration `i` consists of samples `i * batch_size` … `(i + 1) * batch_size - 1`, dealt in turn to `parts`
    micro-batches. Process `rank` of `processes` works on micro-batches `rank`, `rank + processes`, …, so they are the
    same for one process that accumulates gradients and for several processes.
    """

    def __init__(
        self, start: int, stop: int, batch_size: int, accumulation_steps: int, rank: int = 0, processes: int = 1
    ) -> None:
        self.iterations = range(start, stop)
        self.batch_size, self.parts = batch_size, accumulation_steps * processes
        self.mine = range(rank, self.parts, processes)

    def __len__(self) -> int:
        return len(self.iterations) * len(self.mine)

    def __iter__(self) -> Iterator[list[int]]:
        for iteration in self.iterations:
            first = iteration * self.batch_size
            for part in self.mine:
                yield list(range(first + part, first + self.batch_size, self.parts))


def train_batches(samples: TrainSamples, batches: MicroBatches, workers: int, pin_memory: bool) -> Iterator[Item]:
    """Yield micro-batches in order: images (B, 3, h, w) float32, channels-last, and labels (B, h, w) int64.

    Args:
        samples: The stream.
        batches: Its division into micro-batches.
        workers: Number of processes that read and transform ahead; 0 does it between the steps.
        pin_memory: Use pinned memory, for faster copies to a GPU.

    Raises:
        UserError: A sample cannot be read.
    """
    loader = DataLoader(
        samples,
        batch_sampler=batches,
        num_workers=workers,
        pin_memory=pin_memory,
        collate_fn=_collate,
        worker_init_fn=_ignore_interrupts,
        persistent_workers=workers > 0,
        # Without its own generator the loader would draw from torch's global one, which dropout uses.
        generator=torch.Generator().manual_seed(0),
    )
    for batch in loader:
        if isinstance(batch, UserError):
            raise batch
        yield batch


def _ignore_interrupts(worker: int) -> None:
    """Ignore Ctrl-C, which reaches all processes: the main one still needs batches until it has saved."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _collate(items: list[Item | UserError]) -> Item | UserError:
    for item in items:
        if isinstance(item, UserError):
            return item
    images, labels = zip(*items, strict=True)
    return torch.stack(images).contiguous(memory_format=torch.channels_last), torch.stack(labels)
