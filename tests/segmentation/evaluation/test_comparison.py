import json
from pathlib import Path

import numpy as np
import pytest

from fanet.cli import main
from fanet.errors import UserError
from fanet.segmentation.evaluation.comparison import compare
from fanet.segmentation.evaluation.metrics import ConfusionMatrix, bootstrap_miou, margins_of, scores_of
from fanet.segmentation.evaluation.per_image import PER_IMAGE_NAME, PerImage
from fanet.segmentation.evaluation.sides import Side, read_side

CLASSES = ("background", "can", "bag")


def matrices(seed: int, images: int = 20, right: float = 0.8, truth_seed: int = 0) -> np.ndarray:
    """Return confusion matrices of images whose truth depends on `truth_seed` alone, (N, 3, 3)."""
    truth = np.random.default_rng(truth_seed).integers(50, 400, (images, 3))
    rng = np.random.default_rng([seed, 1])
    found = np.zeros((images, 3, 3), np.int64)
    for image, row in np.ndindex(images, 3):
        shares = np.full(3, (1 - right) / 2)
        shares[row] = right
        found[image, row] = rng.multinomial(truth[image, row], shares)
    return found


def save(folder: Path, counts: np.ndarray, classes: tuple[str, ...] = CLASSES, first: int = 0) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    names = [f"{index + first}.png" for index in range(len(counts))]
    PerImage(names, classes, margins_of(counts)).save(folder / PER_IMAGE_NAME)
    return str(folder)


def plain_scores(counts: np.ndarray) -> np.ndarray:
    confusion = ConfusionMatrix.of(counts)
    return 100 * np.array([*confusion.iou(), confusion.miou])


def test_difference_is_that_of_the_same_resampled_images(tmp_path):
    a, b = matrices(1), matrices(2, right=0.78)
    found = compare(save(tmp_path / "a", a), save(tmp_path / "b", b), resamples=300, seed=5)
    draws = np.random.default_rng(5).multinomial(20, np.full(20, 1 / 20), size=300)
    differences = [
        plain_scores(np.tensordot(draw, a, axes=1)) - plain_scores(np.tensordot(draw, b, axes=1)) for draw in draws
    ]
    np.testing.assert_allclose(found.ends, np.percentile(differences, (2.5, 97.5), axis=0), rtol=1e-9)
    np.testing.assert_allclose(found.scores, [plain_scores(a.sum(0)), plain_scores(b.sum(0))], rtol=1e-12)
    assert (found.images, found.runs, found.over) == (20, (1, 1), "images")


def test_pairing_tells_what_the_scores_alone_do_not(tmp_path):
    hard = np.random.default_rng(0).uniform(0.3, 0.95, 40)  # images differ more than models do
    a, b = (
        np.concatenate([matrices(0, 1, right, truth_seed=index) for index, right in enumerate(hard + gain)])
        for gain in (0.02, 0)
    )
    found = compare(save(tmp_path / "a", a), save(tmp_path / "b", b))
    assert found.verdict.startswith("A is better by "), found.verdict
    alone = [bootstrap_miou(margins_of(counts), 1000) for counts in (a, b)]
    assert alone[0][0] < alone[1][1], "the intervals of the scores overlap"
    turned = compare(str(tmp_path / "b"), str(tmp_path / "a"))
    assert turned.verdict == found.verdict.replace("A is", "B is")
    np.testing.assert_allclose(turned.ends, -found.ends[::-1])


def test_equal_evaluations_do_not_differ(tmp_path):
    folder = save(tmp_path / "a", matrices(1))
    found = compare(folder, folder)
    assert (found.difference == 0).all() and (found.ends == 0).all()
    assert found.verdict.startswith("no difference can be told: A - B is +0.0 mIoU")
    assert "one training run each" in found.caveat


def test_images_are_paired_by_name(tmp_path):
    counts = matrices(1)
    a = save(tmp_path / "a", counts)
    names = [f"{index}.png" for index in range(20)]
    (tmp_path / "b").mkdir()
    PerImage(names[::-1], CLASSES, margins_of(counts[::-1])).save(tmp_path / "b" / PER_IMAGE_NAME)
    assert (compare(a, str(tmp_path / "b")).ends == 0).all()


def test_single_image_has_no_interval(tmp_path):
    a, b = save(tmp_path / "a", matrices(1, 1)), save(tmp_path / "b", matrices(2, 1, 0.5))
    found = compare(a, b)
    assert np.isnan(found.ends).all() and "have no interval" in found.verdict
    assert found.to_dict()["miou"]["low"] is None


