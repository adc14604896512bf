import numpy as np
import pytest

from fanet.classes import ZEROWASTE, ClassScheme
from fanet.errors import UserError
from fanet.segmentation.evaluation.clutterbench.models import _fingerprint, indices_of, short_names
from fanet.segmentation.network.shipped import load_model


def test_classes_are_matched_by_name():
    known = ClassScheme(("metal", "background", "cardboard", "soft_plastic", "rigid_plastic"))
    indices = indices_of(known, "mine")
    assert [ZEROWASTE.names[index] for index in indices] == list(known.names)


def test_numbered_classes_are_those_of_the_scenes():
    assert indices_of(ClassScheme.numbered(5), "mine").tolist() == [0, 1, 2, 3, 4]
    assert indices_of(ZEROWASTE, "mine").dtype == np.uint8


@pytest.mark.parametrize("names", [("road", "sky"), (*ZEROWASTE.names, "glass"), ("class_0", "class_1")])
def test_other_classes_are_refused_by_name(names):
    with pytest.raises(UserError, match=f"mine knows the classes {names[0]}, .* the scenes have background"):
        indices_of(ClassScheme(names), "mine")


def test_names_in_legends_are_short_where_they_differ(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("runs/a/best", "runs/b/best", "old/b/final", "net"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "other.onnx").touch()
    models = ["clutter", "runs/a/best", "net", "other.onnx", "org/name"]
    assert short_names(models) == ["clutter", "a", "net", "other", "org/name"]
    assert short_names(["runs/b/best", "old/b/final"]) == ["runs/b/best", "old/b/final"]


def test_a_fingerprint_follows_what_an_onnx_file_consists_of(tmp_path):
    file = tmp_path / "net.onnx"
    found = []
    for name, contents in (("net.onnx", "graph"), ("net.onnx.data", "weights"), ("net.json", "classes")):
        (tmp_path / name).write_text(contents)
        found.append(_fingerprint(str(file)))
    (tmp_path / "other.onnx").write_text("another")
    assert len(set(found)) == 3 and _fingerprint(str(file)) == found[-1]


def test_a_fingerprint_is_that_of_the_weights(tmp_path):
    net = load_model("clutter")
    net.save_pretrained(tmp_path / "same")
    next(net.parameters()).data[0] += 1
    net.save_pretrained(tmp_path / "trained")
    same, trained = (_fingerprint(str(tmp_path / name)) for name in ("same", "trained"))
    assert same == _fingerprint("clutter") != trained
