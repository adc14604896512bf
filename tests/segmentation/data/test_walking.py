import contextlib
from types import SimpleNamespace

import pytest

from fanet.errors import UserError
from fanet.segmentation.data import walking


def test_entry_that_may_not_be_looked_at_is_named(tmp_path, monkeypatch):
    def refuse():
        raise PermissionError(13, "Permission denied")

    entry = SimpleNamespace(name="locked", path=f"{tmp_path}/locked", is_file=refuse)
    monkeypatch.setattr(walking.os, "scandir", lambda folder: contextlib.nullcontext([entry]))
    with pytest.raises(UserError, match=r"cannot read .*/locked: Permission denied"):
        walking.walk(tmp_path, None)
