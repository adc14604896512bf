"""The notebooks in docs/notebooks run from top to bottom with nothing but the package, and are kept without outputs."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

NOTEBOOKS = sorted((Path(__file__).parent.parent / "docs" / "notebooks").glob("*.ipynb"))
#: By notebook: what replaces its parameters.
SHORT = {
    # more minutes than it takes, as `fanet init` refuses too few on a busy machine
    "own_model": """
SCENES, SIZE, MINUTES = 6, (64, 80), 60
SETTINGS = ["train.iterations=2", "train.batch_size=2", "evaluation.every=2", "scheduler.warmup_iterations=1"]
""",
}


def cells(notebook: Path) -> list[dict[str, Any]]:
    return [cell for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]


def script(notebook: Path) -> str:
    """Return the cells, and after those with the tag `parameters` other values of these."""
    parts = []
    for cell in cells(notebook):
        parts.append("".join(cell["source"]))
        if "parameters" in cell["metadata"].get("tags", ()):
            parts.append(SHORT[notebook.stem])
    return "\n".join(parts)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs(notebook: Path, tmp_path: Path) -> None:
    path = os.pathsep.join(filter(None, sys.path))
    environment = os.environ | {"MPLBACKEND": "agg", "HF_HUB_OFFLINE": "1", "PYTHONPATH": path}
    # the backend that draws no windows warns that `plt.show` shows nothing
    command = [sys.executable, "-W", "ignore:FigureCanvasAgg is non-interactive", "-c", script(notebook)]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-3000:]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_is_kept_without_outputs(notebook: Path) -> None:
    content = json.loads(notebook.read_text(encoding="utf-8"))
    assert (content["nbformat"], content["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in content["cells"]}) == len(content["cells"])
    for cell in cells(notebook):
        assert cell["outputs"] == [] and cell["execution_count"] is None
        assert not any(line.startswith(("!", "%")) for line in cell["source"])  # the test runs plain Python
