import json
import sys

import numpy as np
import pytest
from PIL import Image

import fanet.scenes
from fanet.classes import ZEROWASTE
from fanet.errors import UserError
from fanet.segmentation.data.clutter import ClutterScenes, SceneSource, write_clutter
from fanet.segmentation.data.in_memory import InMemory


@pytest.fixture
def drawn(monkeypatch):
    """Replace the generator by a fast one and return the list of its calls."""
    calls = []

    def scene(seed, index, size, difficulty):
        calls.append((seed, index, size, difficulty))
        rng = np.random.default_rng([seed, index])
        return rng.integers(256, size=(*size, 3), dtype=np.uint8), rng.integers(5, size=size, dtype=np.uint8)

    monkeypatch.setattr(fanet.scenes, "scene", scene)
    return calls


def test_scenes_in_memory_are_those_of_the_generator_in_order():
    held = InMemory(ClutterScenes("train", count=2, seed=3, size=(48, 64), difficulty=0.5))
    for index, sample in enumerate(held):
        image, labels = fanet.scenes.scene(3, index, size=(48, 64), difficulty=0.5)
        assert (sample.image == image).all() and (sample.labels == labels).all()


def test_scenes_in_memory_do_not_depend_on_the_number_of_processes():
    scenes = ClutterScenes("train", count=5, size=32, difficulty=[0.1, 0.9])
    for alone, shared in zip(InMemory(scenes, workers=1), InMemory(scenes, workers=2), strict=True):
        assert (alone.image == shared.image).all() and (alone.labels == shared.labels).all()


def test_difficulty_range_gives_every_scene_its_own_difficulty(drawn):
    list(ClutterScenes("train", count=50, seed=1, size=32, difficulty=[0.2, 0.6]))
    difficulties = [difficulty for *_, difficulty in drawn]
    assert 0.2 <= min(difficulties) < 0.3 < 0.5 < max(difficulties) <= 0.6
    assert len(set(difficulties)) == 50
    assert SceneSource.of(1, 32, [0.2, 0.6]).difficulty_of(7) == difficulties[7], "a function of seed and index alone"


def test_causes_reach_the_generator():
    scenes = ClutterScenes("test", count=1, seed=3, size=64, causes={"occlusion": 0.4})
    image, labels = fanet.scenes.scene(3, 0, size=(64, 64), causes={"occlusion": 0.4})
    assert (scenes[0].image == image).all() and (scenes[0].labels == labels).all()


@pytest.mark.parametrize(
    ("causes", "message"), [({"haze": 1}, "no cause"), ({"occlusion": 2}, "0..0.6"), ({"object_size": 0.05}, "small")]
)
def test_impossible_causes_are_refused_before_anything_is_drawn(causes, message):
    with pytest.raises(UserError, match=message):
        ClutterScenes("test", count=1, size=64, causes=causes)


def test_files_have_the_layout_of_zerowaste(tmp_path, drawn):
    folder = write_clutter(tmp_path / "set", 3, seed=5, size=[40, 48], difficulty=0.3, split="val")
    assert folder == tmp_path / "set" / "splits_final_deblurred" / "val"
    assert sorted(path.name for path in folder.iterdir()) == ["data", "labels.json", "sem_seg"]
    names = [f"scene_{index:06d}.PNG" for index in range(3)]
    for kind in ("data", "sem_seg"):
        assert sorted(path.name for path in (folder / kind).iterdir()) == names
    image, labels = SceneSource.of(5, [40, 48], 0.3)(1)
    with Image.open(folder / "data" / names[1]) as stored:
        assert stored.mode == "RGB"
        assert (np.asarray(stored) == image).all()
    with Image.open(folder / "sem_seg" / names[1]) as stored:
        assert stored.mode == "L", "one channel of 8 bits"
        assert (np.asarray(stored) == labels).all()


def test_description_names_classes_images_and_origin(tmp_path, drawn):
    folder = write_clutter(tmp_path, 2, seed=5, size=40, difficulty=[0, 0.4])
    description = json.loads((folder / "labels.json").read_text())
    assert [category["name"] for category in description["categories"]] == list(ZEROWASTE.names)
    assert [category["id"] for category in description["categories"]] == [0, 1, 2, 3, 4]
    assert description["images"][1] == {"id": 1, "file_name": "scene_000001.PNG", "height": 40, "width": 40}
    expected = {"generator": "fanet.scenes", "seed": 5, "size": [40, 40], "difficulty": [0, 0.4], "count": 2}
    assert description["info"] == expected


def test_splits_share_a_folder_and_none_is_overwritten(tmp_path, drawn):
    write_clutter(tmp_path, 1, seed=1, size=32, split="train")
    write_clutter(tmp_path, 1, seed=2, size=32, split="test")
    before = (tmp_path / "splits_final_deblurred" / "test" / "labels.json").read_text()
    with pytest.raises(UserError, match="exists"):
        write_clutter(tmp_path, 1, seed=3, size=32, split="test")
    assert (tmp_path / "splits_final_deblurred" / "test" / "labels.json").read_text() == before


def test_failure_leaves_nothing_that_looks_like_a_split(tmp_path, monkeypatch):
    def scene(seed, index, size, difficulty):
        if index == 2:
            raise RuntimeError("out of paint")
        return np.zeros((*size, 3), np.uint8), np.zeros(size, np.uint8)

    monkeypatch.setattr(fanet.scenes, "scene", scene)
    with pytest.raises(RuntimeError, match="out of paint"):
        write_clutter(tmp_path, 4, seed=1, size=32)
    assert list((tmp_path / "splits_final_deblurred").iterdir()) == []


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"count": 0}, "at least 1"),
        ({"size": 16}, "at least 32"),
        ({"size": [64, 64, 3]}, "a height and a width"),
        ({"seed": -1}, "negative"),
        ({"difficulty": 1.5}, "0..1"),
        ({"difficulty": [0.5, 0.1]}, "low, high"),
        ({"split": "../test"}, "folder name"),
        ({"split": ""}, "folder name"),
    ],
)
def test_values_out_of_range_are_refused_before_anything_is_written(tmp_path, drawn, values, message):
    with pytest.raises(UserError, match=message):
        write_clutter(**{"root": tmp_path / "set", "count": 1, "seed": 1, "size": 32} | values)
    assert not (tmp_path / "set").exists()
    assert not drawn


def test_missing_opencv_says_what_to_install(monkeypatch, tmp_path):
    for name in [name for name in sys.modules if name.startswith("fanet.scenes")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(fanet, "scenes")
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(UserError, match=r'pip install "fanet\[seg\]"'):
        ClutterScenes("train", count=1, size=32)
    with pytest.raises(UserError, match=r'pip install "fanet\[seg\]"'):
        write_clutter(tmp_path / "set", count=1, seed=1, size=32)
    assert not list(tmp_path.iterdir())
