import shutil
import time
import types
from collections.abc import Iterator
from pathlib import Path

import huggingface_hub.file_download
import huggingface_hub.utils._http
import pytest
from huggingface_hub import constants

import fanet.weights.hub
from fanet.weights import convert

from .hub_stand_in import Hub

PARITY = Path(__file__).parents[1] / "data" / "parity"


@pytest.fixture(scope="session")
def converted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The authors' micro checkpoints as this project writes them."""
    folder = tmp_path_factory.mktemp("converted")
    convert(PARITY / "authors_imagenet_micro.pth.tar", folder / "backbone")
    convert(PARITY / "authors_zerowaste_micro.pth", folder / "segmentation")
    return {"backbone": folder / "backbone", "segmentation": folder / "segmentation"}


@pytest.fixture
def quick_client(monkeypatch: pytest.MonkeyPatch) -> None:
    """The Hub's client, and what is built on it, do not wait for long."""
    monkeypatch.setattr(constants, "HF_HUB_ETAG_TIMEOUT", 1)
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 1)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True, raising=False)  # older clients have no xet
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(fanet.weights.hub, "PAUSE", 0.0)
    no_sleep = types.SimpleNamespace(sleep=lambda seconds: None, time=time.time)
    monkeypatch.setattr(huggingface_hub.utils._http, "time", no_sleep)
    monkeypatch.setattr(huggingface_hub.file_download, "time", no_sleep)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick_client: None) -> Iterator[Hub]:
    """A Hub on this machine, which the client in this process talks to, without any token."""
    with Hub(tmp_path / "hub") as server:
        use(server.url, monkeypatch)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_IMPLICIT_TOKEN", True)
        yield server


def use(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the client in this process talk to another Hub."""
    monkeypatch.setattr(constants, "ENDPOINT", url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", url + "/{repo_id}/resolve/{revision}/{filename}")


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def repos(hub: Hub, converted: dict[str, Path]) -> Hub:
    """The Hub with `me/authors` (their files), `me/backbone` and `me/segmentation` (as this project pushes them)."""
    authors = hub.root / "me" / "authors"
    authors.mkdir(parents=True)
    shutil.copy(PARITY / "authors_imagenet_micro.pth.tar", authors / "model_best.pth.tar")
    shutil.copy(PARITY / "authors_zerowaste_micro.pth", authors / "iter_40000.pth")
    (authors / "README.md").write_text("weights")
    for name, folder in converted.items():
        shutil.copytree(folder, hub.root / "me" / name)
    return hub
