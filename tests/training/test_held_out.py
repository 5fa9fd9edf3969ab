"""Trials on held-out tasks during training: what is held out, what is found, which weights are kept, and exact resuming."""

import json
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.training.test_process import CONFIG, finish, interrupt
from tests.training.toy import ToyGenerator, ToyJudge, write_run
from wmsd_core import seeds
from wmsd_core.sampling.ode import sample
from wmsd_core.training import process
from wmsd_core.training.adapters import WEIGHTS, load_adapter
from wmsd_core.training.config import HeldOutConfig
from wmsd_core.training.deliveries import intact
from wmsd_core.training.examples import Example, load_examples, load_images
from wmsd_core.training.held_out import HeldOut, divided
from wmsd_core.training.loop import Trainer
from wmsd_core.vlm import LogOdds
from wmsd_core.vlm.prompts import question

TRIED = CONFIG.model_copy(update={"steps": 12, "held_out": HeldOutConfig(every=3, tasks=4)})


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tried")
    write_run(folder, TRIED, examples=12)
    finish(folder)
    return folder


def test_whole_pictures_are_held_out_whatever_the_order_of_the_examples() -> None:
    examples = [
        Example(pair_id=f"{i}", image=Path("x.png"), task="t", solution="s", sha256=f"{i % 5}") for i in range(20)
    ]
    learned, tried = divided(examples, 6)
    assert len(tried) == 6 and len(learned) == 12  # two of five pictures, four tasks each
    assert not {example.sha256 for example in learned} & {example.sha256 for example in tried}
    assert learned == [example for example in examples if example in learned]
    again = divided(examples[::-1], 6)
    assert {example.sha256 for example in again[1]} == {example.sha256 for example in tried}
    with pytest.raises(ValueError, match=r"held_out\.tasks=17 leaves nothing to learn from: there are 20 tasks"):
        divided(examples, 17)


def test_scores_are_those_of_the_averaged_weights_and_the_best_are_kept(undisturbed: Path) -> None:
    found = [(row["step"], row["held_out"]) for row in rows(undisturbed) if "held_out" in row]
    assert [step for step, _ in found] == [3, 6, 9, 12]
    best = max(scores["score"] for _, scores in found)
    about = json.loads((undisturbed / "best" / "training.json").read_text())
    assert about["score"] == best and about["step"] == next(step for step, s in found if s["score"] == best)
    assert intact(undisturbed / "best")
    # by hand, from the delivered weights, which are those of the last trial
    generator = ToyGenerator()
    load_adapter(generator, undisturbed / "adapter")
    tried = divided(load_examples(undisturbed / "examples.jsonl"), 4)[1]
    good: dict[str, list[bool]] = {"task": [], "consistency": []}
    for place, example in enumerate(tried):
        condition = generator.encode(load_images([example]), [example.task])
        x = generator.noise(condition, [seeds.derive(TRIED.seed, "held out", example.pair_id, place)])
        act = lambda x, s, c=condition: generator.velocity(x, s, c, "ema")  # noqa: E731
        with torch.no_grad():
            video = generator.decode(sample(act, x, generator.grid(2), generator.active_mask(condition)))
        for name, answers in good.items():
            answer = ToyJudge().log_odds([question(f"judge_{name}", task=example.task)], list(video))[0]
            answers.extend([answer.value > 0] * answer.valid)
    last = found[-1][1]
    assert {name: np.mean(answers) for name, answers in good.items()} == {name: last[name] for name in good}
    assert last["score"] == pytest.approx((last["task"] + last["consistency"]) / 2)
    assert last["unread"] == 8 - sum(map(len, good.values()))


def test_held_out_tasks_are_never_trained(undisturbed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[list[Example]] = []
    whole = process.Trainer

    def watched(config: Any, generator: Any, examples: list[Example], *more: Any) -> Any:
        given.append(examples)
        return whole(config, generator, examples, *more)

    monkeypatch.setattr(process, "Trainer", watched)
    write_run(tmp_path, TRIED, examples=12)
    finish(tmp_path)
    learned, tried = divided(load_examples(tmp_path / "examples.jsonl"), 4)
    assert given == [learned] and not {e.pair_id for e in tried} & {e.pair_id for e in learned}
    assert intact(tmp_path / "adapter") == intact(undisturbed / "adapter")


def test_killed_and_resumed_keeps_the_same_best(undisturbed: Path, tmp_path: Path) -> None:
    write_run(tmp_path, TRIED, examples=12)
    assert interrupt(tmp_path, signal.SIGKILL, after=7) == -signal.SIGKILL
    finish(tmp_path)
    for place in ("best", "adapter"):
        assert (tmp_path / place / WEIGHTS).read_bytes() == (undisturbed / place / WEIGHTS).read_bytes()
    assert [row.get("held_out") for row in rows(tmp_path)] == [row.get("held_out") for row in rows(undisturbed)]
    assert (tmp_path / "best" / "training.json").read_text() == (undisturbed / "best" / "training.json").read_text()


def test_a_later_trial_that_is_no_better_replaces_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The judge likes the weights of the second trial; of equal ones the first stays."""
    answers = iter([*[-1.0] * 8, *[1.0] * 8, *[1.0] * 8, *[-1.0] * 8])

    def log_odds(_: Any, questions: Any, media: Any) -> list[LogOdds]:
        return [LogOdds(next(answers)) for _ in questions]

    monkeypatch.setattr(ToyJudge, "log_odds", log_odds)
    write_run(tmp_path, TRIED.model_copy(update={"arm": "anchor"}), examples=12)
    finish(tmp_path)
    assert json.loads((tmp_path / "best" / "training.json").read_text()) == {"step": 6, "score": 1.0}
    best, last = (load_file(tmp_path / place / WEIGHTS) for place in ("best", "adapter"))
    assert any(not torch.equal(best[key], last[key]) for key in best)


def test_the_averaged_weights_are_tried_and_not_those_that_learn(tmp_path: Path) -> None:
    seen: list[Any] = []

    class Watching(ToyJudge):
        concurrency = 1

        def log_odds(self, questions: Any, media: Any) -> list[LogOdds]:
            seen.append(np.stack(media[:4]))
            return super().log_odds(questions, media)

    examples = write_run(tmp_path, TRIED, examples=4)
    trainer = Trainer(TRIED, ToyGenerator(), examples, ToyJudge())  # pyright: ignore[reportArgumentType]
    for name in ("ema", "policy", "ema"):
        HeldOut(trainer, examples, Watching()).scores()
        with torch.no_grad():
            for weight in trainer.adapters[name].values():
                weight.add_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)))
    first, averaged_moved, other_moved = seen
    assert not np.array_equal(first, averaged_moved) and np.array_equal(averaged_moved, other_moved)
