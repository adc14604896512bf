"""What the page does, without a browser."""

import asyncio
import csv
import io
import runpy
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from fanet.classes import ClassScheme
from fanet.errors import UserError
from fanet.scenes import scene
from fanet.segmentation import load_model
from fanet.segmentation.prediction.thresholds import PurityThresholds
from fanet.web import app, inputs, segmenting, views
from fanet.web.inputs import Source, draw_scene, ranges, read_upload
from fanet.web.segmenting import Segmented, segment


@pytest.fixture(scope="module")
def found() -> Segmented:
    return segment(draw_scene(0, 0.2), "clutter")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.jpg"
    Image.fromarray(scene(1, 0, (60, 90))[0]).save(path)
    return path


def built(build: Callable[[], object]) -> object:
    """Call it in a running event loop: gradio makes one otherwise, which it does not close."""

    async def call() -> object:
        return build()

    return asyncio.run(call())


def run(folder: Path, kind: str = "scene", files: list[str] | None = None, **changes: object) -> tuple:
    values = {
        "kind": kind,
        "files": files,
        "chosen": None,
        "model": "clutter",
        "engine": "eager",
        "window": "automatic",
        "shown": True,
        "opacity": 0.5,
        "x": 3,
        "y": 4,
        "difficulty": 0.2,
        "seed": 0,
        "single": False,
        **changes,
    }
    return app._run(folder, *values.values(), *(usual for _, _, usual in ranges().values()))


def test_scene_is_segmented_as_in_python(found):
    image, truth = scene(0, 0, inputs.SCENE_SIDE, 0.2)
    assert (found.source.pixels == image).all() and (found.source.truth == truth).all()
    assert (found.labels == load_model("clutter").predict(image)).all()
    assert found.probabilities.shape == (5, *image.shape[:2])
    areas = [entry.area for entry in found.objects]
    assert areas == sorted(areas, reverse=True) and areas[-1] >= 64


def test_a_single_cause_changes_the_scene():
    causes = {name: usual for name, (_, _, usual) in ranges().items()}
    assert (draw_scene(0, 0.2, causes).pixels != draw_scene(0, 0.2, {**causes, "occlusion": 0.6}).pixels).any()


def test_result_has_all_that_the_page_shows(tmp_path):
    state, picture, headline, legend, objects, pixel, download = run(tmp_path)
    assert picture.shape == (768, 768, 3) and (picture != app._redraw(state, False, 0.5)).any()
    assert "384 × 384 pixels" in headline and "mIoU" in headline
    assert all(name.replace("_", " ") in legend for name in state.classes.names) and "IoU" in legend
    assert len(objects) == len(state.objects) and "at x 3, y 4" in pixel
    with zipfile.ZipFile(download) as archive:
        assert sorted(archive.namelist()) == [
            "objects.csv",
            "scene_0_labels.png",
            "scene_0_objects.csv",
            "scene_0_overlay.png",
        ]
        with Image.open(io.BytesIO(archive.read("scene_0_labels.png"))) as labels:
            assert (np.asarray(labels) == state.labels).all()
        rows = list(csv.reader(io.TextIOWrapper(archive.open("objects.csv"))))
    assert len(rows) == 1 + len(objects)


def test_overlay_can_be_switched_off(found):
    small = app._redraw(found, False, 0.5)[::2, ::2].astype(int)
    assert abs(small - found.source.pixels).mean() < 5
    assert (app._redraw(found, True, 1.0) != app._redraw(found, True, 0.3)).any()


def test_probabilities_are_those_of_the_clicked_pixel(found):
    label = found.classes.names[found.labels[40, 30]].replace("_", " ")
    text = views.probabilities(found, *app._clicked(found, gr.SelectData(None, {"index": [61, 80], "value": None})))
    assert text.split("</span>")[1].startswith(f"{label}<"), "the most likely class is in the first row"
    assert f"{100 * float(found.probabilities[:, 40, 30].max()):.1f} %" in text
    assert "x 383, y 0" in views.probabilities(found, 5000, -2)


def test_click_on_a_reduced_image_finds_its_pixel(found):
    pixels = np.zeros((100, 3300, 3), np.uint8)
    wide = replace(found, source=Source("wide", pixels), labels=np.zeros((100, 3300), np.uint8))
    assert views.picture(wide, 0.5).shape == (34, 1100, 3)
    assert app._clicked(wide, gr.SelectData(None, {"index": [1000, 20], "value": None})) == (3000, 60)


def test_selected_object_gives_its_centre(found):
    row = views.object_rows(found)[0]
    assert app._selected(gr.SelectData(None, {"index": [0, 1], "value": "", "row_value": row})) == (row[4], row[5])


def test_features_show_scm_and_frm(found):
    text = app._features(found, "features", 3)
    assert text.count("<img") == 5 and "SCM" in text and "FRM" in text
    assert app._features(found, "objects", 3) == gr.skip(), "nobody looks"


def test_model_without_an_frm_says_so(found, tmp_path):
    from fanet.segmentation import SegmentationModel

    SegmentationModel("resnet18", 2, decoder="linear", head_channels=8).save_pretrained(tmp_path)
    assert app._features(replace(found, model=str(tmp_path)), "features", 3) == (
        "<p>the model has no FRM: choose one on a FANet that was built with frm</p>"
    )


def test_names_are_escaped(found):
    classes = ClassScheme(("background", "<img src=x>", "a", "b", "c"))
    odd = replace(found, classes=classes, drawn=classes, model="<b>")
    assert "<img" not in views.legend(odd) + views.probabilities(odd, 0, 0) and "<b><b>" not in views.headline(odd)


