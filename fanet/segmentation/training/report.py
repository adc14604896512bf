"""The page of a run: curves, scores, images, crops, labels, recipe and environment, written at every evaluation."""

import time
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from fanet.errors import UserError
from fanet.segmentation.data.stream import TrainSamples
from fanet.segmentation.evaluation.metrics import ImageCounts
from fanet.segmentation.evaluation.report.curves import curve
from fanet.segmentation.evaluation.report.images import figure, tinted_figure
from fanet.segmentation.evaluation.report.labels import LabelCounts, label_table
from fanet.segmentation.evaluation.report.page import Html, folded, paragraph, row, section, write_page
from fanet.segmentation.evaluation.report.split import REPORT_NAME, example_section, score_sections
from fanet.segmentation.prediction.predictor import Predictor
from fanet.segmentation.training.run import Run
from fanet.segmentation.training.run_folder import ENVIRONMENT, RECIPE, RunFolder

_CROPS = 6
_CURVES = {"loss": "loss", "miou": "mIoU, %", "lr": "learning rate"}  # of the columns of log.csv
_PART = "loss_"  # begins the name of a column for a part of the loss


class RunReport:
    """Writes `report.html` to the folder of a run; what does not change is computed once.

    Args:
        run: The run.
        folder: Its folder, with recipe and environment in it.
    """

    def __init__(self, run: Run, folder: RunFolder) -> None:
        self.run, self.folder = run, folder

    def write(self, predictor: Predictor, counts: ImageCounts) -> None:
        """Write the page after an evaluation.

        Args:
            predictor: What was evaluated.
            counts: Those of the evaluation, whose row is the last of the run's history.

        Raises:
            UserError: An image cannot be read, or the file cannot be written.
        """
        run, history = self.run, self.run.progress.history
        best = max(history, key=lambda entry: entry["miou"])
        of_best = [best[f"iou_{name}"] for name in run.classes.names]
        earlier = {f"IoU, best (iteration {best['iteration']})": of_best}
        sections = [
            self._curves(),
            *score_sections(counts, run.classes, earlier),
            example_section(predictor, run.validation, counts, run.classes),
            self._crops,
            self._labels(counts),
            self._settings(),
        ]
        last = history[-1]
        summary = (
            f"Iteration {last['iteration']} of {run.settings.train.iterations}: mIoU {last['miou']:.2f} %, best "
            f"{best['miou']:.2f} % at iteration {best['iteration']}. {last['seconds'] / 60:.1f} minutes of training; "
            f"written {time.strftime('%Y-%m-%d %H:%M:%S')}."
        )
        write_page(self.folder.path / REPORT_NAME, f"Training run {self.folder.path.resolve().name}", summary, sections)

    def _curves(self) -> Html:
        history = self.run.progress.history
        steps = [int(entry["iteration"]) for entry in history]
        titles = _CURVES | {key: f"loss: {key[len(_PART) :]}" for key in history[0] if key.startswith(_PART)}
        curves = [curve(title, steps, [entry[key] for entry in history]) for key, title in titles.items()]
        return section(
            "Curves", row(curves, large=True), paragraph("At each evaluation; the loss is the mean since the last one.")
        )

    @cached_property
    def _crops(self) -> Html:
        """The first crops of the run, as the network was shown them."""
        samples, classes = self.run.samples[0], self.run.classes
        figures = []
        for number in range(_CROPS):
            item = samples[number]
            if isinstance(item, UserError):  # the step that needs the sample reports it
                continue
            image, labels = denormalised(samples, item[0]), item[1].numpy().astype(np.uint8)
            figures.append(figure(image, f"crop {number + 1}", f"Training crop {number + 1}"))
            figures.append(
                tinted_figure(image, labels, classes, "with its labels", f"Training crop {number + 1} with its labels")
            )
        note = paragraph("The first crops of the run, after augmentation; grey at the right or the bottom is padding.")
        return section("What the network is shown", row(figures), note)

    @cached_property
    def _training_labels(self) -> LabelCounts:
        return LabelCounts.sampled(self.run.samples[0].dataset)

    def _labels(self, counts: ImageCounts) -> Html:
        data = self.run.settings.data
        splits = {
            data.train_split: self._training_labels,
            f"{data.val_split} (validation)": LabelCounts.of_images(counts),
        }
        return section("Labels", label_table(splits, self.run.classes))

    def _settings(self) -> Html:
        parts = []
        for title, name in (("Recipe", RECIPE), ("Environment", ENVIRONMENT)):
            path: Path = self.folder.path / name
            if path.is_file():
                parts.append(folded(title, path.read_text(encoding="utf-8")))
        return section("Recipe and environment", *parts)


def denormalised(samples: TrainSamples, image: torch.Tensor) -> np.ndarray:
    """(C, h, w) float32 as the network is shown it -> (h, w, C) uint8 to look at"""
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in (samples.transform.mean, samples.transform.std))
    return (255 * (image * std + mean)).round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
