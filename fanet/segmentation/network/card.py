"""The model card of a segmentation model, for its repository on the Hub."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from fanet.classes import ClassScheme
from fanet.errors import UserError, one_line

METRICS_NAME = "metrics.json"
PAPER = "https://arxiv.org/abs/2407.09379"

# key in metrics.json (all in %) -> (the Hub's name for it, heading)
METRICS = {
    "miou": ("mean_iou", "mIoU"),
    "miou_no_background": ("mean_iou_no_background", "mIoU without background"),
    "pixel_accuracy": ("pixel_accuracy", "pixel accuracy"),
    "mean_accuracy": ("mean_accuracy", "mean accuracy"),
}


def segmentation_card(
    repo_id: str,
    config: Mapping[str, Any],
    classes: ClassScheme,
    metrics: str | Path | None = None,
    dataset: str | None = None,
    license: str | None = None,
) -> str:
    """Write the text of a segmentation model's card: header, snippet, results, data set, licence.

    Args:
        repo_id: The repository, `ORG/NAME`.
        config: The model's configuration.
        classes: The model's classes.
        metrics: A `metrics.json`, or the folder with it; without one the card has no results.
        dataset: The data set of training and results.
        license: The licence of the weights.

    Raises:
        UserError: The metrics cannot be read.
    """
    results = read_metrics(metrics) if metrics is not None else {}
    scores = {key: results[key] for key in METRICS if _is_number(results.get(key))}
    decoder = config.get("decoder", "upernet")
    network, loader = ("UperNet", "UperNet") if decoder == "upernet" else (f"`{decoder}`", "SegmentationModel")
    header = ModelCardData(
        library_name="fanet",
        pipeline_tag="image-segmentation",
        license=license,
        tags=["semantic-segmentation", "fanet", decoder],
        model_name=repo_id.split("/")[-1],
        eval_results=[
            EvalResult(
                task_type="image-segmentation",
                dataset_type="image-segmentation",
                dataset_name=dataset or "not stated",
                metric_type=METRICS[key][0],
                metric_name=f"{METRICS[key][1]} (%)",
                metric_value=round(value, 2),
            )
            for key, value in scores.items()
        ]
        or None,
    )
    parts = [
        f"# {repo_id.split('/')[-1]}",
        f"Semantic segmentation: {network} with the backbone `{config['backbone']}`, "
        f"{len(classes)} classes ({', '.join(classes.names)}), made with the library fanet ([paper]({PAPER})).",
        "## Use",
        _snippet(repo_id, loader),
        *_results(scores, results.get("iou"), dataset),
        "## Data and licence",
        f"- Trained on: {dataset or 'not stated'}\n- Licence of the weights: {license or 'not stated'}",
    ]
    return f"---\n{header.to_yaml()}\n---\n\n" + "\n\n".join(parts) + "\n"


def read_metrics(path: str | Path) -> dict[str, Any]:
    """Read what `fanet evaluate` wrote, from the file or its folder.

    Raises:
        UserError: There is no such file, or it is not JSON.
    """
    path = Path(path)
    path = path / METRICS_NAME if path.is_dir() else path
    try:
        metrics = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read the metrics in {path} ({one_line(error)}): run fanet evaluate again") from error
    if not isinstance(metrics, dict):
        raise UserError(f"{path} holds no metrics: run fanet evaluate again")
    return metrics


def _snippet(repo_id: str, loader: str) -> str:
    return (
        "```python\n"
        f"from fanet.segmentation import {loader}\n\n"
        f'net = {loader}.from_pretrained("{repo_id}")\n'
        'labels = net.predict("image.jpg")  # (H, W) uint8, the class of every pixel\n'
        "```"
    )


def _results(scores: Mapping[str, float], iou: Any, dataset: str | None) -> list[str]:
    """Return the section with the table; nothing if there are no scores."""
    rows = [(METRICS[key][1], value) for key, value in scores.items()]
    if isinstance(iou, Mapping):
        rows += [(f"IoU {name}", value) for name, value in iou.items() if _is_number(value)]
    if not rows:
        return []
    table = "\n".join(f"| {name} | {value:.2f} |" for name, value in rows)
    return [
        "## Results",
        f"On {dataset or 'a data set that is not stated'}, in %:",
        f"| | % |\n| --- | ---: |\n{table}",
    ]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
