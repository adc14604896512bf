"""A benchmark without the cost of scenes and networks: each is a few lines."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch

import fanet.scenes
from fanet.segmentation.evaluation.clutterbench import bench


@dataclass
class Stub:
    """A model that reads the labels off the image, and is wrong where its own noise is high."""

    name: str
    settings: dict
    error: float
    seen: list

    @classmethod
    def load(cls, name, device=None, engine=None, precision=None, classes=None):
        settings = {"weights": name.zfill(4), "engine": engine or "eager", "precision": "fp32", "device": "cpu"}
        return cls(name, settings, 0.1 + 0.1 * (len(name) % 3), [])

    def labels(self, image):
        self.seen.append(image)
        noise = np.random.default_rng(int(image.sum())).random(image.shape[:2])
        return np.where(noise < self.error, 0, image[..., 0]).astype(np.uint8)


def fake_scene(seed, index, size, difficulty, causes=None):
    """A scene whose labels depend on seed and index and whose image on the causes, too."""
    labels = np.random.default_rng([seed, index]).integers(5, size=size, dtype=np.uint8)
    image = np.zeros((*size, 3), np.uint8)
    image[..., 0] = labels
    image[0, 0, 1:] = np.frombuffer(repr(causes).encode(), np.uint8).sum() % 256, index
    return image, labels


@pytest.fixture
def quick(monkeypatch):
    """Replace scenes and models by quick ones, and return a list that gets every model that was loaded."""
    loaded = []

    def load(name, *rest, **more):
        loaded.append(Stub.load(name, *rest, **more))
        return loaded[-1]

    monkeypatch.setattr(fanet.scenes, "scene", fake_scene)
    monkeypatch.setattr(bench.Contestant, "load", load)
    monkeypatch.setattr(bench, "write_report", lambda *rest: None)
    monkeypatch.setattr(bench, "plot_curves", lambda *rest: None)
    monkeypatch.setattr(torch, "__version__", "2.0")
    return loaded
