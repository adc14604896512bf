import csv
from pathlib import Path

import numpy as np
import prediction
import pytest
from prediction import COLUMNS, belt, main

from fanet.errors import UserError
from fanet.media.video import open_video
from fanet.segmentation.prediction.predictor import Predictor


def read(folder: Path) -> list[dict[str, str]]:
    with open(folder / "prediction-cpu-96x64-1threads.csv", newline="") as file:
        return list(csv.DictReader(file))


def options(folder: Path) -> list[str]:
    return [*"--img-size 64 96 --frames 2 --rounds 1 --threads 1 --output".split(), str(folder)]


def test_scenes_move_under_the_frames() -> None:
    first, second, third = belt(3, (64, 96))
    assert first.shape == (64, 96, 3)
    np.testing.assert_array_equal(second[:, : -prediction.STEP], first[:, prediction.STEP :])
    assert not np.array_equal(second, third)


def test_frames_are_written_as_images_and_as_a_video(tmp_path: Path) -> None:
    frames = prediction.write_frames(belt(3, (64, 96)), tmp_path)
    assert len(list(frames.images.iterdir())) == 3
    assert frames.video is not None
    with open_video(frames.video) as clip:
        assert [frame.pixels.shape for frame in clip.frames()] == [(64, 96, 3)] * 3


def test_results_hold_a_row_for_each_engine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--engine", "eager", "eager:fp32", *options(tmp_path)]) == 0
    rows = read(tmp_path)
    assert [row["engine"] for row in rows] == ["eager", "eager:fp32"]
    assert tuple(rows[0]) == COLUMNS and all(rows[0].values())
    assert [row["agreement_percent"] for row in rows] == ["100.000", "100.000"]
    assert [rows[0][f"{kind}_ratio"] for kind in prediction.KINDS] == ["1.000"] * 4
    assert float(rows[0]["p50_ms"]) <= float(rows[0]["p95_ms"]) <= float(rows[0]["p99_ms"])
    assert float(rows[0]["belt_mm"]) == pytest.approx(3 * float(rows[0]["p99_ms"]), abs=0.7)
    assert "eager: network" in capsys.readouterr().out


def test_other_code_comes_first_in_a_process_of_its_own(tmp_path: Path) -> None:
    code = Path(prediction.__file__).parents[1]
    assert main(["--engine", "eager", "--checkout", str(code), *options(tmp_path)]) == 0
    before, this = read(tmp_path)
    assert (before["engine"], this["engine"]) == ("before", "eager")
    assert before["video_ratio"] == "1.000" and all(before.values()) and all(this.values())
    assert this["agreement_percent"] == "100.000"


def test_other_code_that_fails_is_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "fanet").mkdir()
    (tmp_path / "fanet" / "__init__.py").write_text("raise ImportError('of another time')")
    assert main(["--checkout", str(tmp_path), *options(tmp_path)]) == 2
    assert "the code of --checkout failed" in capfd.readouterr().err


def test_what_is_not_installed_is_left_out_with_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    load = prediction.load_predictor

    def load_predictor(model: str | None, device: str, engine: str, precision: str | None) -> Predictor:
        if engine == "openvino":
            raise UserError("openvino is not installed")
        return load(model, device)

    def import_av() -> None:
        raise UserError("av is not installed")

    monkeypatch.setattr(prediction, "load_predictor", load_predictor)
    monkeypatch.setattr(prediction, "import_av", import_av)
    assert main(["--engine", "eager", "openvino:bf16", *options(tmp_path)]) == 0
    (row,) = read(tmp_path)
    assert row["video_per_s"] == row["video_ratio"] == ""
    out = capsys.readouterr().out
    assert "left out: video: av is not installed" in out
    assert "left out: openvino:bf16: openvino is not installed" in out
    assert main(["--engine", "openvino", *options(tmp_path)]) == 2