def test_thresholds_of_a_model_leave_pixels_undecided(tmp_path):
    net = load_model("clutter")
    net.thresholds = PurityThresholds(0.9, 0.9, (0.0, 1.0, None, 0.0, 0.0), (1.0,) * 5, {}, (128, 128))
    net.save_pretrained(tmp_path / "calibrated")
    state, _, _, legend, *_, download = run(tmp_path, model=str(tmp_path / "calibrated"))
    assert {255} < set(np.unique(state.labels)) and "undecided" in legend
    assert segmenting.predictor(str(tmp_path / "calibrated")).window == (128, 128)
    assert zipfile.is_zipfile(download)


def test_what_is_noted_about_an_image_is_shown(tmp_path):
    path = tmp_path / "pages.tif"
    pages = [Image.new("RGB", (40, 30)) for _ in range(2)]
    pages[0].save(path, save_all=True, append_images=pages[1:])
    headline = run(tmp_path, "upload", [str(path)])[2]
    assert "only the first of its 2 pages is read" in headline and str(tmp_path) not in headline


def test_images_that_were_dropped_are_segmented(photo, tmp_path):
    state, picture, headline, *_ = run(tmp_path, "upload", [str(photo)], model="bags")
    assert picture.shape == (540, 810, 3) and state.source.name == "photo" and "photographs" in headline
    assert run(tmp_path, "upload", None) == gr.skip()


def test_one_of_several_images_can_be_chosen(photo, tmp_path):
    other = photo.with_name("other.png")
    Image.new("RGB", (40, 50)).save(other)
    paths = [str(photo), str(other)]
    chosen, everything, _ = app._list_files(paths)
    assert chosen["choices"] == [("photo.jpg", paths[0]), ("other.png", paths[1])] and everything["visible"]
    assert run(tmp_path, "upload", paths, chosen=paths[1])[0].labels.shape == (50, 40)
    archive = app._run_all(tmp_path, paths, "clutter", "eager", "automatic")["value"]
    with zipfile.ZipFile(archive) as file:
        names = file.namelist()
    assert {"photo.jpg_labels.png", "other.png_overlay.png", "objects.csv"} <= set(names)


@pytest.mark.parametrize(
    ("name", "contents", "message"),
    [
        ("notes.txt", b"hello", "notes.txt is not an image that Pillow can read"),
        ("empty.png", b"", "empty.png is empty"),
        ("half.jpg", None, "half.jpg is truncated or damaged"),
        ("film.mp4", b"\0\0\0\x18ftypisom", "film.mp4 is a video, the page takes images"),
        ("<b>.png", b"", "&lt;b&gt;.png is empty"),
    ],
)
def test_bad_file_gets_a_sentence_without_its_folder(photo, tmp_path, name, contents, message):
    path = tmp_path / name
    path.write_bytes(photo.read_bytes()[:900] if contents is None else contents)
    with pytest.raises(gr.Error) as error:
        run(tmp_path, "upload", [str(path)])
    assert error.value.message.startswith(message) and str(tmp_path) not in error.value.message
    assert "\n" not in error.value.message and not error.value.print_exception


def test_uploads_are_bounded_before_they_are_decoded(tmp_path, monkeypatch):
    path = tmp_path / "huge.png"
    Image.new("L", (8000, 4000)).save(path)
    monkeypatch.setattr(inputs, "read_channels", lambda *_: pytest.fail("decoded"))
    with pytest.raises(UserError, match="^huge.png has 32.0 million pixels, the page takes 16.0 million: reduce it"):
        read_upload(path, 3, 5)
    with pytest.raises(UserError, match="takes 0.9 million with 150 classes"):
        read_upload(path, 3, 150)
    monkeypatch.setattr(inputs, "MOST_BYTES", 1 << 10)
    with pytest.raises(UserError, match="MB, the page takes"):
        read_upload(path, 3, 5)
    with pytest.raises(UserError, match="21 images, the page takes 20"):
        inputs.check_uploads([path] * 21, 5)


def test_large_images_are_segmented_in_windows_by_themselves():
    assert segmenting.predictor("clutter").window is None
    assert segmenting.predictor("clutter", pixels=3 * 10**6).window == (1024, 1024)
    assert segmenting.predictor("clutter", window="whole image", pixels=3 * 10**6).window is None
    assert segmenting.predictor("clutter", window="256 × 256").window == (256, 256)


def test_files_for_download_do_not_pile_up(found, tmp_path, monkeypatch):
    monkeypatch.setattr(segmenting, "_KEPT", -1)
    paths = [segmenting.pack_results(found, tmp_path) for _ in range(3)]
    assert [path.exists() for path in paths] == [False, False, True]
    assert [path.name for path in tmp_path.iterdir()] == [paths[2].parent.name]


def test_the_file_of_the_page_is_a_space(tmp_path, monkeypatch):
    launched: list[gr.Blocks] = []
    monkeypatch.setattr(gr.Blocks, "launch", lambda self, **_: launched.append(self))
    copy = tmp_path / "app.py"
    copy.write_bytes(Path(app.__file__).read_bytes())
    built(lambda: runpy.run_path(str(copy), run_name="__main__"))
    assert len(launched) == 1 and launched[0].title == "fanet"


def test_nothing_is_fetched_from_elsewhere_or_recorded():
    assert (app.LAUNCH["share"], app.LAUNCH["run_history"], app.LAUNCH["pwa"]) == (False, False, False)
    assert built(app.build_page).analytics_enabled is False
    assert not [font for font in app.LAUNCH["theme"]._stylesheets if font.startswith("http")]


def test_own_models_come_first(tmp_path):
    page = built(lambda: app.build_page(["runs/mine/best"]))
    model = next(block for block in page.blocks.values() if getattr(block, "label", None) == "Model")
    assert [name for _, name in model.choices] == ["runs/mine/best", "clutter", "bags"]
    assert model.value == "runs/mine/best"
