"""Every command of docs/own_images.md, in order, on a miniature."""

import re
import shlex
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from fanet.cli import main

PAGE = Path(__file__).parents[2] / "docs" / "own_images.md"


def test_commands_of_the_page_lead_from_photographs_to_predictions(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    for kind in ("images", "masks"):
        (tmp_path / "my_photos" / kind).mkdir(parents=True)
    for number in range(6):
        image = rng.integers(0, 255, (64, 80, 3), dtype=np.uint8)
        mask = np.zeros((64, 80), np.uint8)
        mask[16:48, 10 + 5 * number : 40 + 5 * number] = 1
        Image.fromarray(image).save(tmp_path / "my_photos" / "images" / f"{'abcdef'[number]}.png")
        Image.fromarray(mask).save(tmp_path / "my_photos" / "masks" / f"{'abcdef'[number]}.png")
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    commands = [line for block in blocks for line in block.splitlines() if line.startswith("fanet ")]
    assert [command.split()[1] for command in commands] == ["init", "data", "train", "evaluate", "predict"]
    for command in commands:
        status = main(shlex.split(command)[1:])
        assert status == 0, (command, capsys.readouterr().err)
        if command.startswith("fanet init"):
            shorten(tmp_path / "my_photos" / "recipe.yaml")
    printed = capsys.readouterr().out
    assert "mIoU" in printed
    assert (tmp_path / "runs" / "my_photos" / "report.html").exists()
    assert len(list((tmp_path / "runs" / "my_photos" / "overlays").glob("*_overlay.png"))) == 6


def shorten(path):
    """Plan two steps instead of ten minutes."""
    recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
    recipe["train"]["iterations"], recipe["evaluation"]["every"] = 2, 2
    recipe.setdefault("scheduler", {})["warmup_iterations"] = 0
    path.write_text(yaml.safe_dump(recipe), encoding="utf-8")
