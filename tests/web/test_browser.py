"""The page in Chromium, as a person uses it: served by the command, with a proxy that nobody answers."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from fanet.scenes import scene

from ..platforms import posix

CHROMIUM = shutil.which("chromium")
if CHROMIUM is None:
    pytest.skip("Chromium is not installed: apt-get install chromium", allow_module_level=True)

# one server for all, as starting it takes longest
pytestmark = [pytest.mark.xdist_group("browser"), posix]

PATIENCE = 240_000  # milliseconds, for a machine with much else to do
WIDE, PHONE = (1280, 900), (375, 812)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def address(home: Path) -> Iterator[str]:
    """The page, served by the command from an empty home folder until Ctrl-C; how it ends is checked, too."""
    with _served(home) as address:
        yield address
    written = {path.relative_to(home).parts[0] for path in home.rglob("*") if path.is_file()}
    assert written == {"own"}, "nothing is written outside its folder"


@contextmanager
def _served(home: Path, *more: str, impatient: bool = False) -> Iterator[str]:
    for folder in ("work", "tmp"):
        (home / folder).mkdir()
    nowhere = "http://127.0.0.1:9"  # the port of `discard`
    process = subprocess.Popen(
        [sys.executable, "-m", "fanet", "demo", "--web", "-o", str(home / "own"), *more],
        cwd=home / "work",
        env={
            **os.environ,
            "HOME": str(home),
            "TMPDIR": str(home / "tmp"),
            "XDG_CACHE_HOME": str(home / "cache"),
            **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy"), nowhere),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.fullmatch(r"open (http://127\.0\.0\.1:\d+/) in a browser; Ctrl-C ends it\n", line)
    if found is None:
        process.kill()
        pytest.fail(f"{line}{process.communicate()[1]}")
    yield found[1]
    process.send_signal(signal.SIGINT)
    if impatient:
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
    expected = (130, "", "fanet: interrupted\n") if impatient else (0, "", "")
    assert (process.wait(60), *process.communicate()) == expected


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Tab:
    """A tab that knows what it asked for."""

    def __init__(self, chromium: Browser, address: str, size: tuple[int, int], scheme: str) -> None:
        width, height = size
        self.context = chromium.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        self.context.set_default_timeout(PATIENCE)
        self.page = self.context.new_page()
        self.requests: list[str] = []
        self.errors: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.goto(address)
        self.headline("in 384 × 384 pixels")

    def headline(self, text: str) -> None:
        self.page.locator(".headline", has_text=text).wait_for()


@pytest.fixture(scope="module")
def wide(chromium, address) -> Iterator[Tab]:
    """One tab for all tests, as loading it takes longest."""
    tab = Tab(chromium, address, WIDE, "light")
    yield tab
    assert not tab.errors
    foreign = [url for url in tab.requests if not url.startswith((address, "data:", f"blob:{address}"))]
    assert tab.requests and not foreign, "no request leaves 127.0.0.1"
    tab.context.close()


def test_page_shows_a_segmented_scene_at_once(wide):
    page = wide.page
    page.wait_for_function("document.querySelector('#picture img')?.naturalWidth === 768")
    assert "Classes" in page.locator("table.classes").first.inner_text()
    assert page.locator("table.classes").first.locator("tbody tr").count() == 5
    page.get_by_role("gridcell", name="soft plastic").first.wait_for()


def test_click_on_the_image_shows_its_probabilities(wide):
    page = wide.page
    page.get_by_role("tab", name="Pixel").click()
    page.locator("#picture img").click(position={"x": 200, "y": 150})
    page.locator("caption", has_text=re.compile("at x [1-9]")).wait_for()


def test_overlay_is_toggled_and_features_are_shown_by_keyboard_only(wide):
    page = wide.page
    before = page.locator("#picture img").get_attribute("src")
    page.get_by_label("Overlay").focus()
    page.keyboard.press("Space")
    page.wait_for_function("src => document.querySelector('#picture img')?.src !== src", arg=before)
    page.keyboard.press("Space")
    page.get_by_role("tab", name="Pixel").focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.locator(".maps img").nth(4).wait_for()


def test_slider_draws_another_scene_by_keyboard_only(wide):
    page = wide.page
    before = page.locator(".headline").inner_html()
    page.get_by_label("range slider for Difficulty").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("text => document.querySelector('.headline')?.innerHTML !== text", arg=before)


def test_tab_key_reaches_every_control(wide):
    page = wide.page
    page.evaluate("document.activeElement.blur()")
    reached = set()
    for _ in range(60):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("(({ariaLabel, innerText}) => ariaLabel || innerText)(document.activeElement)"))
    text = " ".join(filter(None, reached))
    for name in (
        "Generated scene",
        "Your images",
        "Difficulty",
        "Model",
        "Window and engine",
        "Download results",
        "Objects",
    ):
        assert name in text, text


def test_upload_is_segmented_and_its_results_are_downloaded(wide, tmp_path):
    page = wide.page
    photo = tmp_path / "photo.png"
    Image.fromarray(scene(1, 0, (60, 90))[0]).save(photo)
    page.get_by_role("tab", name="Your images").click()
    page.locator("input[type=file]").first.set_input_files(photo)
    wide.headline("in 90 × 60 pixels")
    with page.expect_download() as download:
        page.get_by_text("Download results").click()
    assert download.value.suggested_filename == "fanet_photo.zip"


def test_bad_file_gets_a_sentence_and_no_stack(wide, tmp_path):
    page = wide.page
    bad = tmp_path / "notes.txt"
    bad.write_text("hello")
    page.get_by_role("tab", name="Your images").click()
    if (clear := page.get_by_label("Clear").first).is_visible():  # the image of another test
        clear.click()
    page.locator("input[type=file]").first.set_input_files(bad)
    toast = page.locator(".toast-body", has_text="notes.txt is not an image that Pillow can read")
    toast.wait_for()
    page.locator(".headline").wait_for(state="detached")
    assert "Traceback" not in page.content() and str(tmp_path) not in page.content()


SLOW = """
from pathlib import Path
import torch
from fanet.segmentation import SegmentationModel

def coarse_logits(self, images):
    Path("begun").touch()
    while True:
        images @ images.mT

SegmentationModel.coarse_logits = coarse_logits
"""


@pytest.mark.parametrize("impatient", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_ctrl_c_ends_a_page_that_is_segmenting(chromium, tmp_path, impatient):
    (tmp_path / "slow.py").write_text(SLOW)
    served = _served(tmp_path, "--import", str(tmp_path / "slow.py"), impatient=impatient)
    with chromium.new_context() as context, served as address:  # the tab is open when the page ends
        page = context.new_page()
        page.goto(address)
        begun = tmp_path / "work" / "begun"
        for _ in range(PATIENCE // 100):
            if begun.exists():
                break
            page.wait_for_timeout(100)
        assert begun.exists()


def test_page_fits_a_phone_in_the_dark(chromium, address):
    tab = Tab(chromium, address, PHONE, "dark")
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= PHONE[0]
    assert tab.page.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"
    tab.context.close()
