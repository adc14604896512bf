import time
from pathlib import Path

import families
import pytest
from families import STEPS, Trial, main, parameters, smallest, try_in_process


def rows(folder: Path) -> list[list[str]]:
    (path,) = folder.glob("families-timm*.csv")
    return [line.split(",") for line in path.read_text().splitlines()]


def test_smallest_model_is_found_without_building_the_others() -> None:
    assert smallest("ghostnet")[:2] == ("ghostnet_050", parameters("ghostnet_050"))


@pytest.mark.parametrize("name", ["test_convnext", "test_resnet", "test_vit"])
def test_every_step_of_a_model_for_any_size_succeeds(name: str) -> None:
    trial = Trial("tests", name, 0)
    trial.run()
    assert [trial.row[step] for step in STEPS] == ["ok"] * len(STEPS), trial.row["reason"]


def test_steps_of_a_family_are_written_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(families.timm, "list_modules", lambda: ["fanet", "ghostnet"])
    monkeypatch.setattr(families, "try_in_process", lambda family, seconds: dict.fromkeys(families.COLUMNS, family))
    monkeypatch.setattr(families.os, "nice", lambda increment: 0)
    monkeypatch.setattr(families.torch, "set_num_threads", lambda number: None)
    assert main(["--only", "ghostnet", "--output", str(tmp_path)]) == 0
    assert main(["--output", str(tmp_path)]) == 0
    assert [row[0] for row in rows(tmp_path)] == ["family", "fanet", "ghostnet"]
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_crash_and_hang_of_a_family_end_it_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(families, "try_family", lambda family: families.os._exit(3))
    assert try_in_process("ghostnet", 30)["reason"] == "the process ended with status 3"
    monkeypatch.setattr(families, "try_family", lambda family: time.sleep(30))
    assert try_in_process("ghostnet", 0.2)["reason"] == "takes more than 0 s"