def test_class_that_never_occurs_has_no_difference(tmp_path):
    a, b = matrices(1), matrices(2)
    for counts in (a, b):
        counts[:, :, 0] += counts[:, :, 2]
        counts[:, 2] = counts[:, :, 2] = 0
    found = compare(save(tmp_path / "a", a), save(tmp_path / "b", b))
    assert np.isnan(found.difference).tolist() == [False, False, True, False]
    assert any(line.split()[:4] == ["bag", "-", "-", "-"] for line in found.lines())


def test_runs_below_a_folder_and_of_a_pattern_are_the_same_side(tmp_path):
    for seed in range(3):
        save(tmp_path / "grid" / f"a-{seed}" / "scores", matrices(seed))
        save(tmp_path / "grid" / f"b-{seed}" / "scores", matrices(seed + 10, right=0.7))
        save(tmp_path / "of_a" / str(seed) / "val", matrices(seed))
    pattern, folder = read_side(str(tmp_path / "grid" / "a-*")), read_side(str(tmp_path / "of_a"))
    assert len(pattern.runs) == 3 and (pattern.scores == folder.scores).all()
    found = compare(str(tmp_path / "of_a"), str(tmp_path / "grid" / "b-*"))
    assert found.runs == (3, 3) and found.over == "images and training runs" and found.caveat == ""
    assert found.verdict.startswith("A is better by ")


def test_interval_widens_with_the_spread_of_runs(tmp_path):
    spread = (0.75, 0.8, 0.85)
    for seed in range(3):
        save(tmp_path / "a" / str(seed), matrices(seed, right=0.8))
        save(tmp_path / "b" / str(seed), matrices(seed, right=spread[seed]))
    alone = compare(str(tmp_path / "a" / "1"), str(tmp_path / "b" / "1")).ends[:, -1]
    several = compare(str(tmp_path / "a"), str(tmp_path / "b")).ends[:, -1]
    assert np.ptp(several) > 3 * np.ptp(alone)
    single = compare(str(tmp_path / "a" / "1"), str(tmp_path / "b"))
    assert np.ptp(single.ends[:, -1]) > np.ptp(several), "a single run is taken to vary as much as the others"
    assert "A is a single training run" in single.caveat


def test_seeds_alone_give_welchs_interval(tmp_path):
    for name, values in (("a", (50, 52, 54)), ("b", (45, 46, 47))):
        rows = "".join(f"{name},{seed},val,9,{value},can {value}.0; bag -\n" for seed, value in enumerate(values))
        with (tmp_path / "grid-x.csv").open("a") as file:
            file.write(("model,seed,split,images,miou,iou\n" if name == "a" else "") + rows)
    table = tmp_path / "grid-x.csv"
    found = compare(f"{table}:model=a", f"{table}:model=b", resamples=200_000)
    # Welch: difference 6, standard error sqrt(4/3 + 1/3), 2.94 degrees of freedom, t 3.21
    assert found.difference[-1] == pytest.approx(6) and found.ends[:, -1] == pytest.approx((1.85, 10.15), abs=0.1)
    assert (found.over, found.images) == ("training runs", None)
    assert np.isnan(found.difference[1]) and found.difference[0] == pytest.approx(6)
    assert found.verdict.startswith("A is better by 6.0 mIoU [1.") and "another choice of images" in found.caveat


def test_rows_that_are_no_seeds_of_one_thing_are_refused(tmp_path):
    table = tmp_path / "grid.csv"
    table.write_text("model,data,seed,split,images,miou,iou\na,x,0,val,9,50,can 1.0\na,y,0,val,8,50,can 1.0\n")
    for side, message in (
        (f"{table}:model=a", "differ in data"),
        (f"{table}:kind=a", "no axis 'kind', only model, data, seed"),
        (f"{table}:model=b", "no row .* has model=b"),
        (str(tmp_path / "none.csv"), "there is no table"),
    ):
        with pytest.raises(UserError, match=message):
            read_side(side)
    with pytest.raises(UserError, match="different images: images is 9 and 8"):
        compare(f"{table}:data=x", f"{table}:data=y")
    with pytest.raises(UserError, match="no counts by image"):
        compare(f"{table}:data=x", save(tmp_path / "a", matrices(0)))
    table.write_text("a,b\n1,2\n")
    with pytest.raises(UserError, match="not the table of a grid"):
        read_side(str(table))


