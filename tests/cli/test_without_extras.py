"""Every command where only the dependencies at the core are installed."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile
import yaml

import fanet
from fanet.classes import ZEROWASTE
from fanet.segmentation import SegmentationModel

SCENE = Path(fanet.__file__).parent / "models" / "clutter" / "scene.png"
# Python runs this file before anything else when its folder is on PYTHONPATH.
WITHOUT_EXTRAS = """
import sys

OPTIONAL = {
    "accelerate", "av", "cv2", "gradio", "isal", "matplotlib", "onnx", "onnxruntime", "onnxscript", "openvino",
    "pillow_heif", "ray", "supervision", "tensorboard", "tifffile",
}


class Hiding:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in OPTIONAL else self.finder.find_spec(name, path, target)

    def __getattr__(self, name):
        return getattr(self.finder, name)


sys.meta_path[:] = [Hiding(finder) for finder in sys.meta_path]
"""
RUN_EACH = """
import contextlib, io, json, sys, traceback
from fanet.cli import main

outcomes = {}
for command in json.load(sys.stdin):
    err = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(err):
        try:
            status = main(command.split())
        except BaseException:
            status = traceback.format_exc()
    outcomes[command] = status, (err.getvalue().splitlines() or [""])[-1]
json.dump(outcomes, sys.stdout)
"""
# Each command with the extra that it must name; None for those that work without one.
COMMANDS = {
    "demo -o demo": None,
    f"predict {SCENE} -o predicted": None,
    "models": None,
    "recipes": None,
    "data convert photos converted": None,
    "verify-published -o published": "seg",
    f"predict {SCENE} -o objects --objects": "seg",
    f"predict {SCENE} -o coco --annotations coco": "seg",
    f"predict {SCENE} -o shares --shares": "seg",
    "predict --live 0 -o camera": "seg",
    "predict --live http://127.0.0.1:9/stream -o stream": "video",
    "predict clip.mp4 -o clip": "video",
    "predict photo.heic -o heic": "heif",
    "predict bands.tif --model six_bands -o bands": "bands",
    f"predict {SCENE} -o by_onnx --engine onnx": "onnx",
    f"predict {SCENE} -o by_openvino --engine openvino": "openvino",
    "engines": "seg",
    "train clutter -o trained": "seg",
    "train photos -o mine": "seg",
    "evaluate --dataset clutter -o evaluated": "seg",
    "calibrate clutter --dataset clutter": "seg",
    "benchmark clutter --model clutter -o bench": "seg",
    "data clutter scenes --count 1 --seed 0 --size 64 64": "seg",
    "data suspects photos -o suspects": "seg",
    "init photos": "seg",
    "export clutter clutter.onnx": "onnx",
    "export clutter whole.onnx --end-to-end": "onnx",
    "export clutter int8.onnx --precision int8": "seg",
    f"features {SCENE} -o features": "seg",
    "demo --web": "web",
}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory) -> dict[str, list]:
    """Status and last line on standard error of each command, run one by one in a process without the extras."""
    folder = tmp_path_factory.mktemp("core")
    (folder / "sitecustomize.py").write_text(WITHOUT_EXTRAS)
    for kind, name in (("images", "scene.png"), ("masks", "scene_labels.png")):
        (folder / "photos" / kind).mkdir(parents=True)
        shutil.copy(SCENE.with_name(name), folder / "photos" / kind / "scene.png")
    config = {"classes": list(ZEROWASTE.names), "splits": {"train": {"images": "images", "masks": "masks"}}}
    (folder / "photos" / "dataset.yaml").write_text(yaml.safe_dump(config))
    (folder / "clip.mp4").write_bytes(bytes(100))
    (folder / "photo.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(100))
    tifffile.imwrite(folder / "bands.tif", np.zeros((64, 64, 6), np.uint8), planarconfig="contig", photometric=1)
    six = SegmentationModel("test_fanet", 2, decoder="linear", backbone_kwargs={"in_chans": 6})
    six.save_pretrained(folder / "six_bands")
    process = subprocess.run(
        [sys.executable, "-c", RUN_EACH],
        input=json.dumps(list(COMMANDS)),
        capture_output=True,
        text=True,
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder)},
    )
    assert process.returncode == 0, process.stderr
    return json.loads(process.stdout)


@pytest.mark.parametrize(("command", "extra"), COMMANDS.items())
def test_command_works_with_the_core_alone_or_names_its_extra(outcomes, command, extra):
    status, line = outcomes[command]
    if extra is None:
        assert status == 0, line
    else:
        assert status == 2 and re.fullmatch(
            rf'fanet: error: \w+ is not installed: pip install "fanet\[{extra}\]"', line
        )
