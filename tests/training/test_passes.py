"""How often the transformer runs, per trained (sample, noise level): docs/forward-passes.md."""

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.training.test_loop import trainer
from wmsd_core.training.loop import Trainer

K, ROLLOUTS = 3, 12


def passes(run: Trainer) -> Counter[tuple[str, bytes]]:
    """Forward passes of one step by who made them and at which state; `+` marks those with a backward pass.

    Of the second step: the first one also measures what a pass costs.
    """
    run.step()
    counts: Counter[tuple[str, bytes]] = Counter()
    network = run.generator.velocity

    def counted(x: Tensor, sigma: Tensor, condition: Any, adapter: str | None) -> Tensor:
        who = f"{adapter or 'base'}{'+' * torch.is_grad_enabled()}"
        rows = torch.cat([x.flatten(1), sigma[:, None], condition.words], 1)
        counts.update((who, row.numpy().tobytes()) for row in rows)
        return network(x, sigma, condition, adapter)

    run.generator.velocity = counted  # pyright: ignore[reportAttributeAccessIssue]
    run.step()
    return counts


def by_role(counts: Counter[tuple[str, bytes]]) -> dict[str, int]:
    return dict(sum((Counter({who: n}) for (who, _), n in counts.items()), Counter[str]()))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        # Rollout; the Demonstrator along it, for the distillation reward; two AWM levels and one anchor state.
        ({}, {"policy": K * 12, "base": K * 12, "policy+": 2 * 8 + 12}),
        # Without the distillation reward the Demonstrator runs at the anchor's states only.
        ({"arm": "anchor"}, {"policy": K * 12, "base": 12, "policy+": 12}),
        # Two tasks at each level; the Executor samples as far as that.
        (
            {"arm": "anchor", "recall": {"tasks": 2}},
            {"policy": K * 12 + 2 * 3, "base": 12 + 2 * K, "policy+": 12 + 2 * K},
        ),
        ({"arm": "rl"}, {"policy": K * 12, "policy+": 2 * 8}),
        ({"arm": "rl", "awm": {"times": 2, "updates": 3}}, {"policy": K * 12, "policy+": 3 * 2 * 8}),
        ({"arm": "rl", "reinforcement": "grpo"}, {"policy": K * 12, "policy+": 2 * 8}),
        (
            {"arm": "rl", "reinforcement": "nft", "nft": {"times": 2, "kl_base": 0}},
            {"old": K * 12 + 2 * 8, "policy+": 2 * 8},
        ),
        # The sampler has computed the targets.
        ({"arm": "off_policy"}, {"base": K * 12, "policy+": 12}),
    ],
)
def test_a_step_runs_the_transformer_as_often_as_it_must(
    tmp_path: Path, settings: dict[str, Any], expected: dict[str, int]
) -> None:
    """12 rollouts, four of which the judge cannot read; those have no part in the policy loss."""
    run = trainer(tmp_path, anchor_states=1, **settings)
    assert by_role(passes(run)) == expected


def test_no_pass_is_made_twice_and_none_beyond_student_demonstrator_and_backward(tmp_path: Path) -> None:
    """AWM and anchor on policy, every anchor state trained: at each trained state the student runs once, with a backward
    pass, and the Demonstrator at most once."""
    counts = passes(trainer(tmp_path, anchor_states=K))
    assert set(counts.values()) == {1}
    assert {who for who, _ in counts} == {"policy", "policy+", "base"}
    assert by_role(counts) == {"policy": K * 12, "base": K * 12, "policy+": 2 * 8 + K * 12}
