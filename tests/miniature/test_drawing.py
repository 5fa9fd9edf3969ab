import numpy as np
import pytest

from wmsd_core.miniature import drawing, scene
from wmsd_core.miniature.motion import film, positions, waypoints
from wmsd_core.miniature.perception import perceive


def contents(scenes: scene.Scenes) -> list[set[tuple[int, int, int, int]]]:
    """Each scene as a set of (column, row, kind, colour), without the order of its objects."""
    return [
        {(*map(int, scenes.cells[row, i]), int(scenes.kinds[row, i]), int(scenes.colours[row, i])) for i in range(4)}
        for row in range(len(scenes))
    ]


def test_a_small_frame_is_the_large_picture_resized_by_area():
    scenes = scene.sample(np.random.default_rng(0), 12)
    small = drawing.draw(scenes)
    large = np.stack([drawing.shrink(drawing.picture(scenes, row)) for row in range(len(scenes))])
    assert np.abs(small - large).max() < 0.025


def test_every_board_is_perceived_as_it_was_drawn():
    scenes = scene.sample(np.random.default_rng(1), 1500)
    seen = perceive(drawing.draw(scenes))
    assert seen.valid.all()
    assert contents(seen.scenes) == contents(scenes)


def test_every_picture_is_perceived_as_it_was_drawn():
    scenes = scene.sample(np.random.default_rng(2), 60)
    seen = perceive(np.stack([drawing.shrink(drawing.picture(scenes, row)) for row in range(len(scenes))]))
    assert contents(seen.scenes) == contents(scenes)


@pytest.mark.parametrize(
    ("things", "reason"),
    [((), "0 objects"), ((0, 1, 2), "3 objects"), ((0, 1, 2, 3), "")],
)
def test_a_board_that_lacks_objects_is_refused(things: tuple[int, ...], reason: str):
    scenes = scene.sample(np.random.default_rng(3), 1)
    assert perceive(drawing.draw(scenes, things)).reasons[0].startswith(reason)


def test_noise_is_no_board():
    noise = np.random.default_rng(4).random((3, 20, 20, 3)).astype(np.float32)
    assert not perceive(noise).valid.any()


def test_a_mover_goes_at_constant_speed_and_arrives_in_the_last_frame():
    route = waypoints(np.array([[0, 0]]), np.array([[4, 2]]), np.array([True]))
    track = np.concatenate([route[:, :1], positions(route)], axis=1)[0]
    assert np.allclose(np.abs(np.diff(track, axis=0)).sum(1), 1)
    assert track[4].tolist() == [4, 0]
    assert track[-1].tolist() == [4, 2]


def test_only_the_mover_moves_in_a_film():
    scenes = scene.sample(np.random.default_rng(5), 50)
    mover = np.arange(50) % 2
    start = scenes.cells[np.arange(50), mover]
    clip = film(scenes, mover, waypoints(start, 4 - start, mover == 0))
    assert np.abs(clip[:, 0] - drawing.draw(scenes)).max() < 1e-6
    free = np.ones((50, 20, 20), dtype=bool)
    for row, (column, line) in enumerate(start):
        for a, b in ((line, 4 - column), (4 - line, column), (line, column), (4 - line, 4 - column)):
            free[row, a * 4 : a * 4 + 4] = False
            free[row, :, b * 4 : b * 4 + 4] = False
    assert np.abs((clip - clip[:, :1]) * free[:, None, :, :, None]).max() == 0
