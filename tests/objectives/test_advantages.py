import math

import pytest
import torch

from wmsd_core.objectives.advantages import clipped, flat_groups, gdpo_advantages, grpo_advantages

NAN = math.nan


def test_gdpo_normalises_each_reward_in_its_group_weighs_and_normalises_over_the_batch() -> None:
    """Group 1: task 0, 4 -> -1, 1; consistency 1, 1.02: deviation .01 below its floor .1 -> -.1, .1.
    Group 2: task 2, 2 -> 0, 0; consistency 5, 3 -> 1, -1."""
    task = [[0.0, 4.0], [2.0, 2.0]]
    consistency = [[1.0, 1.02], [5.0, 3.0]]
    combined = [-0.7 - 0.03, 0.7 + 0.03, 0.3, -0.3]
    spread = math.sqrt(sum(c * c for c in combined) / 4)
    result = gdpo_advantages(
        torch.tensor([task, consistency], dtype=torch.float64), weights=(0.7, 0.3), floors=(0.1, 0.1), batch_floor=0.1
    )
    expected = torch.tensor([c / spread for c in combined], dtype=torch.float64).view(2, 2)
    torch.testing.assert_close(result.values, expected)
    assert (result.unscored, result.flat) == (0, 0)


def test_an_unscored_sample_leaves_its_group_and_the_batch_and_gets_exactly_zero() -> None:
    task = torch.tensor([[0.0, 4.0, 900.0], [1.0, 3.0, 2.0]], dtype=torch.float64)
    other = torch.tensor([[1.0, 3.0, NAN], [1.0, 1.0, 1.0]], dtype=torch.float64)
    result = gdpo_advantages(torch.stack([task, other]), weights=(0.5, 0.5), floors=(0.1, 0.1), batch_floor=0.1)
    a = math.sqrt(1.5)
    combined = torch.tensor([[-1.0, 1.0, 0.0], [-a / 2, a / 2, 0.0]], dtype=torch.float64)
    spread = math.sqrt((2 + a * a / 2) / 5)
    torch.testing.assert_close(result.values, combined / spread)
    assert result.values[0, 2] == 0 and result.unscored == 1


def test_the_batch_mean_is_taken_off_scored_samples_only() -> None:
    rewards = torch.tensor([[[0.0, 1.0, NAN], [NAN, NAN, NAN], [0.0, 0.0, 3.0]]], dtype=torch.float64)
    values = gdpo_advantages(rewards, weights=(1.0,), floors=(0.1,), batch_floor=0.1)
    assert float(values.values.sum()) == pytest.approx(0) and values.unscored == 4
    assert values.values[1].eq(0).all() and values.values.isfinite().all()


def test_the_only_scored_sample_of_a_group_has_nothing_to_be_compared_with() -> None:
    rewards = torch.tensor([[7.0, NAN], [0.0, 2.0]], dtype=torch.float64)
    values = gdpo_advantages(rewards[None], weights=(1.0,), floors=(0.1,), batch_floor=0.1).values
    assert values[0].eq(0).all() and values[1].abs().min() > 1
    assert grpo_advantages(rewards, floor=0.1).values[0].eq(0).all()


def test_rounding_is_not_an_advantage_and_flat_groups_are_counted() -> None:
    nearly = 0.9 + torch.tensor([[0.0, 1e-5, -1e-5, 0.0], [0.0, 1.0, 0.0, 1.0]])
    result = gdpo_advantages(nearly[None], weights=(1.0,), floors=(0.1,), batch_floor=0.1)
    assert result.flat == 1 and result.values[0].abs().max() < 1e-3 and result.values[1].abs().min() > 0.9
    alone = gdpo_advantages(nearly[None, :1], weights=(1.0,), floors=(0.1,), batch_floor=0.1)
    assert alone.flat == 1 and alone.values.abs().max() < 2e-3


