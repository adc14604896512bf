"""The wheel and the source archive, as `python -m build` makes them: all that the package needs, and nothing else."""

import email
import shutil
import subprocess
import sys
import tarfile
import zipfile
from email.message import Message
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
IMAGES = (".png", ".jpg", ".jpeg", ".webp", ".avif", ".heic", ".tif", ".tiff")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.xdist_group("package"),  # builds once
    pytest.mark.skipif(not (ROOT / ".git").exists(), reason="needs git's list of the files"),
]


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with both archives, built from what a commit of the tree as it is would hold."""
    pytest.importorskip("setuptools", minversion="77", reason="builds with the setuptools that is installed")
    pytest.importorskip("build", reason="build is not installed: pip install build")
    tree = tmp_path_factory.mktemp("tree")
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.run(listed, cwd=ROOT, check=True, capture_output=True).stdout.decode().split("\0"):
        if name and (ROOT / name).is_file():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tree / name)
    done = subprocess.run([sys.executable, "-m", "build", "--no-isolation"], cwd=tree, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return tree / "dist"


@pytest.fixture(scope="module")
def wheel(dist: Path) -> dict[str, int]:
    """The names of the files in the wheel, with their sizes."""
    (path,) = dist.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        return {info.filename: info.file_size for info in archive.infolist()}


@pytest.fixture(scope="module")
def metadata(dist: Path) -> Message:
    (path,) = dist.glob("*.whl")
    with zipfile.ZipFile(path) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return email.message_from_string(archive.read(name).decode())


@pytest.fixture(scope="module")
def source(dist: Path) -> dict[str, tarfile.TarInfo]:
    """The files in the source archive, by their names below its only folder."""
    (path,) = dist.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        return {info.name.partition("/")[2]: info for info in archive if info.isfile()}


def _tree(*patterns: str) -> set[str]:
    found = {path.relative_to(ROOT).as_posix() for pattern in patterns for path in ROOT.glob(pattern)}
    assert found
    return found


def test_wheel_holds_the_types_and_the_recipes(wheel: dict[str, int]) -> None:
    assert wheel.keys() >= {"fanet/py.typed"} | _tree("fanet/recipes/*.yaml") | _tree("fanet/**/*.py")


def test_wheel_holds_the_weights_and_what_is_known_of_them(wheel: dict[str, int]) -> None:
    weights = {name for name in wheel if name.endswith(".safetensors")}
    assert weights == {
        "fanet/models/bags/model.safetensors",
        "fanet/models/clutter/model.safetensors",
        "fanet/weights/files/fanet_pico.tiny_imagenet.safetensors",
    }
    cards = _tree("fanet/models/*/about.json", "fanet/models/*/config.json", "fanet/weights/files/*.json")
    assert wheel.keys() >= {"fanet/models/bags/README.md"} | cards
    assert all(any(card.startswith(name.rpartition("/")[0]) for card in cards) for name in weights)


def test_licences_are_where_installers_look_for_them(wheel: dict[str, int], metadata: Message) -> None:
    folder = f"fanet-{metadata['Version']}.dist-info/licenses"
    assert wheel.keys() >= {f"{folder}/LICENSE", f"{folder}/fanet/models/bags/README.md"}
    assert metadata["License-Expression"] == "Apache-2.0"


def test_wheel_holds_nothing_else(wheel: dict[str, int], metadata: Message) -> None:
    assert {name.split("/")[0] for name in wheel} == {"fanet", f"fanet-{metadata['Version']}.dist-info"}
    assert not [name for name in wheel if {"tests", "docs", "benchmarks", "__pycache__"} & set(name.split("/"))]
    generated = {"fanet/models/clutter/scene.png", "fanet/models/clutter/scene_labels.png"}
    assert {name for name in wheel if name.lower().endswith(IMAGES)} == generated, "photographs are not ours to give"
    assert sum(wheel.values()) < 16 * 2**20


def test_classifiers_name_the_versions_of_python_that_are_tested(metadata: Message) -> None:
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "tests.yml").read_text(encoding="utf-8"))["jobs"]
    matrix = jobs["versions"]["strategy"]["matrix"]
    tested = {*matrix["python"], *(each["python"] for each in matrix["include"])}
    for job in ("linux", "oldest"):
        tested |= {step["with"]["python-version"] for step in jobs[job]["steps"] if "setup-python" in str(step)}
    prefix = "Programming Language :: Python :: 3."
    classifiers = [name for name in metadata.get_all("Classifier", []) if name.startswith(prefix)]
    assert sorted(classifiers) == sorted(f"{prefix}{version.removeprefix('3.')}" for version in tested)
    assert metadata["Requires-Python"] == ">=" + min(tested, key=lambda version: int(version.removeprefix("3.")))


def test_source_archive_builds_the_package_and_leaves_the_repository_out(
    source: dict[str, tarfile.TarInfo], wheel: dict[str, int]
) -> None:
    package = {name for name in wheel if name.startswith("fanet/")}
    metadata = {name for name in source if name.startswith("fanet.egg-info/")}
    described = {"LICENSE", "MANIFEST.in", "PKG-INFO", "README.md", "pyproject.toml", "setup.cfg"}
    assert source.keys() - metadata == package | described


def test_source_archive_does_not_name_the_account_that_built_it(source: dict[str, tarfile.TarInfo]) -> None:
    assert {(info.uname, info.gname) for info in source.values()} == {("root", "root")}
