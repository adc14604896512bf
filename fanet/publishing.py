"""Publish a trained model: files, model card, Hub."""

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from fanet.conversion import Report, convert
from fanet.files import atomic_path
from fanet.segmentation import SegmentationModel
from fanet.segmentation.network.card import PAPER
from fanet.weights.hub import CARD_NAME, upload_folder
from fanet.weights.loading import load_checkpoint
from fanet.weights.train_script import top1, training_facts


def publish(
    source: str | PathLike[str],
    target: str | PathLike[str],
    repo_id: str | None = None,
    private: bool = False,
    dataset: str | None = None,
    license: str | None = None,
    token: str | bool | None = None,
    float16: bool = False,
) -> tuple[Report, str | None]:
    """Convert weights, write a model card, and push both to the Hub, where an existing card is kept.

    Args:
        source: A checkpoint of timm's train.py, or anything else that `fanet.weights.convert` takes.
        target: The folder to create, with `model.safetensors`, `config.json` and, for a backbone, `README.md`.
        repo_id: The repository `ORG/NAME` to push to, created if missing; None pushes nothing.
        private: Create the repository as private.
        dataset: What the model was trained on, for the card.
        license: The weights' licence, for the card, as the Hub spells it: "apache-2.0".
        token: A token with write access; the stored one by default.
        float16: As for `convert`.

    Returns:
        The report of the conversion, and the URL of the commit on the Hub, if any.

    Raises:
        UserError: The source cannot be used, the target is not empty, or the Hub refuses.
    """
    report = convert(source, target, float16)
    if report.kind != "backbone":
        if repo_id is None:
            return report, None
        net = SegmentationModel.from_pretrained(report.target)
        return report, net.push_to_hub(repo_id, private, token, dataset=dataset, license=license)
    file = Path(source).expanduser()
    checkpoint = load_checkpoint(file) if file.is_file() else {}
    place = f"hf-hub:{repo_id}" if repo_id is not None else f"local-dir:{report.target}"
    card = classifier_card(place, report, checkpoint, dataset, license)
    with atomic_path(report.target / CARD_NAME) as path:
        path.write_text(card, encoding="utf-8")
    if repo_id is None:
        return report, None
    return report, upload_folder(report.target, repo_id, private, token)


def classifier_card(
    place: str, report: Report, checkpoint: Mapping[str, Any], dataset: str | None = None, license: str | None = None
) -> str:
    """Return a model card for a classifier: header, snippets, result, training, licence.

    Args:
        place: Where timm finds the model: `hf-hub:ORG/NAME` or `local-dir:FOLDER`.
        report: The report of the conversion.
        checkpoint: Contents of the source; those of train.py hold the accuracy and the settings.
        dataset: What it was trained on.
        license: The licence of the weights.
    """
    accuracy, facts = top1(checkpoint), training_facts(checkpoint)
    title = place.rstrip("/").split("/")[-1]
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
    """Return the `model_card` for `timm.models.push_to_hf_hub` of a FANet backbone."""
    details = {"Paper": PAPER, "Dataset": dataset} if dataset else {"Paper": PAPER}
    return dict(
        library_name="fanet",
        tags=["image-classification", "timm", "fanet"],
        license=license or "other",
        description="A FANet backbone for timm. Importing `fanet` registers the model.",
        details=details,
        usage='```python\nimport timm, fanet\n\nmodel = timm.create_model("hf-hub:ORG/NAME", pretrained=True)\n```',
    )
