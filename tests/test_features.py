import numpy as np
import pytest
import torch
from PIL import Image

from fanet.classes import ZEROWASTE, ClassScheme, colour_blind_safe
from fanet.cli import main
from fanet.errors import UserError
from fanet.features import refinement_maps, write_features
from fanet.segmentation import UperNet, load_model
from fanet.segmentation.network.shipped import FOLDER

SCENE, LABELS = FOLDER / "clutter" / "scene.png", FOLDER / "clutter" / "scene_labels.png"


def model(**kwargs: object) -> UperNet:
    torch.manual_seed(0)
    return UperNet("test_fanet", num_classes=5, head_channels=8, aux_channels=0, backbone_kwargs=kwargs).eval()


def image(height: int = 66, width: int = 50) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_maps_are_those_of_the_equations():
    net = model()
    found = refinement_maps(net, image(), stage=3)
    assert (found.block, list(found.maps)) == (2, ["F", "S", "R", "output"])
    afe = next(part for name, part in net.named_modules() if name.endswith("stages.2.blocks.1.afe"))
    frm, scm = afe.refine, afe.context
    given = torch.from_numpy(found.maps["F"])[None]
    with torch.no_grad():
        smooth = torch.nn.functional.interpolate(frm.down(given), size=given.shape[-2:], mode="bilinear")
        torch.testing.assert_close(torch.from_numpy(found.maps["S"])[None], given * smooth)
        torch.testing.assert_close(torch.from_numpy(found.maps["R"])[None], given - smooth)
        torch.testing.assert_close(torch.from_numpy(found.maps["output"])[None], frm(given))
        torch.testing.assert_close(torch.from_numpy(found.context)[None], scm(given))
    assert (found.prediction == net.predict(image())).all()
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in net.backbone.modules()), "hooks are gone"


def test_stage_and_block_are_chosen():
    net = model()
    assert refinement_maps(net, image(), stage=3, block=1).block == 1
    assert refinement_maps(net, image(), stage=1).maps["F"].shape == (8, 17, 13)
    assert list(refinement_maps(model(frm="high"), image()).maps) == ["F", "R", "output"]
    assert refinement_maps(model(scm=False), image()).context is None


@pytest.mark.parametrize(
    ("kwargs", "place", "message"),
    [
        ({"frm": "none"}, {}, "the model has no FRM"),
        ({}, {"stage": 5}, "no FRM in stage 5, only in 1, 2, 3, 4"),
        ({}, {"block": 3}, "stage 3 has 2 blocks, so block must be 1 to 2, not 3"),
    ],
)
def test_place_without_an_frm_is_refused(kwargs, place, message):
    with pytest.raises(UserError, match=message):
        refinement_maps(model(**kwargs), image(), **place)


def test_truth_of_another_size_is_refused(tmp_path):
    with pytest.raises(UserError, match="truth has 50x66 pixels, the image 66x50"):
        write_features(image(50, 66), tmp_path / "out.png", model(), truth=np.zeros((66, 50), np.uint8))


def test_command_draws_the_figure(tmp_path, capsys):
    assert main(["features", str(SCENE), "--truth", str(LABELS), "-o", str(tmp_path / "out")]) == 0
    path = tmp_path / "out" / "scene_features.png"
    assert capsys.readouterr().out == f"FRM of stage 3, block 4, 24 x 32 positions: {path}\n"
    with Image.open(path) as figure:
        assert figure.size[0] == 700 and len(figure.convert("RGB").getcolors(1 << 20)) > 1000
    first = path.read_bytes()
    write_features(SCENE, path, load_model(), truth=LABELS)
    assert path.read_bytes() == first, "the same bytes every time"


def test_small_image_without_truth_is_drawn(tmp_path):
    write_features(image(33, 33), tmp_path / "new" / "out.png", model(), stage=4)
    assert (tmp_path / "new" / "out.png").stat().st_size > 5000


def test_colours_of_figures_differ_for_the_colour_blind():
    safe = colour_blind_safe(ZEROWASTE)
    assert (safe.names, safe.palette[0]) == (ZEROWASTE.names, ZEROWASTE.palette[0])
    brightness = sorted(np.dot(colour, (0.299, 0.587, 0.114)) for colour in safe.palette[1:])
    assert np.diff(brightness).min() > 15, "they differ without any hue"
    many = ClassScheme.numbered(20)
    assert colour_blind_safe(many) is many
