import pytest
import torch

from fanet.errors import UserError
from fanet.segmentation.training.train import train

from .tiny_run import assert_same_weights, state, tiny_recipe


def test_folder_with_contents_is_not_overwritten(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match="not empty.*--resume"):
        train(tiny_recipe(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize("content", [{"state_dict": {}}, [1, 2]])
def test_checkpoint_that_is_not_of_a_run_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "last.pt")
    with pytest.raises(UserError, match="last.pt is not the checkpoint of a training run"):
        train(tiny_recipe(), tmp_path, resume=True)


@pytest.mark.parametrize("resume", [False, True])
def test_file_in_place_of_the_run_folder_is_refused(tmp_path, resume):
    (tmp_path / "run").touch()
    with pytest.raises(UserError, match="run is a file: choose a folder"):
        train(tiny_recipe(), tmp_path / "run", resume)


def test_resuming_in_a_folder_without_a_run_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(UserError, match="nothing to resume.*last.pt"):
        train(tiny_recipe(), tmp_path, resume=True)


def test_refused_resuming_deletes_nothing(tmp_path):
    for place in (tmp_path, tmp_path / "deep" / "er", tmp_path / "best"):
        place.mkdir(parents=True, exist_ok=True)
        (place / ".tmp-notes").write_text("years of work")
    for checkpoint in (None, {"state_dict": {}}):
        if checkpoint is not None:
            torch.save(checkpoint, tmp_path / "last.pt")
        with pytest.raises(UserError):
            train(tiny_recipe(), tmp_path, resume=True)
        assert len(list(tmp_path.rglob(".tmp-notes"))) == 3


def test_resuming_deletes_partial_files_in_saved_models(finished):
    (finished[0] / "best" / ".tmp-0123.safetensors").write_bytes(b"half a file")
    train(tiny_recipe(), finished[0], resume=True)
    assert not list(finished[0].rglob(".tmp-*"))


def test_resuming_a_run_that_never_started_starts_it(tmp_path, finished):
    train(tiny_recipe(), tmp_path / "none", resume=True)
    assert_same_weights(state(tmp_path / "none"), state(finished[0]))


def test_resuming_a_run_killed_at_its_first_write_starts_it(tmp_path, finished):
    (tmp_path / "recipe.yaml").write_text("")
    (tmp_path / ".tmp-0123.pt").write_bytes(b"half a file")
    train(tiny_recipe(), tmp_path, resume=True)
    assert not (tmp_path / ".tmp-0123.pt").exists()
    assert_same_weights(state(tmp_path), state(finished[0]))


def test_resuming_from_a_broken_checkpoint_is_refused(tmp_path):
    (tmp_path / "last.pt").write_bytes(b"half a file")
    with pytest.raises(UserError, match="not a readable checkpoint"):
        train(tiny_recipe(), tmp_path, resume=True)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optimizer.lr=1e-3", "optimizer.lr was 0.02 and is now 0.001"),
        ("model.backbone_kwargs.frm=high", "frm was None"),
    ],
)
def test_resuming_with_another_recipe_is_refused_with_the_changed_key(finished, override, message):
    with pytest.raises(UserError, match=message):
        train(tiny_recipe(override), finished[0], resume=True)
