"""Every command where only the dependencies at the core are installed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import fanet

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
# Each command with the extra that it must name; None for those that work without one.
COMMANDS = {
    "demo -o demo": None,
    f"predict {SCENE} -o predicted": None,
    "models": None,
    "recipes": None,
    "data convert photos converted": None,
    "export clutter --check": "is not an exported file",
    "verify-published -o published": "seg",
    f"predict {SCENE} -o objects --objects": "seg",
    f"predict {SCENE} -o coco --annotations coco": "seg",
    f"predict {SCENE} -o shares --shares": "seg",
    "predict --live 0 -o camera": "seg",
    "predict --live http://127.0.0.1:9/stream -o stream": "video",
    "predict clip.mp4 -o clip": "video",
    "predict photo.heic -o heic": "heif",
    "predict bands.tif -o bands": "bands",
    f"predict {SCENE} -o by_onnx --engine onnx": "onnx",
    f"predict {SCENE} -o by_openvino --engine openvino": "openvino",
    "engines": "seg",
    "train clutter -o trained": "seg",
    "train photos -o mine": "seg",
    "evaluate --dataset clutter -o evaluated": "seg",
    "calibrate clutter --dataset clutter": "seg",
    "benchmark clutter --models clutter -o bench": "seg",
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
def folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("core")
    (folder / "sitecustomize.py").write_text(WITHOUT_EXTRAS)
    return folder


# TAIL