def test_a_batch_in_which_little_differs_has_small_advantages() -> None:
    """One reward, standardised +-1 in one group of 201: the deviation over the batch, .0998, is below its floor .1."""
    rewards = torch.zeros(1, 201, 2)
    rewards[0, 0] = torch.tensor([0.0, 2.0])
    result = gdpo_advantages(rewards, weights=(1.0,), floors=(0.1,), batch_floor=0.1)
    torch.testing.assert_close(result.values[0], torch.tensor([-10.0, 10.0], dtype=torch.float64))


def test_the_sum_of_rewards_is_normalised_within_groups() -> None:
    result = grpo_advantages(torch.tensor([[1.0, 3.0, NAN], [5.0, 5.0, 5.0]]), floor=0.5)
    torch.testing.assert_close(result.values, torch.tensor([[-1.0, 1.0, 0.0], [0.0, 0.0, 0.0]], dtype=torch.float64))
    assert (result.unscored, result.flat) == (1, 1)


def test_the_sum_of_rewards_may_be_scaled_by_the_deviation_over_the_batch() -> None:
    """Groups 0, 2 and 10, 14: centred -1, 1, -2, 2; the deviation of 0, 2, 10, 14 is sqrt(32.75)."""
    rewards = torch.tensor([[0.0, 2.0, NAN], [10.0, 14.0, NAN]])
    result = grpo_advantages(rewards, floor=0.5, deviation="batch")
    expected = torch.tensor([[-1.0, 1.0, 0.0], [-2.0, 2.0, 0.0]], dtype=torch.float64) / math.sqrt(32.75)
    torch.testing.assert_close(result.values, expected)
    assert (result.unscored, result.flat) == (2, 0)
    assert not grpo_advantages(torch.full((2, 2), NAN), floor=0.5, deviation="batch").values.any()


def test_flat_groups_are_counted_for_each_reward() -> None:
    """Task: the first group is flat. Consistency: it differs by less than its floor, and the second has one score."""
    task = [[1.0, 1.0, 1.0], [0.0, 3.0, NAN]]
    consistency = [[0.0, 0.1, 0.05], [2.0, NAN, NAN]]
    rewards = torch.tensor([task, consistency], dtype=torch.float64)
    assert flat_groups(rewards, floors=(0.1, 0.1)) == (1, 2)


def test_both_published_clips() -> None:
    advantages = torch.tensor([[-7.0, -0.5, 2.0, 6.0]])
    torch.testing.assert_close(clipped(advantages, limit=1.0, rescale=None), torch.tensor([[-1.0, -0.5, 1.0, 1.0]]))
    torch.testing.assert_close(clipped(advantages, limit=5.0, rescale=1.0), torch.tensor([[-1.0, -0.1, 0.4, 1.0]]))


def test_a_deviation_at_its_floor_is_no_difference() -> None:
    rewards = torch.tensor([[[0.0, 2.0], [0.0, 2.01]]], dtype=torch.float64)
    assert flat_groups(rewards, floors=[1.0]) == (1,)
    assert gdpo_advantages(rewards, weights=[1.0], floors=[1.0], batch_floor=0.1).flat == 1
    assert grpo_advantages(rewards[0], floor=1.0).flat == 1


def test_rewards_weights_and_floors_that_do_not_match_are_refused() -> None:
    rewards = torch.zeros(2, 1, 2, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"zip\(\)"):
        gdpo_advantages(rewards, weights=[1.0, 1.0], floors=[1.0], batch_floor=0.1)
    with pytest.raises(ValueError, match=r"zip\(\)"):
        gdpo_advantages(rewards, weights=[1.0], floors=[1.0, 1.0], batch_floor=0.1)
    with pytest.raises(ValueError, match=r"zip\(\)"):
        flat_groups(rewards, floors=[1.0])


def test_a_rescaled_advantage_has_the_named_maximum() -> None:
    found = clipped(torch.tensor([[-9.0, 1.0]], dtype=torch.float64), limit=4.0, rescale=3.0)
    torch.testing.assert_close(found, torch.tensor([[-3.0, 0.75]], dtype=torch.float64))
