import pytest
import torch

from wmsd_core.sampling.window import contiguous, scattered, sliding


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_contiguous_window_starts_anywhere_it_fits_equally_often_and_the_seed_decides() -> None:
    source = seeded(0)
    windows = [contiguous(3, within=range(1, 6), generator=source) for _ in range(3000)]
    starts = torch.tensor([w[0] for w in windows])
    assert all(w == list(range(w[0], w[0] + 3)) for w in windows)
    torch.testing.assert_close(starts.bincount()[1:] / 3000, torch.full((3,), 1 / 3), atol=0.03, rtol=0)
    assert contiguous(2, within=range(9), generator=seeded(7)) == contiguous(2, within=range(9), generator=seeded(7))


def test_scattered_steps_are_different_in_order_and_every_choice_occurs() -> None:
    source = seeded(0)
    chosen = {tuple(scattered(2, among=[1, 2, 5, 8], generator=source)) for _ in range(300)}
    assert chosen == {(1, 2), (1, 5), (1, 8), (2, 5), (2, 8), (5, 8)}


def test_a_sliding_window_moves_from_noise_to_data_and_starts_again() -> None:
    walk = [sliding(2, within=range(5), update=u, interval=10) for u in (0, 9, 10, 20, 30, 39, 40)]
    assert walk == [[0, 1], [0, 1], [1, 2], [2, 3], [3, 4], [3, 4], [0, 1]]
    assert sliding(2, within=range(1, 6), update=1, interval=1, stride=2) == [3, 4]


def test_windows_that_do_not_fit_are_refused() -> None:
    for size in (0, 4):
        with pytest.raises(ValueError, match="does not fit"):
            contiguous(size, within=range(3), generator=seeded(0))
        with pytest.raises(ValueError, match="does not fit"):
            sliding(size, within=range(3), update=0, interval=1)
    with pytest.raises(ValueError, match="cannot be chosen"):
        scattered(3, among=[1, 2], generator=seeded(0))


def test_one_step_or_all_can_be_scattered_and_repeat_with_their_seed() -> None:
    def drawn(count: int) -> list[int]:
        return scattered(count, among=range(3, 9), generator=torch.Generator().manual_seed(1))

    assert len(drawn(1)) == 1 and drawn(6) == [3, 4, 5, 6, 7, 8]
    assert drawn(2) == drawn(2)


def test_windows_of_one_step_and_of_all_steps_fit() -> None:
    assert sliding(1, within=range(2, 5), update=1, interval=1) == [3]
    assert sliding(3, within=range(2, 5), update=7, interval=1) == [2, 3, 4]
    assert contiguous(3, within=range(2, 5), generator=seeded(0)) == [2, 3, 4]
