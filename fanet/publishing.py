"""From a training's checkpoint to a model for others: files, model card, Hub."""

from os import PathLike
from pathlib import Path

from fanet.conversion import Report
from fanet.conversion import convert as convert_weights
from fanet.files import atomic_path
from fanet.segmentation.network.model import UperNet
from fanet.weights.card import CARD_NAME, classifier_card
from fanet.weights.files import load_checkpoint
from fanet.weights.hub import upload_folder


def publish(
    source: str | PathLike[str],
    target: str | PathLike[str],
    repo_id: str | None = None,
    private: bool = False,
    dataset: str | None = None,
    license: str | None = None,
    token: str | bool | None = None,
) -> tuple[Report, str | None]:
    """Convert weights, write a model card beside them, and share both on the Hub, where an older card stays.

    Args:
        source: A checkpoint of timm's train.py, or anything else that `fanet.weights.convert` takes.
        target: The folder to make, with `model.safetensors`, `config.json` and, for a backbone, `README.md`.
        repo_id: The repository `ORG/NAME` to push to, made where it does not exist; None pushes nothing.
        private: Make it a private one.
        dataset: What the model was trained on, for the card.
        license: The weights' licence, for the card, as the Hub spells it: "apache-2.0".
        token: With the right to write; the stored one by default.

    Returns:
        What the conversion did, and the address of the commit on the Hub, if there is one.

    Raises:
        UserError: the source cannot be used, the target holds something, or the Hub refuses.
    """
    report = convert_weights(source, target)
    if report.kind != "backbone":
        if repo_id is None:
            return report, None
        net = UperNet.from_pretrained(report.target)
        return report, net.push_to_hub(repo_id, private, token, dataset=dataset, license=license)
    file = Path(source).expanduser()
    checkpoint = load_checkpoint(file) if file.is_file() else {}
    card = classifier_card(repo_id or str(report.target), report, checkpoint, dataset, license)
    with atomic_path(report.target / CARD_NAME) as path:
        path.write_text(card, encoding="utf-8")
    if repo_id is None:
        return report, None
    return report, upload_folder(report.target, repo_id, private, token)
