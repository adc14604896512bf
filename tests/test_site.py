"""The documentation site as it is built, in Chromium: its search finds pages, and nothing is loaded from elsewhere."""

import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MKDOCS = ROOT / ".venv-docs" / "bin" / "mkdocs"
CHROMIUM = shutil.which("chromium")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: apt-get install chromium"),
    pytest.mark.skipif(not MKDOCS.is_file(), reason="the tools that build the site are not installed: make docs"),
]


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The site, built anew and served on this machine."""
    site = tmp_path_factory.mktemp("site")
    argv = [str(MKDOCS), "build", "--strict", "--quiet", "--site-dir", str(site)]
    built = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, env={"NO_MKDOCS_2_WARNING": "1"})
    assert (built.returncode, built.stdout, built.stderr) == (0, "", "")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("words", "page"),
    [
        ("unlabelled_split", "training.html"),
        ("push_to_hub", "weights.html"),
        ("fanet calibrate", "calibration.html"),
        ("rtsp", "prediction.html"),
        ("frequency refinement", "architecture.html"),
    ],
)
def test_search_finds_the_page(address: str, words: str, page: str) -> None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        tab = browser.new_page()
        requests: list[str] = []
        tab.on("request", lambda request: requests.append(request.url))
        tab.goto(address + "index.html")
        tab.keyboard.press("/")
        tab.keyboard.type(words)
        tab.locator(f"li:nth-child(-n + 3) > a.md-search-result__link[href*='{page}']").first.click()
        tab.wait_for_url(re.compile(page))
        browser.close()
    assert requests and not [url for url in requests if not url.startswith((address, "data:", "blob:"))]
