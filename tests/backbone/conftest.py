"""timm's own tests, out of the source archive of the installed timm: the wheel does not hold them."""

import re
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
import timm


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
    tests = source / "tests"
    for marker in {
        name for path in tests.glob("*.py") for name in re.findall(r"pytest\.mark\.(\w+)", path.read_text())
    }:
        pytestconfig.addinivalue_line("markers", f"{marker}: of timm's own tests")
    return tests
