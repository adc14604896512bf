"""timm's own tests, out of the source archive of the installed timm: the wheel does not hold them."""

import contextlib
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import pytest
import timm


@pytest.fixture(scope="session")
def timm_tests(pytestconfig: pytest.Config) -> Path:
    """The folder with timm's test modules; downloaded once a version, into pytest's cache."""
    cache = pytestconfig.cache.mkdir("timm-sdist")
    source = cache / f"timm-{timm.__version__}"
    if not source.exists():
        # Several processes may be at it at once: each works in a folder of its own, and the first to finish wins.
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            requirement = f"timm=={timm.__version__}"
            command = [
                sys.executable,
                "-m",
                "pip",
                "download",
                "--quiet",
                "--no-deps",
                "--no-binary=:all:",
                requirement,
            ]
            subprocess.run([*command, "--dest", folder], check=True, timeout=300)
            with tarfile.open(Path(folder) / f"{source.name}.tar.gz") as file:
                file.extraction_filter = getattr(tarfile, "data_filter", None)  # Python 3.11.4 and later
                file.extractall(folder)
            with contextlib.suppress(OSError):
                (Path(folder) / source.name).rename(source)
    tests = source / "tests"
    for marker in {
        name
        for path in tests.glob("*.py")
        for name in re.findall(r"pytest\.mark\.(\w+)", path.read_text(encoding="utf-8"))
    }:
        pytestconfig.addinivalue_line("markers", f"{marker}: of timm's own tests")
    return tests
