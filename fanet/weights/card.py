"""Model cards: what a repository on the Hub says about a model."""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub import EvalResult, ModelCardData

from fanet.classes import ClassScheme
from fanet.errors import UserError
from fanet.weights.failures import one_line
from fanet.weights.train_script import top1, training_facts

if TYPE_CHECKING:
    from fanet.conversion import Report

CARD_NAME = "README.md"
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
    """The text of a card for a segmentation model: header, snippet, results, data set, licence.

    Args:
        repo_id: Where it will stand.
        config: The model's configuration.
        classes: What it tells apart.
        metrics: A `metrics.json`, or the folder with it; the card has no results without one.
        dataset: The data set of training and results.
        license: The licence of the weights.

    Raises:
        UserError: the metrics cannot be read.
    """
    results = read_metrics(metrics) if metrics is not None else {}
    scores = {key: results[key] for key in METRICS if _is_number(results.get(key))}
    header = ModelCardData(
        library_name="fanet",
        pipeline_tag="image-segmentation",
        license=license,
        tags=["semantic-segmentation", "fanet", "upernet"],
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
        f"Semantic segmentation: UperNet with the backbone `{config['backbone']}`, {len(classes)} classes "
        f"({', '.join(classes.names)}), made with the library fanet ([paper]({PAPER})).",
        "## Use",
        _snippet(repo_id),
        *_results(scores, results.get("iou"), dataset),
        "## Data and licence",
        f"- Trained on: {dataset or 'not stated'}\n- Licence of the weights: {license or 'not stated'}",
    ]
    return f"---\n{header.to_yaml()}\n---\n\n" + "\n\n".join(parts) + "\n"


def classifier_card(
    name: str, report: "Report", checkpoint: Mapping[str, Any], dataset: str | None = None, license: str | None = None
) -> str:
    """The text of a card for a classifier: header, snippets, result, training, licence.

    Args:
        name: The repository on the Hub, or the folder.
        report: What the conversion did.
        checkpoint: What the source held; from train.py's come the accuracy and the settings.
        dataset: What it was trained on.
        license: The licence of the weights.
    """
    accuracy, facts = top1(checkpoint), training_facts(checkpoint)
    title = name.rstrip("/").split("/")[-1]
    place = f"local-dir:{name}" if Path(name).is_dir() else f"hf-hub:{name}"
    result = EvalResult(
        task_type="image-classification",
        dataset_type="image-classification",
        dataset_name=dataset or "not stated",
        metric_type="accuracy",
        metric_name="top-1 (%)",
        metric_value=round(accuracy or 0.0, 2),
    )
    header = ModelCardData(
        library_name="fanet",
        pipeline_tag="image-classification",
        license=license,
        tags=["image-classification", "timm", "fanet"],
        model_name=title,
        eval_results=[result] if accuracy is not None else None,
    )
    parts = [
        f"# {title}",
        f"`{report.model}`, {report.parameters / 1e6:.2f} M parameters: a FANet ([paper]({PAPER})) for timm. "
        "`import fanet` registers the model.",
        "## Use",
        "```python\nimport timm, fanet\n\n"
        f'model = timm.create_model("{place}", pretrained=True)  # a classifier\n'
        f'body = timm.create_model("{place}", pretrained=True, features_only=True)  # four feature maps\n```',
    ]
    if accuracy is not None:
        parts += ["## Result", f"Top-1 {accuracy:.2f} % on {dataset or 'the evaluation set of the training'}."]
    if facts:
        rows = "\n".join(f"| {key.replace('_', ' ')} | {value} |" for key, value in facts.items())
        parts += ["## Training", f"By timm's train.py:\n\n| setting | value |\n| --- | --- |\n{rows}"]
    parts += [
        "## Data and licence",
        f"- Trained on: {dataset or 'not stated'}\n- Licence of the weights: {license or 'not stated'}",
    ]
    return f"---\n{header.to_yaml()}\n---\n\n" + "\n\n".join(parts) + "\n"


def backbone_card(dataset: str | None = None, license: str | None = None) -> dict[str, Any]:
    """The `model_card` for `timm.models.push_to_hf_hub` of a FANet backbone."""
    details = {"Paper": PAPER, "Dataset": dataset} if dataset else {"Paper": PAPER}
    return dict(
        library_name="fanet",
        tags=["image-classification", "timm", "fanet"],
        license=license or "other",
        description="A FANet backbone for timm. Importing `fanet` registers the model.",
        details=details,
        usage='```python\nimport timm, fanet\n\nmodel = timm.create_model("hf-hub:ORG/NAME", pretrained=True)\n```',
    )


def read_metrics(path: str | Path) -> dict[str, Any]:
    """What `fanet evaluate` wrote, from the file or the folder that holds it.

    Raises:
        UserError: there is no such file, or it is not JSON.
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


def _snippet(repo_id: str) -> str:
    return (
        "```python\n"
        "from fanet.segmentation import UperNet\n\n"
        f'net = UperNet.from_pretrained("{repo_id}")\n'
        'labels = net.predict("image.jpg")  # (H, W) uint8, the class of every pixel\n'
        "```"
    )


def _results(scores: Mapping[str, float], iou: Any, dataset: str | None) -> list[str]:
    """The section with the tables; nothing where there are no scores."""
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
