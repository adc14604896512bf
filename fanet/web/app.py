"""The page to try a model on, which is also a Hugging Face Space: copy this file there as `app.py`.

A Space needs `fanet[web]` in its requirements.txt. On one's own machine `fanet demo --web` serves the page.
"""

import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

from fanet.errors import InputWarning, UserError, needs_extra
from fanet.segmentation.network.shipped import DEFAULT, shipped_models
from fanet.web import views
from fanet.web.inputs import MOST_BYTES, MOST_FILES, MOST_PIXELS, draw_scene, ranges, read_upload, without_folders
from fanet.web.segmenting import (
    AUTOMATIC,
    WINDOWS,
    Segmented,
    engines,
    pack_results,
    predictor,
    segment,
    segment_all,
)

with needs_extra("web", "gradio"):
    import gradio as gr

    from fanet.web.style import CSS, theme

_ABOUT = "Drop images, or draw a scene. The model gives every pixel a class, and shows it as a colour."
_SCENE, _UPLOAD = "scene", "upload"  # which of the two is segmented
_FEATURES = "features"  # the tab that needs another run of the network
_STAGES = [1, 2, 3, 4]

#: What every `launch` of the page is given: nothing is fetched from elsewhere, recorded or shared.
LAUNCH: dict[str, Any] = dict(
    css=CSS,
    footer_links=[],
    max_file_size=MOST_BYTES,
    pwa=False,
    run_history=False,
    share=False,
    ssr_mode=False,
    state_session_capacity=32,  # results are kept in memory
    theme=theme(),
)


def build_page(models: Sequence[str] = ()) -> gr.Blocks:
    """Build the page.

    Args:
        models: One's own models, as for `load_predictor`; the first is chosen at the start. Those inside the package
            follow.

    Returns:
        The page, to be launched with `LAUNCH`.
    """
    folder = Path(tempfile.mkdtemp(prefix="fanet_results_"))  # of temporary files: gradio offers no others for download
    inside = sorted(shipped_models(), key=lambda name: name != DEFAULT)
    page = gr.Blocks(title="fanet", analytics_enabled=False, delete_cache=(600, 3600))
    with page:
        gr.Markdown(f"# fanet: what is where in an image\n{_ABOUT}", elem_classes="title")
        with gr.Row():
            with gr.Column(scale=2, min_width=300):
                inputs = _Inputs([*models, *(name for name in inside if name not in models)])
            with gr.Column(scale=3, min_width=300):
                outputs = _Outputs()
        _connect(page, inputs, outputs, folder)
    return page


class _Inputs:
    """The left column: what is segmented, and how."""

    def __init__(self, models: Sequence[str]) -> None:
        self.kind = gr.State(_SCENE)
        with gr.Tabs():
            with gr.Tab("Generated scene") as self.scene_tab:
                self.difficulty = gr.Slider(0, 1, 0.2, step=0.05, label="Difficulty")
                self.seed = gr.Number(0, precision=0, minimum=0, maximum=10**6, label="Scene number")
                with gr.Accordion("Single causes of clutter", open=False):
                    self.single = gr.Checkbox(label="Set each cause by itself")
                    self.causes = {
                        name: gr.Slider(low, high, usual, step=_step(name, high), label=_words(name))
                        for name, (low, high, usual) in ranges().items()
                    }
            with gr.Tab("Your images") as self.upload_tab:
                limits = f"up to {MOST_FILES} of {MOST_BYTES >> 20} MB and {MOST_PIXELS // 10**6} million pixels each"
                self.files = gr.File(file_count="multiple", label=f"Images, {limits}", height=170)
                self.chosen = gr.Dropdown([], label="Image", visible=False)
                self.everything = gr.Button("Segment all images for download", visible=False)
                self.archive = gr.File(label="Results of all images", visible=False)
        self.model = gr.Dropdown(list(models), value=models[0], label="Model")
        with gr.Accordion("Window and engine", open=False), gr.Row():
            self.window = gr.Dropdown(list(WINDOWS), value=AUTOMATIC, label="Window", min_width=120)
            self.engine = gr.Dropdown(engines(), label="Engine", min_width=120)

    @property
    def scene(self) -> list[Any]:
        return [self.difficulty, self.seed, self.single, *self.causes.values()]

    @property
    def settings(self) -> list[Any]:
        return [self.model, self.engine, self.window]


