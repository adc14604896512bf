import csv
from pathlib import Path

from training_steps import main

DATA = "{count: 4, size: [96, 96], difficulty: 0}"
SMALL = f"data.train_kwargs='{DATA}' data.val_kwargs='{DATA}' augmentation.crop='[64, 64]' train.batch_size=2"


def test_both_versions_of_the_code_take_turns(tmp_path: Path) -> None:
    this = Path(__file__).parents[2]
    options = ["--common", SMALL, "--steps", "2", "--rounds", "3", "--output", str(tmp_path), "--name", "x"]
    assert main(["clutter", "--settings", "train.amp=none", "--checkout", str(this), *options]) == 0
    with open(tmp_path / "training_steps-x.csv", newline="") as file:
        before, now = csv.DictReader(file)
    assert (before["code"], now["code"]) == ("before", "this")
    assert before["settings"] == now["settings"] == "train.amp=none"
    for row in (before, now):
        assert abs(float(row["images_per_s"]) - 2000 / float(row["step_ms"])) < 0.1
        assert float(row["step_ms_low"]) <= float(row["step_ms"]) <= float(row["step_ms_high"])
        low, high = (float(before[f"step_ms_{end}"]) for end in ("low", "high"))
        fastest, slowest = (float(row[f"step_ms_{end}"]) for end in ("low", "high"))
        assert low / slowest - 0.01 <= float(row["times_as_fast"]) <= high / fastest + 0.01
    assert float(before["times_as_fast"]) == 1


def test_settings_that_training_refuses_end_the_measurement(tmp_path: Path, capfd) -> None:
    assert main(["clutter", "--settings", "train.amp=fp8", "--rounds", "1", "--output", str(tmp_path)]) == 2
    assert "fp8" in capfd.readouterr().err
    assert not list(tmp_path.iterdir())
