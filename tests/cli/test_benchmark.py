import pytest

from fanet.cli import main
from fanet.segmentation.evaluation.clutterbench import bench


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--axes", "haze"], "there is no axis 'haze': choose from object_size"),
        (["--size", "64", "64"], "a scene of 64x64 pixels is too small for objects of 0.04 of its short side"),
        (["--scenes", "1"], "an interval needs at least 2 scenes, got 1"),
        (["--model", "no/such/model"], "no/such/model"),
    ],
)
def test_mistakes_are_told_in_one_line(tmp_path, capsys, monkeypatch, arguments, message):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert main(["benchmark", "clutter", *arguments, "-o", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert said.startswith("fanet: error: ") and message in said and said.count("\n") == 1


def test_an_interruption_says_how_to_continue(tmp_path, capsys, monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(bench, "run_clutterbench", interrupted)
    assert main(["benchmark", "clutter", "-o", str(tmp_path)]) == 130
    assert capsys.readouterr().err == "fanet: interrupted: the same command continues\n"
