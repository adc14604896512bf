import re

import pytest
from accelerate import tracking
from accelerate.utils import LoggerType
from tqdm import tqdm

from fanet.errors import UserError
from fanet.segmentation.training.progress import Pace
from fanet.segmentation.training.train import train

from .tiny_run import tiny_recipe


def test_time_left_counts_steps_and_evaluations():
    pace = Pace()
    assert pace.left(0, 10, 4) is None
    pace.add_step(2.0)
    assert pace.left(4, 10, 4) == 6 * 2.0, "nothing is known of evaluations before the first"
    pace.evaluation = 30.0
    assert pace.left(0, 10, 4) == 10 * 2.0 + 3 * 30.0, "after 4, 8 and the last step"
    assert pace.left(4, 10, 4) == 6 * 2.0 + 2 * 30.0
    assert pace.left(4, 8, 4) == 4 * 2.0 + 30.0
    assert pace.left(8, 8, 4) == 0


def test_mean_time_of_a_step_follows_the_last_ones():
    pace = Pace()
    for seconds in [1.0] + 200 * [3.0]:
        pace.add_step(seconds)
    assert pace.step == pytest.approx(3.0, abs=0.01)


class Eager(tqdm):
    """Shows every step, however fast."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs, mininterval=0, miniters=1)


def test_progress_line_shows_miou_and_time_left(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("fanet.segmentation.training.progress.tqdm", Eager)
    train(tiny_recipe("train.iterations=3", "evaluation.every=1"), tmp_path)
    shown = r"2/3 \[\d\d:\d\d, \d\d:\d\d left, mIoU \d+\.\d %, loss \d+\.\d+, lr \S+, data \d+ of \d+ ms\]"
    assert re.search(shown, capsys.readouterr().err)


class Recorder:
    """Stands for a tracker of accelerate."""

    requires_logging_directory, name = False, "mlflow"
    made: list["Recorder"] = []

    def __init__(self, project, **given):
        self.opened, self.rows, self.config, self.finished = (project, given), [], None, False
        self.made.append(self)

    def start(self):
        pass

    def store_init_configuration(self, config):
        self.config = config

    def log(self, values, step=None, **kwargs):
        self.rows.append((step, values))

    def finish(self):
        self.finished = True


def test_rows_go_to_the_tracker_and_it_is_closed(tmp_path, monkeypatch):
    monkeypatch.setattr(tracking, "get_available_trackers", lambda: [LoggerType.MLFLOW])
    monkeypatch.setitem(tracking.LOGGER_TYPE_TO_CLASS, "mlflow", Recorder)
    recipe = tiny_recipe("train.tracker=mlflow", "train.iterations=4", "evaluation.every=2")
    train(recipe, tmp_path / "mine")
    train(recipe, tmp_path / "mine", resume=True)  # which has nothing to add
    (run,) = Recorder.made
    assert [step for step, _ in run.rows] == [2, 4]
    assert run.rows[0][1].keys() >= {"loss", "miou", "lr", "iou_metal"}
    assert run.opened == ("fanet", {"run_name": "mine"}) and run.finished
    assert run.config["model.backbone"] == "test_fanet"


def test_tracker_that_is_not_installed_is_named_before_anything_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(tracking, "get_available_trackers", list)
    with pytest.raises(UserError, match="^wandb is not installed: pip install wandb, or set train.tracker=null$"):
        train(tiny_recipe("train.tracker=wandb"), tmp_path / "run")
    assert not (tmp_path / "run").exists()
