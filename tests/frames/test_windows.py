"""A copy that was cut, mirrored or brightened is found; pictures that are unlike, or differ in one thing, are not."""

from pathlib import Path

import cv2
import matplotlib
import numpy as np
import pytest
from PIL import Image

from tests.frames.alterations import ALTERATIONS, Alteration, cut, landscape
from tests.reference import REFERENCE
from wmsd_core.frames.alignment import LONGEST, Alignment, align
from wmsd_core.frames.likeness import SIDE
from wmsd_core.frames.windows import Pose, Suspect, evened, suspects
from wmsd_core.miniature import drawing, scene

PHOTOGRAPHS = [
    Path(matplotlib.get_data_path()) / "sample_data/grace_hopper.jpg",
    *sorted((REFERENCE / "frames").glob("*")),
]
NEAR, LEAST = 4.0, 0.5


def levels(pictures: list[Image.Image]) -> np.ndarray:
    return np.stack(
        [
            cv2.resize(np.asarray(picture), (SIDE, SIDE), interpolation=cv2.INTER_AREA).reshape(-1)
            for picture in pictures
        ]
    )


def small(picture: Image.Image) -> np.ndarray:
    shown = picture.copy()
    shown.thumbnail((LONGEST, LONGEST), Image.Resampling.BOX)
    return np.asarray(shown)


def laid(one: Image.Image, other: Image.Image) -> tuple[Suspect, Alignment] | None:
    """What is suspected of two pictures, and what their pixels say."""
    for suspect in suspects(levels([one]), levels([other])):
        whole, part = (one, other) if suspect.part else (other, one)
        return suspect, align(small(whole), small(part), suspect.pose)
    return None


def same(one: Image.Image, other: Image.Image) -> bool:
    found = laid(one, other)
    return found is not None and found[1].detail >= LEAST and found[1].levels <= NEAR


@pytest.mark.parametrize("alteration", ALTERATIONS.values(), ids=ALTERATIONS)
def test_an_altered_copy_is_found_whichever_of_the_two_it_is(alteration: Alteration) -> None:
    for seed in range(6):
        picture, rng = landscape(seed), np.random.default_rng(seed)
        copy = alteration(picture, rng)
        assert same(picture, copy) and same(copy, picture)


@pytest.mark.parametrize("alteration", ALTERATIONS.values(), ids=ALTERATIONS)
def test_altered_copies_of_photographs_are_found(alteration: Alteration) -> None:
    found = [
        same(picture, alteration(picture, np.random.default_rng(0)))
        for picture in (Image.open(path).convert("RGB") for path in PHOTOGRAPHS)
    ]
    assert np.mean(found) > 0.9


def test_unlike_pictures_are_not_the_same() -> None:
    pictures = [landscape(seed) for seed in range(12)]
    pictures += [Image.open(path).convert("RGB") for path in PHOTOGRAPHS]
    for row, one in enumerate(pictures):
        for other in pictures[:row]:
            assert not same(one, other)


def test_the_pose_says_where_the_part_lies_and_how_it_is_mirrored() -> None:
    picture = landscape(1)
    part = picture.crop((64, 36, 64 + 512, 36 + 252)).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    found = laid(picture, part)
    assert found is not None
    pose = found[0].pose
    assert found[0].part and pose.swapped and not pose.upturned
    assert pose.across == pytest.approx((0.1, 0.8)) and pose.down == pytest.approx((0.1, 0.7))
    assert str(pose) == "a window of 80% x 70%, mirrored"


def test_boards_that_differ_in_one_thing_are_not_the_same_and_a_mirrored_board_is() -> None:
    scenes = scene.sample(np.random.default_rng(0), 40)
    boards = [Image.fromarray(drawing.picture(scenes, row)) for row in range(40)]
    assert not any(same(one, other) for row, one in enumerate(boards) for other in boards[:row])
    assert all(same(one, one.transpose(Image.Transpose.FLIP_LEFT_RIGHT)) for one in boards)
    moved = [np.asarray(board).copy() for board in boards[:20]]
    for picture in moved:  # a corner, with whatever stands there, goes to the corner opposite
        part = len(picture) // 5
        picture[:part, :part], picture[-part:, -part:] = picture[-part:, -part:].copy(), picture[:part, :part].copy()
    changed = [row for row in range(20) if (moved[row] != np.asarray(boards[row])).mean() > 0.01]
    assert changed and not any(same(boards[row], Image.fromarray(moved[row])) for row in changed)


def test_pictures_of_nothing_and_of_noise_are_no_trouble() -> None:
    plain = Image.fromarray(np.full((90, 160, 3), 90, np.uint8))
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (90, 160, 3), dtype=np.uint8))
    white = Image.fromarray(np.full((90, 160, 3), 255, np.uint8))
    for one in (plain, noise, white):
        for other in (landscape(0), plain, white):
            assert not same(one, other)
    assert same(noise, noise)


def test_a_window_of_half_is_beyond_what_is_looked_for() -> None:
    """Known, and said where leaks are explained."""
    assert not any(same(landscape(seed), cut(0.5)(landscape(seed), np.random.default_rng(seed))) for seed in range(4))


def test_brightness_and_contrast_are_evened_out_within_limits() -> None:
    picture = np.random.default_rng(0).uniform(0, 255, (8, 8, 3))
    assert evened(picture, 1.2 * picture + 9) == pytest.approx(0, abs=1e-9)
    assert evened(picture, 0.6 * picture) == pytest.approx(0, abs=1e-9)
    assert evened(picture, 0.3 * picture) == pytest.approx(0.3 * picture.std())
    assert evened(picture, -picture) == pytest.approx(1.6 * picture.std())


def test_where_brightening_cut_off_one_colour_is_left_out() -> None:
    red = (np.asarray(landscape(3, 144, 256)) * [1, 0.75, 0.75] + [70, 0, 0]).clip(0, 255).astype(np.uint8)
    copy = (red * 1.2).clip(0, 255).astype(np.uint8)
    assert (copy.max(axis=2) == 255).mean() > 0.25 and copy.min(axis=2).max() < 250
    assert align(red, copy, Pose((0, 1), (0, 1), False, False)).levels < 0.1
