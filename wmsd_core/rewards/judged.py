"""Task and consistency rewards: what a vision-language model believes about a video (paper sections 4.1 and A.2.2)."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from wmsd_core.arrays import Image, Video, Videos
from wmsd_core.vlm.prompts import question
from wmsd_core.vlm.protocol import LogOdds, Question

Ask = Callable[[Sequence[Question], Sequence[Image | Video]], list[LogOdds]]
"""`log_odds` of a vision-language model."""


class Judgments(NamedTuple):
    rewards: Float[Tensor, "R B"]
    """log p(good answer) - log p(other answer), in nats; NaN where the judgment could not be read."""
    unread: dict[str, int]
    """Why judgments could not be read, and how often."""


def judged(ask: Ask, prompts: Sequence[str], tasks: Sequence[str], videos: Videos) -> Judgments:
    """Puts the question of each of R prompts (`judge_task`, `judge_consistency`) to each of B videos.

    All R B questions go out as one batch, so that the judge keeps its own concurrency.
    """
    questions = [question(prompt, task=task) for prompt in prompts for task in tasks]
    answers = ask(questions, list(videos) * len(prompts))
    values = torch.tensor([answer.value for answer in answers], dtype=torch.float64)
    return Judgments(values.view(len(prompts), len(tasks)), dict(Counter(a.reason for a in answers if not a.valid)))
