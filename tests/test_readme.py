import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from fanet.cli import _parse, build_parser

ROOT = Path(__file__).parent.parent
CARD = ROOT / "fanet" / "models" / "bags" / "README.md"
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md")), CARD]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)


def commands() -> list[str]:
    lines = [line for page in PAGES for block in blocks(page, "sh") for line in block.replace("\\\n", " ").splitlines()]
    return sorted({line.split("#")[0].strip() for line in lines if line.startswith("fanet ")})


def with_checks(snippet: str) -> str:
    """Return the snippet with an assertion after each line whose comment states shapes."""
    lines = []
    for line in snippet.splitlines():
        lines.append(line)
        if match := re.match(r"(\w+) = .*# ((?:\([\d, ]+\) ?)+)", line):
            value, shapes = match[1], re.findall(r"\([\d, ]+\)", match[2])
            maps = value if len(shapes) > 1 else f"[{value}]"
            lines.append(f"assert [tuple(x.shape) for x in {maps}] == [{', '.join(shapes)}], {value}")
    return "\n".join(lines)


# the test of BatchPredictor runs the snippet for Ray
@pytest.mark.parametrize("snippet", [code for code in blocks(ROOT / "README.md", "python") if "import ray" not in code])
def test_readme_snippet_runs_with_the_stated_shapes(snippet, tmp_path):
    checked = with_checks(snippet)
    assert "assert" in checked
    result = subprocess.run([sys.executable, "-c", checked], cwd=tmp_path, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("command", commands())
def test_documented_command_parses(command):
    words = shlex.split(command)[1:]
    if words[0] == "run":  # what follows the script is for timm's
        build_parser().parse_known_args(words)
    elif "--version" in words:
        build_parser().parse_args(words)
    else:
        _parse(words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page):
    links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text(encoding="utf-8"))
    assert not [link for link in links if "://" not in link and not (page.parent / link).exists()]