def test_different_images_labels_or_classes_are_refused_in_one_line(tmp_path, capsys):
    a = save(tmp_path / "a", matrices(1))
    wrong = {
        "images": (save(tmp_path / "images", matrices(1), first=3), "of other images .* 6 images in only one"),
        "labels": (save(tmp_path / "labels", matrices(1, truth_seed=7)), "other labels .* in 20 images"),
        "classes": (save(tmp_path / "classes", matrices(1), ("background", "can", "bottle")), "other classes"),
    }
    for other, message in wrong.values():
        with pytest.raises(UserError, match=message):
            compare(a, other)
        assert main(["compare", a, other]) == 2
        captured = capsys.readouterr()
        assert captured.err.count("\n") == 1 and captured.out == ""


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: None, "there is no .*missing"),
        (lambda folder: folder.mkdir(), "has no evaluation: run fanet evaluate"),
        (lambda folder: (folder.mkdir(), (folder / "metrics.json").write_text("{}")), "earlier versions did not write"),
        (lambda folder: (folder.mkdir(), (folder / PER_IMAGE_NAME).write_bytes(b"PK")), "cannot be read"),
        (lambda folder: (folder.mkdir(), (folder / PER_IMAGE_NAME).write_bytes(b"")), "cannot be read"),
        (lambda folder: (folder.mkdir(), np.savez(folder / PER_IMAGE_NAME, a=np.ones(2))), "cannot be read"),
    ],
)
def test_folder_without_a_readable_evaluation_is_refused(tmp_path, make, message):
    make(tmp_path / "missing")
    with pytest.raises(UserError, match=message):
        read_side(str(tmp_path / "missing"))


def test_damaged_counts_are_refused(tmp_path):
    folder = tmp_path / "a"
    folder.mkdir()
    np.savez(folder / PER_IMAGE_NAME, images=["x"], classes=["a", "b"], margins=np.ones((1, 3, 5)))
    with pytest.raises(UserError, match="does not hold the counts"):
        read_side(str(folder))
    save(folder, matrices(1))
    contents = (folder / PER_IMAGE_NAME).read_bytes()
    (folder / PER_IMAGE_NAME).write_bytes(contents[: len(contents) // 2])
    with pytest.raises(UserError, match="cannot be read"):
        read_side(str(folder))


def test_command_prints_the_table_and_the_verdict(tmp_path, capsys):
    a, b = save(tmp_path / "a", matrices(1)), save(tmp_path / "b", matrices(2, right=0.6))
    assert main(["compare", a, b, "--bootstrap", "200", "--json", str(tmp_path / "out.json")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].startswith("A is better by ") and any(line.startswith("can ") for line in lines)
    told = json.loads((tmp_path / "out.json").read_text())
    assert told["verdict"] == lines[-1] and list(told["iou"]) == list(CLASSES) and told["images"] == 20
    assert main(["compare", a, b, "--bootstrap", "200", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out) == told


def covered(rng: np.random.Generator, runs: int, images: int = 60) -> bool:
    """Return whether the interval of a simulated comparison contains the true difference.

    Images differ in how hard they are, and training runs in how good; what is true is known from many of both.
    """

    def margins(skills: np.ndarray, hard: np.ndarray) -> np.ndarray:
        right = np.clip(skills[:, None] - hard, 0.02, 0.98)  # (runs, images): share of each class that is found
        hit = np.stack([np.round(500 * right), np.round(300 * right)], axis=-1)
        predicted = np.stack([hit[..., 0] + 300 - hit[..., 1], hit[..., 1] + 500 - hit[..., 0]], axis=-1)
        truth = np.broadcast_to([500.0, 300.0], hit.shape)
        return np.stack([hit, truth, predicted], axis=-2).astype(np.int64)

    def side(skills: np.ndarray, hard: np.ndarray) -> Side:
        names = [str(index) for index in range(len(hard))]
        kept = [PerImage(names, ("a", "b"), one) for one in margins(skills, hard)]
        scores = np.stack([scores_of(one.margins.sum(axis=0)) for one in kept])
        return Side("side", list("x" * len(kept)), ("a", "b"), scores, {}, kept)

    skills = [rng.normal(mean, 0.02, runs) for mean in (0.85, 0.84)]
    hard = rng.exponential(0.12, images)
    found = compare(*(side(one, hard) for one in skills), resamples=400, seed=int(rng.integers(1 << 30)))
    return bool(found.ends[0, -1] <= TRUE_DIFFERENCE <= found.ends[1, -1])


TRUE_DIFFERENCE = 1.22  # mIoU, of 4000 runs of each on 20,000 images


@pytest.mark.slow
def test_intervals_cover_the_true_difference_as_often_as_they_say():
    rng = np.random.default_rng(0)
    for runs in (3, 5):
        share = np.mean([covered(rng, runs) for _ in range(400)])
        assert 0.92 <= share <= 0.99, f"{runs} runs: {share}"
