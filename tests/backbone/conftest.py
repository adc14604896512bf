"""timm's own tests, out of the source archive of the installed timm: the wheel does not hold them."""

import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import timm

TIMM_MARKERS = ("backward", "base", "cfg", "features", "forward", "fxbackward", "fxforward", "timeout", "torchscript")


def pytest_configure(config: pytest.Config) -> None:
    for marker in TIMM_MARKERS:
        config.addinivalue_line("markers", f"{marker}: of timm's own tests")


@pytest.fixture(scope="session")
def timm_tests(pytestconfig: pytest.Config) -> Path:
    """The folder with timm's test modules; downloaded once a version, into pytest's cache."""
    cache = pytestconfig.cache.mkdir("timm-sdist")
    archive = cache / f"timm-{timm.__version__}.tar.gz"
    source = cache / f"timm-{timm.__version__}"
    if not archive.exists():
        requirement = f"timm=={timm.__version__}"
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary=:all:", requirement]
        subprocess.run([*command, "--dest", str(cache)], check=True, timeout=300)
    if not source.exists():
        with tarfile.open(archive) as file:
            file.extractall(cache, filter="data")
    return source / "tests"