class _Outputs:
    """The right column: the result."""

    def __init__(self) -> None:
        self.found = gr.State(None)
        self.tab = gr.State("")
        self.picture = gr.Image(
            label="Click for probabilities",
            alt_text="The image with its classes in colour",
            format="png",
            interactive=False,
            buttons=["fullscreen"],
            elem_id="picture",
        )
        with gr.Row():
            self.shown = gr.Checkbox(True, label="Overlay", min_width=140, scale=1)
            self.opacity = gr.Slider(0.1, 1, 0.5, step=0.1, label="Opacity", min_width=150, scale=3)
        self.headline = gr.HTML(elem_classes="slim")
        self.legend = gr.HTML(elem_classes="slim")
        self.download = gr.DownloadButton("Download results", variant="primary")
        with gr.Tabs():
            with gr.Tab("Objects") as objects_tab:
                self.objects = gr.Dataframe(headers=list(views.OBJECT_COLUMNS), interactive=False, max_height=360)
            with gr.Tab("Pixel") as pixel_tab:
                with gr.Row():
                    self.x = gr.Number(0, precision=0, minimum=0, label="x", min_width=80)
                    self.y = gr.Number(0, precision=0, minimum=0, label="y", min_width=80)
                self.pixel = gr.HTML()
            with gr.Tab("SCM & FRM") as features_tab:
                self.stage = gr.Radio(_STAGES, value=3, label="Stage")
                self.features = gr.HTML()
        self.tabs = {"objects": objects_tab, "pixel": pixel_tab, _FEATURES: features_tab}

    @property
    def result(self) -> list[Any]:
        return [self.found, self.picture, self.headline, self.legend, self.objects, self.pixel, self.download]


def _connect(page: gr.Blocks, inputs: _Inputs, outputs: _Outputs, folder: Path) -> None:
    """Say what happens when."""
    run: dict[str, Any] = dict(
        fn=partial(_run, folder),
        inputs=[
            inputs.kind,
            inputs.files,
            inputs.chosen,
            *inputs.settings,
            outputs.shown,
            outputs.opacity,
            outputs.x,
            outputs.y,
            *inputs.scene,
        ],
        outputs=outputs.result,
        trigger_mode="always_last",
        concurrency_id="network",
        api_visibility="private",
    )
    see: dict[str, Any] = dict(
        fn=_features,
        inputs=[outputs.found, outputs.tab, outputs.stage],
        outputs=outputs.features,
        concurrency_id="network",
        api_visibility="private",
    )
    quiet: dict[str, Any] = dict(show_progress="hidden", api_visibility="private")
    triggers = [page.load, *(part.change for part in (*inputs.scene, *inputs.settings)), inputs.chosen.select]
    _follow(gr.on(triggers, **run), see, outputs)
    for cause in inputs.causes.values():  # who moves one wants it to count
        cause.input(partial(_constant, True), outputs=inputs.single, **quiet)
    for kind, tab in ((_SCENE, inputs.scene_tab), (_UPLOAD, inputs.upload_tab)):
        selected = tab.select(partial(_constant, kind), outputs=inputs.kind, **quiet)
        _follow(selected.then(**run), see, outputs)
    listed = [inputs.chosen, inputs.everything, inputs.archive]
    _follow(inputs.files.change(_list_files, inputs.files, listed, **quiet).then(**run), see, outputs)

    redraw: dict[str, Any] = dict(
        fn=_redraw, inputs=[outputs.found, outputs.shown, outputs.opacity], outputs=outputs.picture
    )
    gr.on([outputs.shown.change, outputs.opacity.change], **redraw, trigger_mode="always_last", **quiet)
    place = [outputs.x, outputs.y]
    outputs.picture.select(_clicked, outputs.found, place, **quiet)
    outputs.objects.select(_selected, None, place, **quiet)
    gr.on([outputs.x.change, outputs.y.change], _probabilities, [outputs.found, *place], outputs.pixel, **quiet)
    for name, tab in outputs.tabs.items():
        tab.select(partial(_constant, name), outputs=outputs.tab, **quiet).then(**see)
    outputs.stage.change(**see)
    inputs.everything.click(
        partial(_run_all, folder),
        [inputs.files, *inputs.settings],
        inputs.archive,
        concurrency_id="network",
        api_visibility="private",
    )


