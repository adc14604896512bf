import os
import subprocess
import sys
from pathlib import Path

import pytest

from fanet.cli import main

SCRIPT = """
import argparse, os, sys
import neighbour
import timm

parser = argparse.ArgumentParser(prog="stand-in")
parser.add_argument("words", nargs="*")
parser.add_argument("--end", default="")
args = parser.parse_args()
print("argv", sys.argv[1:])
print("name", __name__, "file", os.path.basename(__file__), "path", sys.path[0] == os.path.dirname(__file__))
sys.stdout.write(f"registered {timm.is_model('fanet_pico')} rank {os.environ.get('RANK')}\\n")  # in one piece

def fail():
    raise {"bug": ValueError, "user": PermissionError, "stop": KeyboardInterrupt}[args.end]("no good")

if args.end.isdigit():
    sys.exit(int(args.end))
elif args.end == "message":
    sys.exit("a last word")
elif args.end:
    fail()
"""


@pytest.fixture
def script(tmp_path: Path) -> str:
    (tmp_path / "neighbour.py").touch()
    (tmp_path / "script.py").write_text(SCRIPT)
    return str(tmp_path / "script.py")


def _run(*words: str, launcher: tuple[str, ...] = ("-m", "fanet")) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, *launcher, "run", *words], capture_output=True, text=True)


def test_script_sees_its_own_arguments_name_and_folder_and_the_models(script, capsys):
    before = sys.argv, sys.path, list(sys.path)
    assert main(["run", script, "a", "b"]) == 0
    assert (sys.argv, sys.path, list(sys.path)) == before
    out = capsys.readouterr().out
    assert "argv ['a', 'b']" in out
    assert "name __main__ file script.py path True" in out
    assert "registered True" in out


@pytest.mark.parametrize("words", [["--", "-x"], ["a", "--", "b"], ["--end", "0", "a"], ["--end=0", "--", "--version"]])
def test_arguments_pass_untouched(words, tmp_path, capsys):
    path = tmp_path / "echo.py"
    path.write_text("import sys\nprint(sys.argv[1:])\n")
    assert main(["run", str(path), *words]) == 0
    assert capsys.readouterr().out == f"{words}\n"


def test_help_after_the_script_is_the_scripts(script, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["run", script, "--help"])
    assert caught.value.code == 0
    assert "usage: stand-in" in capsys.readouterr().out


def test_help_before_the_script_is_the_commands(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["run", "--help"])
    assert caught.value.code == 0
    assert "usage: fanet run" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("end", "status", "error"), [("0", 0, ""), ("7", 7, ""), ("message", 1, "a last word\n"), ("bug", 1, None)]
)
def test_exit_status_is_the_scripts(end, status, error, script):
    run = _run(script, "--end", end)
    assert run.returncode == status
    assert error is None or run.stderr == error


@pytest.mark.parametrize(("end", "kind"), [("bug", "ValueError"), ("user", "PermissionError")])
def test_traceback_is_that_of_the_script_alone(end, kind, script):
    ours = _run(script, "--end", end)
    lines = ours.stderr.splitlines()
    assert ours.returncode == 1
    assert lines[0] == "Traceback (most recent call last):" and lines[-1] == f"{kind}: no good"
    assert [line for line in lines if line.startswith("  File")][0].startswith(f'  File "{script}", line ')
    assert "runpy" not in ours.stderr and "fanet/cli" not in ours.stderr


def test_syntax_error_of_the_script_is_shown(tmp_path, capsys):
    path = tmp_path / "script.py"
    path.write_text("x = (\n")
    assert main(["run", str(path)]) == 1
    error = capsys.readouterr().err
    assert "SyntaxError" in error and str(path) in error and "runpy" not in error


def test_interrupt_ends_with_130(script, capsys):
    assert main(["run", script, "--end", "stop"]) == 130


def test_command_without_a_script_says_where_to_get_one(capsys):
    assert main(["run"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "git clone" in error and "pytorch-image-models" in error and "train.py" in error


def test_missing_script_is_reported_in_one_line(capsys):
    assert main(["run", "no_such.py", "--help"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "no_such.py" in error and "git clone" in error


def test_every_process_of_torchrun_runs_the_script(script):
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", "-m", "fanet")
    run = _run(script, "--end", "0", launcher=launcher)
    assert run.returncode == 0, run.stderr
    assert all(f"registered True rank {rank}" in run.stdout for rank in (0, 1))
    assert _run(script, "--end", "7", launcher=launcher).returncode != 0


@pytest.mark.skipif(
    "TIMM_SCRIPTS" not in os.environ,
    reason="set TIMM_SCRIPTS to a folder with the scripts from timm's repository; the package does not contain them",
)
@pytest.mark.parametrize("name", ["train.py", "validate.py", "benchmark.py", "inference.py", "avg_checkpoints.py"])
def test_timms_scripts_start(name):
    run = _run(str(Path(os.environ["TIMM_SCRIPTS"]) / name), "--help")
    assert run.returncode == 0, run.stderr
    assert f"usage: {name}" in run.stdout
