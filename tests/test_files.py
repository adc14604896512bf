import os
from pathlib import Path

import pytest

from fanet.errors import UserError, needs_extra
from fanet.files import atomic_path, make_folder

from .platforms import links


def test_file_appears_only_when_complete(tmp_path: Path) -> None:
    target = tmp_path / "labels.png"
    with atomic_path(target) as temporary:
        temporary.write_text("new")
        assert temporary.parent == tmp_path and temporary.suffix == ".png"
        assert not target.exists()
    assert [path.name for path in tmp_path.iterdir()] == ["labels.png"]
    assert target.read_text() == "new"


@pytest.mark.parametrize("fault", [RuntimeError, KeyboardInterrupt])
def test_failure_keeps_the_old_file(tmp_path: Path, fault: type[BaseException]) -> None:
    target = tmp_path / "model.safetensors"
    target.write_text("old")
    with pytest.raises(fault), atomic_path(target) as temporary:
        temporary.write_text("half")
        raise fault
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]
    assert target.read_text() == "old"


def test_new_file_has_the_usual_permissions(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    with atomic_path(tmp_path / "atomic") as temporary:
        temporary.touch()
    assert (tmp_path / "atomic").stat().st_mode == (tmp_path / "plain").stat().st_mode


@links
def test_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").touch()
    (tmp_path / "link").symlink_to("real")
    with atomic_path(tmp_path / "link") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real").read_text() == "new"


def test_longest_name_can_be_written(tmp_path: Path) -> None:
    target = tmp_path / ("n" * 251 + ".png")
    with atomic_path(target) as temporary:
        temporary.touch()
    assert target.exists()


def test_unwritable_place_is_reported_before_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="does not exist"), atomic_path(tmp_path / "missing" / "x"):
        pass
    with pytest.raises(UserError, match="is a folder"), atomic_path(tmp_path):
        pass
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anywhere
    with pytest.raises(UserError, match="no permission"), atomic_path(tmp_path / "x"):
        pass


def test_folder_is_made_unless_something_is_in_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert make_folder(tmp_path / "a" / "b").is_dir()
    assert make_folder(tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").touch()
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UserError, match="a file of that name is in the way"):
            make_folder(folder)

    def refuse(*args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(UserError, match="Permission denied"):
        make_folder(tmp_path / "c")


def test_missing_extra_is_named() -> None:
    with pytest.raises(UserError, match=r'pip install "fanet\[seg\]"'), needs_extra("seg", "cv2"):
        raise ModuleNotFoundError("No module named 'cv2'", name="cv2")
    with pytest.raises(ModuleNotFoundError), needs_extra("seg", "cv2"):
        raise ModuleNotFoundError("No module named 'fanet.typo'", name="fanet.typo")


def test_file_replaced_by_its_writer_has_the_usual_permissions(tmp_path):
    (tmp_path / "plain").touch()
    with atomic_path(tmp_path / "target") as path:
        path.unlink()
        path.touch(mode=0o600)
    assert (tmp_path / "target").stat().st_mode == (tmp_path / "plain").stat().st_mode