def _follow(run: Any, see: dict[str, Any], outputs: _Outputs) -> None:
    """Say what follows a run: what the open tab needs, or, of an image that cannot be segmented, nothing at all."""
    run.success(**see)
    run.failure(_nothing, outputs=[*outputs.result, outputs.features], show_progress="hidden", api_visibility="private")


def _run(
    folder: Path,
    kind: str,
    files: list[str] | None,
    chosen: str | None,
    model: str,
    engine: str,
    window: str,
    shown: bool,
    opacity: float,
    x: int,
    y: int,
    difficulty: float,
    seed: int,
    single: bool,
    *causes: float,
) -> Any:
    """Segment what is chosen, and return the values of `_Outputs.result`."""
    if kind == _UPLOAD and not files:
        return gr.skip()
    with _told() as notes:
        if kind == _UPLOAD:
            run = predictor(model, engine)
            source = read_upload(_path_of(chosen, files or []), run.channels, len(run.classes))
        else:
            values = dict(zip(ranges(), causes, strict=True)) if single else None
            source = draw_scene(int(seed or 0), difficulty, values)
        found = segment(source, model, engine, window)
        return (
            found,
            _redraw(found, shown, opacity),
            views.headline(found, [without_folders(str(note.message), files or []) for note in notes]),
            views.legend(found),
            views.object_rows(found),
            views.probabilities(found, x or 0, y or 0),
            str(pack_results(found, folder)),
        )


def _nothing() -> tuple[Any, ...]:
    """Return the values of `_Outputs.result`, and of its features, of no image."""
    return None, None, "", "", [], "", None, ""


def _run_all(folder: Path, files: list[str], model: str, engine: str, window: str) -> Any:
    with _told():
        return gr.update(value=str(segment_all(files, model, engine, window, folder)), visible=True)


def _list_files(files: list[str] | None) -> tuple[Any, Any, Any]:
    """Return the choice among the files that were dropped, if there are several."""
    choices = [(Path(path).name, str(path)) for path in files or []]
    several = len(choices) > 1
    return (
        gr.update(choices=choices, value=choices[0][1] if choices else None, visible=several),
        gr.update(visible=several),
        gr.update(value=None, visible=False),
    )


def _path_of(chosen: str | None, files: Sequence[str]) -> str:
    return chosen if chosen is not None and chosen in files else files[0]


def _redraw(found: Segmented | None, shown: bool, opacity: float) -> Any:
    return gr.skip() if found is None else views.picture(found, opacity if shown else 0.0)


def _clicked(found: Segmented | None, event: gr.SelectData) -> Any:
    """Return the pixel of the image that was clicked on."""
    if found is None:
        return gr.skip()
    return views.pixel_of(found, *event.index)


def _selected(event: gr.SelectData) -> tuple[int, int]:
    """Return the centre of the object whose row was selected."""
    return event.row_value[views.OBJECT_X], event.row_value[views.OBJECT_Y]


def _probabilities(found: Segmented | None, x: int | None, y: int | None) -> Any:
    return gr.skip() if found is None else views.probabilities(found, x or 0, y or 0)


def _features(found: Segmented | None, tab: str, stage: int) -> Any:
    """Return what SCM and FRM see, if anybody looks at it."""
    if found is None or tab != _FEATURES:
        return gr.skip()
    try:
        return views.features(found, stage)
    except UserError as error:  # said where the maps would be: nothing else is wrong
        return f"<p>{escape(str(error))}</p>"


def _constant(value: Any) -> Any:
    return value


@contextmanager
def _told() -> Iterator[list[warnings.WarningMessage]]:
    """Tell mistakes of the user in the one line that they have, and yield the list of what is noted about images."""
    try:
        with warnings.catch_warnings(record=True) as notes:  # of all threads, but only one is here at a time
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", InputWarning)
            yield notes
    except UserError as error:
        raise gr.Error(escape(str(error)), duration=None, title="This does not work", print_exception=False) from error


def _words(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _step(name: str, high: float) -> float:
    return 1 if name == "object_count" else 0.01 if high < 1 else 0.05


if __name__ == "__main__":  # on a Space
    build_page().launch(**LAUNCH)
