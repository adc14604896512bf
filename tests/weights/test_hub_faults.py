"""Every way in which the Hub, the network or a file can fail: the exception, what its message says, and that a healthy
Hub is enough to get over it.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import huggingface_hub
import pytest
import timm
import torch
from huggingface_hub import HfApi, constants
from huggingface_hub.errors import RemoteEntryNotFoundError
from packaging.version import Version

import fanet  # noqa: F401  registers the models
from fanet.segmentation import UperNet
from fanet.weights import WeightsError

from .hub_stand_in import Fault, Hub

LISTING = r"^/api/models/"
SAFETENSORS = r"\.safetensors$"


def by_name(cache: Path, repo: str = "me/authors") -> torch.nn.Module:
    """As `create_model("fanet_base", pretrained=True)` does it: a registered repository, no file name known."""
    overlay = dict(hf_hub_id=repo, num_classes=10)
    return timm.create_model("test_fanet", pretrained=True, pretrained_cfg_overlay=overlay, cache_dir=cache)


def by_hub_id(cache: Path) -> torch.nn.Module:
    return timm.create_model("hf-hub:me/backbone", pretrained=True, cache_dir=cache)


def segmentation(cache: Path) -> torch.nn.Module:
    return UperNet.from_pretrained("me/segmentation", cache_dir=cache)


REPOS = {by_name: "me/authors", by_hub_id: "me/backbone", segmentation: "me/segmentation"}
MODELS = {by_name: "test_fanet", by_hub_id: "test_fanet", segmentation: "me/segmentation"}


@dataclass
class Case:
    what: str
    faults: list[Fault]
    load: Callable[[Path], torch.nn.Module]
    says: str  # a pattern in the message


def cases() -> list[Case]:
    """One row a fault; where the three ways to load differ, one row for each."""
    every = (by_name, by_hub_id, segmentation)
    weights = {by_name: r"\.pth", by_hub_id: SAFETENSORS, segmentation: SAFETENSORS}
    table = []
    for load in every:
        file = weights[load]
        table += [
            Case("repository unknown", [Fault(LISTING, status=404, code="RepoNotFound")], load, "no such repository"),
            Case(
                "repository hidden",
                [Fault(LISTING, status=401, code="RepoNotFound")],
                load,
                "or it is private .*log in",
            ),
            Case("gated", [Fault(LISTING, status=403, code="GatedRepo")], load, "must be granted first"),
            Case("forbidden", [Fault(LISTING, status=403)], load, "refused .status 403"),
            Case("too many requests", [Fault(LISTING, status=429)], load, "too many requests"),
            Case("server down", [Fault(LISTING, status=500)], load, "status 500.*try again later"),
            Case("listing too slow", [Fault(LISTING, delay=1.4)], load, "timed out"),
            Case("captive portal", [Fault(LISTING, body=b"<html>Log in</html>")], load, "makes no sense.*proxy"),
            Case("listing without commit", [Fault(LISTING, body=b'{"id": "me/x"}')], load, "not a Hub's.*no commit"),
            Case("listing torn", [Fault(LISTING, reset_after=10)], load, "the connection failed"),
            Case("file vanished", [Fault(file, status=404, code="EntryNotFound")], load, "a file is missing there"),
            Case("file refused", [Fault(file, status=403)], load, "refused .status 403"),
            Case("file's server down", [Fault(file, status=503)], load, "status 503"),
            Case("no ETag", [Fault(file, "HEAD", drop=("ETag",))], load, "not a Hub's.*ETag"),
            Case(
                "no commit", [Fault(file, "HEAD", drop=("X-Repo-Commit",))], load, "not a Hub's.*(X-Repo-Commit|seem)"
            ),
            Case("connection reset", [Fault(file, "GET", reset_after=5000)], load, "the connection failed"),
            Case("connection closed", [Fault(file, "GET", end_after=5000)], load, "the connection failed"),
            Case("cut off", [Fault(file, "GET", shorten=100)], load, "should be of size"),
            Case("cut off unnoticed", [Fault(file, shorten=100)], load, "checksum differs; it was removed: try again"),
            Case("bytes flipped", [Fault(file, "GET", corrupt=True)], load, "checksum differs; it was removed"),
            Case("another file", [Fault(file, body=b"hello")], load, "checksum differs; it was removed"),
            Case("empty file", [Fault(file, body=b"")], load, "checksum differs; it was removed"),
        ]
    config = r"config\.json$"
    flipped = Fault(config, "GET", corrupt=True)
    table.append(Case("configuration flipped", [flipped], segmentation, "config.json is not the file on the Hub"))
    return table


@pytest.mark.parametrize("case", cases(), ids=lambda case: f"{case.what}, {case.load.__name__}")
def test_fault_is_explained_and_ends_with_its_cause(case: Case, repos: Hub, cache: Path) -> None:
    repos.faults = case.faults
    with pytest.raises(WeightsError, match=f"(?s){case.says}") as caught:
        case.load(cache)
    message = str(caught.value)
    assert REPOS[case.load] in message and MODELS[case.load] in message and "\n" not in message
    assert "offline mode is not set" in message or "checksum" in message
    assert isinstance(caught.value, RuntimeError) and isinstance(caught.value, ValueError)
    repos.faults = []
    case.load(cache)


@pytest.mark.parametrize("load", REPOS)
@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault(LISTING, times=1, status=503), id="listing fails once"),
        pytest.param(Fault(r"resolve", "HEAD", times=1, status=500), id="file fails once"),
        pytest.param(
            Fault(r"\.(pth|safetensors)", "GET", times=1, end_after=1000),
            id="body ends early once",
            marks=pytest.mark.skipif(
                Version(huggingface_hub.__version__) < Version("2.0"),
                reason=f"huggingface_hub {huggingface_hub.__version__} does not try again: loading once more does",
            ),
        ),
        pytest.param(Fault(r"\.(pth|safetensors)", "HEAD", headers={"ETag": '"' + "0" * 64 + '"'}), id="foreign ETag"),
    ],
)
def test_passing_weakness_is_overcome(fault: Fault, load: Callable, repos: Hub, cache: Path) -> None:
    repos.faults = [replace(fault)]
    load(cache)


@pytest.mark.parametrize("load", [by_name, segmentation])
def test_missing_server_is_noticed_before_a_request(
    load: Callable, repos: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repos.stop()
    ask, asked = HfApi.model_info, []
    monkeypatch.setattr(HfApi, "model_info", lambda *args, **more: asked.append(args) or ask(*args, **more))
    with pytest.raises(WeightsError, match=r"the connection failed.*offline mode is not set"):
        load(cache)
    assert not asked, "the client would try for long"


@pytest.mark.parametrize("load", [by_name, segmentation])
def test_offline_mode_is_named(load: Callable, repos: Hub, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as offline:
        offline.setattr(constants, "HF_HUB_OFFLINE", True)
        with pytest.raises(
            WeightsError, match=r"not in the cache \(offline mode is set by HF_HUB_OFFLINE\).*local file"
        ):
            load(cache)
    assert not repos.requests
    load(cache)


def test_local_files_only_makes_no_request(repos: Hub, cache: Path) -> None:
    with pytest.raises(WeightsError, match=r"not in the cache \(local_files_only is set\)"):
        UperNet.from_pretrained("me/segmentation", cache_dir=cache, local_files_only=True)
    assert not repos.requests
    segmentation(cache)
    repos.requests.clear()
    UperNet.from_pretrained("me/segmentation", cache_dir=cache, local_files_only=True)
    assert not repos.requests


def test_unknown_revision_is_named(repos: Hub, cache: Path) -> None:
    with pytest.raises(WeightsError, match="no such revision"):
        UperNet.from_pretrained("me/segmentation", revision="gone", cache_dir=cache)
    with pytest.raises(WeightsError, match="no such revision"):
        by_name(cache, "me/authors@gone")
    commit = repos.commit("me/segmentation")
    UperNet.from_pretrained("me/segmentation", revision=commit, cache_dir=cache)
    repos.requests.clear()
    UperNet.from_pretrained("me/segmentation", revision=commit, cache_dir=cache)
    assert not repos.requests  # a commit never changes


def test_cache_that_cannot_be_written_is_named(repos: Hub, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for load in (by_name, segmentation):
        with pytest.raises(WeightsError, match="cannot load .* from the Hub repository"):
            load(tmp_path / "file")
        load(tmp_path / "cache")


@pytest.mark.parametrize("load", [by_hub_id, segmentation])
def test_broken_file_of_the_repository_leaves_the_cache(load: Callable, repos: Hub, cache: Path) -> None:
    path = repos.root / REPOS[load] / "model.safetensors"
    good = path.read_bytes()
    for bad in (b"hello", good[:50], b""):
        path.write_bytes(bad)
        with pytest.raises(WeightsError, match="broken safetensors file|is empty") as caught:
            load(cache)
        assert REPOS[load] in str(caught.value)
        assert not [blob for blob in cache.rglob("*.safetensors") if blob.exists()]
    path.write_bytes(good)
    load(cache)


def test_damaged_file_in_the_cache_is_not_used(repos: Hub, cache: Path) -> None:
    for load in REPOS:
        cache = cache / "another"
        load(cache)
        largest = max((path for path in cache.rglob("blobs/*")), key=lambda path: path.stat().st_size)
        data = bytearray(largest.read_bytes())
        data[len(data) // 2] ^= 1
        largest.write_bytes(data)
        with pytest.raises(WeightsError, match="checksum differs"):
            load(cache)
        load(cache)


def test_repository_without_weights_differs_from_a_broken_one(repos: Hub, cache: Path) -> None:
    folder = repos.root / "me" / "words"
    folder.mkdir()
    (folder / "README.md").write_text("hello")
    with pytest.raises(WeightsError, match="me/words: no file holds weights for test_fanet.*no file ends in"):
        by_name(cache, "me/words")
    with pytest.raises(WeightsError, match="me/words: no file holds weights for a segmentation model"):
        UperNet.from_pretrained("me/words", cache_dir=cache)


def test_weights_of_another_network_are_refused(repos: Hub, cache: Path) -> None:
    (repos.root / "me" / "authors" / "model_best.pth.tar").unlink()  # the segmentation model is left
    with pytest.raises(WeightsError, match="iter_40000.pth: it is a segmentation model, not a classifier"):
        by_name(cache)
    overlay = dict(hf_hub_id="me/backbone", num_classes=10)
    with pytest.raises(WeightsError, match="cannot load fanet_pico from .* me/backbone: .*of another shape"):
        timm.create_model("fanet_pico", pretrained=True, pretrained_cfg_overlay=overlay, cache_dir=cache)
    with pytest.raises(WeightsError, match="made for 10 classes and 3 channels, not 7 and 3"):
        overlay = dict(hf_hub_id="me/backbone", num_classes=7)
        timm.create_model("test_fanet", pretrained=True, pretrained_cfg_overlay=overlay, cache_dir=cache)
    with pytest.raises(WeightsError, match="holds a backbone.*timm.create_model"):
        UperNet.from_pretrained("me/backbone", cache_dir=cache)


def test_timm_says_of_a_configuration_what_the_docs_quote(repos: Hub, cache: Path) -> None:
    """timm reads config.json before it calls the model, so these are its words; docs/weights.md repeats them."""
    config = repos.root / "me" / "backbone" / "config.json"
    text = config.read_text()
    for bad, error, says in (
        (None, RemoteEntryNotFoundError, "config.json"),
        ("<html>", ValueError, "Expecting value"),
        ('{"architecture": "gone", "pretrained_cfg": {}}', RuntimeError, "Unknown model"),
        ('{"architecture": "test_fanet", "pretrained_cfg": {"colour": 1}}', TypeError, "unexpected keyword"),
        (text.replace('"in_chans"', '"in_channels"'), TypeError, "unexpected keyword"),
    ):
        if error is TypeError and Version(timm.__version__) < Version("1.0.31"):
            continue  # it takes any key
        config.unlink() if bad is None else config.write_text(bad)
        with pytest.raises(error, match=says):
            by_hub_id(cache)
        config.write_text(text)
        by_hub_id(cache)


def test_model_without_weights_names_alternatives() -> None:
    with pytest.raises(RuntimeError, match=r"fanet_nano has no published weights.*fanet_base.*fanet_pico.*load_model"):
        timm.create_model("fanet_nano", pretrained=True)


def test_configuration_cannot_make_a_model_fetch_or_read_other_weights(
    repos: Hub, cache: Path, converted: dict[str, Path]
) -> None:
    config = repos.root / "me" / "segmentation" / "config.json"
    text = config.read_text()
    for extra in ('"pretrained": true', '"pretrained_cfg_overlay": {"file": "x.pth"}', '"checkpoint_path": "x.pth"'):
        config.write_text(text.replace('"backbone_kwargs": {', '"backbone_kwargs": {' + extra))
        with pytest.raises(WeightsError, match="me/segmentation.*does not describe a model.*backbone_kwargs must not"):
            segmentation(cache)


@pytest.mark.skipif(os.name == "nt", reason="the cache holds copies there instead of links")
def test_weights_fetched_by_other_tools_are_checked(repos: Hub, cache: Path) -> None:
    from huggingface_hub import hf_hub_download

    for name in ("config.json", "model.safetensors"):
        path = Path(hf_hub_download("me/segmentation", name, cache_dir=cache)).resolve()
    UperNet.from_pretrained("me/segmentation", cache_dir=cache, local_files_only=True)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    for record in cache.rglob(".fanet.json"):
        record.unlink()
    with pytest.raises(WeightsError, match="checksum differs"):
        UperNet.from_pretrained("me/segmentation", cache_dir=cache, local_files_only=True)
