import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from wmsd_core.rewards.gating import gated
from wmsd_core.rewards.judged import judged
from wmsd_core.rewards.total import total_reward
from wmsd_core.vlm import LogOdds, Question


class Bright:
    """Answers with the brightness of a video; cannot read black ones."""

    def __init__(self) -> None:
        self.calls: list[list[Question]] = []

    def log_odds(self, questions: Sequence[Question], media: Sequence[np.ndarray]) -> list[LogOdds]:
        self.calls.append(list(questions))
        sign = {"judge_task": 1, "judge_consistency": -1}
        return [
            LogOdds(sign[q.name] * float(m.mean())) if m.any() else LogOdds.unread("black")
            for q, m in zip(questions, media, strict=True)
        ]


def test_every_question_about_every_video_goes_out_in_one_batch_and_unread_ones_are_nan() -> None:
    judge, videos = Bright(), np.zeros((3, 2, 4, 4, 3), np.uint8)
    videos[0], videos[2] = 10, 30
    result = judged(judge.log_odds, ["judge_task", "judge_consistency"], ["do A", "do B", "do C"], videos)
    expected = torch.tensor([[10, math.nan, 30], [-10, math.nan, -30]], dtype=torch.float64)
    torch.testing.assert_close(result.rewards, expected, equal_nan=True)
    assert result.unread == {"black": 2}
    (questions,) = judge.calls
    assert [("do A" in q.text, "do B" in q.text, "do C" in q.text) for q in questions[:3]] == [
        (True, False, False),
        (False, True, False),
        (False, False, True),
    ]


def test_a_still_picture_earns_no_consistency_through_the_gate() -> None:
    consistency = torch.tensor([6.0, 6.0, -2.0, math.nan])
    task = torch.tensor([-5.0, 3.0, 4.0, 1.0])
    torch.testing.assert_close(gated(consistency, task), torch.tensor([-5.0, 3.0, -2.0, math.nan]), equal_nan=True)


def test_the_total_is_the_weighted_sum_and_nan_where_a_term_is() -> None:
    rewards = torch.tensor([[[1.0, 2.0]], [[10.0, math.nan]]])
    total = total_reward(rewards, weights=(0.5, 0.1))
    assert float(total[0, 0]) == pytest.approx(1.5) and bool(total[0, 1].isnan())
