import numpy as np
import pytest

from fanet.segmentation.data.survey.dealing import deal_groups, wanted_count
from fanet.segmentation.data.survey.groups import Groups, difference_hash, group_images, members, near_groups

from .photos import photo, words


def grouped(names: list[str]) -> list[list[str]]:
    """The recordings among names of images that look different."""
    groups = group_images(names, [0] * len(names))
    return [[names[index] for index in of_group] for of_group in members(groups.recordings).values()]


@pytest.mark.parametrize(
    ("names", "count"),
    [
        (["images/frame_0001", "images/frame_0002", "images/frame_0010"], 1),
        (["a_1", "a_2", "b_1", "b_2"], 2),
        (["rec1_0001", "rec1_0002", "rec2_0001", "rec2_0002"], 2),
        (["r1/1", "r1/2", "r2/1", "r2/2"], 2),
        (["cam_2023-12-03-at-2-19-55", "cam_2023-12-03-at-2-20-01", "cam_2023-12-04-at-1-1-1"], 2),
        (["v_20220524_17552501", "v_20220524_17552502", "v_20220525_1"], 2),
        (["B_264994.000000", "B_311496.000000", "B_354115.000000"], 1),
        (["x_jpg.rf.0123456789abcdef0123456789abcdef", "x_jpg.rf.fedcba9876543210fedcba9876543210", "yy"], 2),
        (["bag_9bc959", "bag_85bfb9", "can_aaaaaa", "can_123456"], 2),
        (["tree", "tree_aug1", "tree_flip", "tree (1)", "house"], 2),
        (words(6), 6),
    ],
)
def test_names_say_what_belongs_together(names, count):
    assert len(grouped(names)) == count


def test_images_that_look_alike_belong_together():
    images = [photo(seed, (60, 80)) for seed in range(6)]
    darker = (images[0] * 0.9).astype(np.uint8)
    hashes = [difference_hash(image) for image in [*images, darker]]
    assert near_groups(hashes) == [0, 1, 2, 3, 4, 5, 0]
    groups = group_images(words(7), hashes)
    assert groups.alike[6] == groups.alike[0] and len(set(groups.alike)) == 6


def test_plain_images_are_not_taken_for_copies():
    hashes = [difference_hash(np.full((10, 10, 3), value, np.uint8)) for value in (0, 255)]
    assert hashes == [0, 0] and near_groups(hashes) == [0, 1]


def test_hashes_are_compared_as_one_by_one():
    rng = np.random.default_rng(0)
    hashes = [int(rng.integers(1, 2**63)) for _ in range(40)]
    for place in range(40):
        flipped = rng.choice(64, size=int(rng.integers(1, 8)), replace=False)
        hashes.append(hashes[place] ^ sum(1 << int(bit) for bit in flipped))
    groups = near_groups(hashes)
    for one in range(80):
        for other in range(one):
            near = bin(hashes[one] ^ hashes[other]).count("1") <= 4
            assert near == (groups[one] == groups[other])


@pytest.mark.parametrize("seed", range(5))
def test_recordings_are_held_out_whole(seed):
    names = [f"r{number % 9}_{number:03d}" for number in range(90)]
    groups = group_images(names, [0] * 90)
    val = deal_groups(names, groups, [{0}] * 90, seed).val
    assert 9 <= len(val) <= 31
    for of_group in members(groups.recordings).values():
        assert len(set(of_group) & set(val)) in (0, len(of_group))


@pytest.mark.parametrize("count", [2, 3, 4, 7, 10, 25, 100])
def test_one_recording_is_divided_into_blocks(count):
    names = [f"frame_{number}" for number in range(count)]
    deal = deal_groups(names, group_images(names, [0] * count), [{0}] * count)
    assert len(deal.val) == wanted_count(count) and "one recording" in deal.note
    gaps = np.diff(deal.val) > 1
    assert gaps.sum() < 4  # frames at most in four blocks, in the order of their numbers
    assert 0 < len(deal.val) < count


def test_copies_stay_together_where_recordings_must_be_divided():
    names = [f"f_{number:03d}" for number in range(60)]
    pairs = [number // 2 for number in range(60)]
    val = deal_groups(names, Groups([2 * pair for pair in pairs], [0] * 60), [{0}] * 60).val
    assert all((2 * pair in val) == (2 * pair + 1 in val) for pair in pairs)


def test_a_rare_class_is_on_both_sides_where_it_can_be():
    names = words(40)
    rare = {3, 17, 31}
    classes = [{0, 1} if index in rare else {0} for index in range(40)]
    val = set(deal_groups(names, group_images(names, [0] * 40), classes).val)
    assert rare & val and rare - val


def test_the_same_images_give_the_same_split():
    names = words(50)
    groups = group_images(names, [0] * 50)
    assert deal_groups(names, groups, [{0}] * 50).val == deal_groups(names, groups, [{0}] * 50).val
