import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ..platforms import posix

pytestmark = posix

# Stands in for timm, whose import takes long enough to be interrupted.
SLOW = """
import sys, time
print("importing", flush=True)
time.sleep(60)
"""


@pytest.fixture
def slow_imports(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "timm.py").write_text(SLOW)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")


def _listen() -> None:
    """Undo what a shell does to commands in the background, which do not receive Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def interrupted(*command: str) -> tuple[int, str]:
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=_listen)
    assert process.stdout is not None and process.stdout.readline() == "importing\n"
    process.send_signal(signal.SIGINT)
    return process.wait(), process.communicate()[1]


@pytest.mark.parametrize(
    "command",
    [
        [sys.executable, "-m", "fanet", "models"],
        [str(Path(sys.executable).with_name("fanet")), "predict", "image.jpg", "-o", "out"],
    ],
)
def test_interrupt_during_imports_ends_the_command_in_one_line(slow_imports, command):
    assert interrupted(*command) == (130, "fanet: interrupted\n")


def test_interrupt_of_another_program_that_imports_fanet_raises_as_ever(slow_imports):
    status, error = interrupted(sys.executable, "-c", "import fanet")
    assert status in (1, -signal.SIGINT) and error.endswith("KeyboardInterrupt\n")
