"""Every optional setting of training, by the values that it leads to: one inverted, swapped or not passed on fails here.

Gradients are compared with the plain float64 computation of `test_gradients`; schedules and averages with literal numbers.
"""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.training.test_gradients import (
    SETTINGS,
    G,
    K,
    P,
    Plain,
    compare,
    judged_advantages,
    mean,
    randomised,
    regression,
)
from tests.training.test_loop import trainer
from wmsd_core.training.config import TrainConfig
from wmsd_core.training.randomness import random_steps

# What learns, and how


def drift(sde: str, x: Tensor, v: Tensor, s: float, t: float, a: float) -> tuple[Tensor, float]:
    """Mean and deviation of a random step of this kind."""
    if sde == "cps":
        angle = a * math.pi / 2
        return (1 - t) * (x - s * v) + t * math.cos(angle) * (x + (1 - s) * v), t * math.sin(angle)
    g = a if sde == "dance" else a * (s / (1 - (t if s == 1 else s))) ** 0.5
    return x + (v + g**2 / (2 * s) * (x + (1 - s) * v)) * (t - s), g * (s - t) ** 0.5


def grpo(plain: Plain, steps: list[int]) -> Tensor:
    settings = plain.config.grpo
    x = [plain.noise("rollout")]
    with torch.no_grad():
        for k in range(K):
            s, t = plain.grid[k], plain.grid[k + 1]
            v = plain.v("task", "policy", x[k], torch.full((P * G,), s).double(), plain.rows)
            moved = x[k] + (t - s) * v
            if k in steps:
                mu, std = drift(settings.sde, x[k], v, s, t, settings.strength)
                moved = mu + std * plain.noise(f"step {k}")
            x.append(torch.cat([x[k][:, :1], moved[:, 1:]], 1))
    a, loss = judged_advantages(plain, x[-1]), torch.zeros(()).double()
    for k in steps:
        s, t = plain.grid[k], plain.grid[k + 1]
        v = plain.v("task", "policy", x[k], torch.full((P * G,), s).double(), plain.rows)
        mu, std = drift(settings.sde, x[k], v, s, t, settings.strength)
        log_p = -mean((x[k + 1] - mu) ** 2) / (2 * std**2 if settings.likelihood == "gaussian" else 1)
        loss = loss - (a * torch.exp(log_p - log_p.detach())).mean() / len(steps)
    return loss


def awm(plain: Plain, advantages: Callable[[Plain, Tensor], Tensor] = judged_advantages) -> Tensor:
    settings, n = plain.config.awm, plain.config.awm.times
    x_0 = plain.roll_out("task", "policy")[0][-1]
    rows, s = plain.rows.repeat_interleave(n), plain.levels(n, settings)
    a = advantages(plain, x_0)[rows]
    x_0, eps, level = x_0[rows], plain.noise("renoise", n), s.view(-1, 1, 1, 1)
    x = torch.cat([x_0[:, :1], ((1 - level) * x_0 + level * eps)[:, 1:]], 1)
    m = mean((plain.v("task", "policy", x, s, rows) - (eps - x_0)) ** 2)
    ell = {
        "uniform": -m,
        "sigma": -s * m,
        "sigma2": -(s**2) * m,
        "huber": -s * (m + 1e-10).sqrt(),
        "ghuber": -s / settings.power * (m + 1e-10) ** settings.power,
    }[settings.weighting]
    return -(a * torch.exp(ell - ell.detach())).mean()


def weighed(
    floor: float = 0.1, batch_floor: float = 0.1, limit: float = 5, scale: float = 0.2, total: bool = False
) -> Any:
    """Advantages by gdpo or, with `total`, of the weighted sum; a task that could not be judged has none."""

    def advantages(plain: Plain, x_0: Tensor) -> Tensor:
        rewards, weights = plain.judged(x_0), (0.5, 0.45)
        if total:
            rewards, weights = (0.5 * rewards[0] + 0.45 * rewards[1])[None], (1.0,)
        a = torch.full((P, G), torch.nan).double()
        for p in range(P):
            if not rewards[:, p].isnan().any():
                parts = zip(rewards[:, p], weights, strict=True)
                a[p] = sum(w * (r - r.mean()) / max(float(r.std(correction=0)), floor) for r, w in parts)
        if not total:
            known = a[~a.isnan()]
            a = (a - known.mean()) / max(float(known.std(correction=0)), batch_floor)
        return (a.nan_to_num(0).clamp(-limit, limit) * scale).flatten()

    return advantages


def rewarded(**changes: Any) -> Callable[[Plain], Tensor]:
    return lambda plain: awm(plain, weighed(**changes))


def later(plain: Plain, position: int) -> Tensor:
    return grpo(plain, [position])


OBJECTIVES: dict[str, tuple[dict[str, Any], Callable[[Plain], Tensor]]] = {
    "cps": ({"grpo": {"sde": "cps", "strength": 0.3}}, lambda plain: grpo(plain, [0, 1])),
    "dance": ({"grpo": {"sde": "dance", "strength": 0.4}}, lambda plain: grpo(plain, [0, 1])),
    "unscaled": ({"grpo": {"likelihood": "unscaled"}}, lambda plain: grpo(plain, [0, 1])),
    "first step only": ({"grpo": {"within": (0, 1)}}, lambda plain: grpo(plain, [0])),
    "second step only": ({"grpo": {"within": (1, 2)}}, lambda plain: grpo(plain, [1])),
    "a window": ({"grpo": {"size": 1, "window": "sliding"}}, lambda plain: grpo(plain, [0])),
    **{
        name: ({"awm": {"times": 2, "weighting": name}}, awm)
        for name in ("uniform", "sigma", "sigma2", "huber", "ghuber")
    },
    "power": ({"awm": {"times": 2, "power": 0.6}}, awm),
    "mean of ratios": ({"awm": {"times": 2, "ratio": "sum_first"}}, awm),
    "sum": ({"rewards": {"aggregation": "sum"}}, rewarded(total=True)),
    "judged_floor": ({"rewards": {"judged_floor": 4.0}}, rewarded(floor=4.0)),
    "batch_floor": ({"rewards": {"batch_floor": 4.0}}, rewarded(batch_floor=4.0)),
    "advantage_clip": ({"rewards": {"advantage_clip": 0.5}}, rewarded(limit=0.5, scale=2.0)),
    "advantage_rescale": ({"rewards": {"advantage_rescale": 3.0}}, rewarded(scale=0.6)),
    "not rescaled": ({"rewards": {"advantage_rescale": None}}, rewarded(scale=1.0)),
    "anchor_states": (
        {"arm": "anchor", "anchor_states": 2},
        lambda plain: regression(plain, plain.roll_out("task", "policy")[0], None),
    ),
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_setting_of_objectives_or_rewards_has_its_gradient(tmp_path: Path, name: str) -> None:
    changes, loss = OBJECTIVES[name]
    kind = {"reinforcement": "grpo"} if "grpo" in changes else {}
    run = randomised(tmp_path, **{"arm": "rl"} | kind | changes)
    plain = Plain(run)
    loss(plain).backward()
    run.step()
    compare(run, plain)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"window": "sliding", "size": 2, "interval": 2}, [[0, 1], [0, 1], [1, 2], [1, 2], [2, 3], [2, 3], [0, 1]]),
        ({"window": "sliding", "size": 1, "interval": 1, "within": (1, 3)}, [[1], [2], [1], [2], [1], [2], [1]]),
        ({"size": None}, [[0, 1, 2, 3]] * 7),
    ],
)
def test_windows_move_as_they_are_set(settings: dict[str, Any], expected: list[list[int]]) -> None:
    config = TrainConfig.model_validate({"reinforcement": "grpo", "sampler_steps": 5, "grpo": settings})
    assert [random_steps(config, step) for step in range(7)] == expected


def test_windows_are_neighbours_or_scattered_and_differ_by_step_and_seed() -> None:
    def drawn(window: str, seed: int = 0) -> list[list[int]]:
        settings = {"window": window, "size": 2, "within": (1, 6)}
        config = TrainConfig.model_validate({"reinforcement": "grpo", "grpo": settings, "seed": seed})
        return [random_steps(config, step) for step in range(40)]

    neighbours, scattered = drawn("contiguous"), drawn("scattered")
    assert {b - a for a, b in neighbours} == {1} and {a for a, _ in neighbours} == {1, 2, 3, 4}
    assert {b - a for a, b in scattered} == {1, 2, 3, 4} and {step for pair in scattered for step in pair} == {
        1,
        2,
        3,
        4,
        5,
    }
    assert drawn("contiguous") == neighbours != drawn("contiguous", seed=1)


# At which noise levels

LEVELS = {
    "awm": {"arm": "rl"},
    "nft": {"arm": "rl", "reinforcement": "nft"},
    "dmd": {"arm": "dmd"},
    "sft": {"arm": "sft"},
}


def trained_at(folder: Path, name: str, **settings: Any) -> Tensor:
    """The noise levels at which a step trains; of dmd, at which it compares scores and trains the critic."""
    run = trainer(folder, **LEVELS[name] | {name: settings})
    found: list[Tensor] = []
    network = run.generator.velocity

    def watched(x: Tensor, sigma: Tensor, condition: Any, adapter: Any) -> Tensor:
        if torch.is_grad_enabled() or adapter == "critic":
            found.append(sigma.detach().clone())
        return network(x, sigma, condition, adapter)

    run.generator.velocity = watched  # pyright: ignore[reportAttributeAccessIssue]
    run.step()
    return torch.cat(found).double()


@pytest.mark.parametrize("name", LEVELS)
def test_levels_are_drawn_as_they_are_set_for_everything_that_draws_them(tmp_path: Path, name: str) -> None:
    grid = [1.0, 2 / 3, 1 / 3]  # of three steps

    def of(**settings: Any) -> list[float]:
        return sorted({round(level, 5) for level in trained_at(tmp_path, name, times=2, **settings).tolist()})

    if name != "dmd":  # whose Executor is trained at states of the sampler as well
        assert of(drawn="grid", levels=[1]) == pytest.approx(grid[1:2], abs=1e-5)
        assert of(drawn="grid") == pytest.approx(grid[::-1], abs=1e-5)
        assert of(drawn="discrete_with_init", levels=[1]) == pytest.approx([grid[1], grid[0]], abs=1e-5)
        assert of(drawn="discrete_wo_init", levels=[2]) == pytest.approx([grid[2], grid[1]], abs=1e-5)
    flat = trained_at(tmp_path, name, drawn="uniform", shift=1.0)
    tilted = trained_at(tmp_path, name, drawn="uniform", shift=4.0)
    moved = flat != tilted
    assert moved.float().mean() > 0.5
    torch.testing.assert_close(tilted[moved], 4 * flat[moved] / (1 + 3 * flat[moved]), rtol=1e-5, atol=1e-6)
    normal = trained_at(tmp_path, name, drawn="logit_normal", shift=1.0)
    assert not torch.equal(normal, flat)


# How weights move


def test_weights_move_as_adam_with_decoupled_decay_says(tmp_path: Path) -> None:
    """Two steps, with every number of the optimizer other than its default; gradients are those that were left."""
    settings = {"learning_rate": 0.01, "betas": (0.7, 0.8), "eps": 1e-3, "weight_decay": 0.3, "max_grad_norm": 0.05}
    run = randomised(tmp_path, arm="anchor", optimizer=settings)
    w = {name: weight.detach().double().clone() for name, weight in run.adapters["policy"].items()}
    m, v = ({name: torch.zeros_like(x) for name, x in w.items()} for _ in range(2))
    for t in (1, 2):
        row = run.step()
        left = {
            name: weight.grad.double() for name, weight in run.adapters["policy"].items() if weight.grad is not None
        }
        assert row["gradient_norm"] > 0.05
        assert math.sqrt(sum(float(g.square().sum()) for g in left.values())) == pytest.approx(0.05, rel=1e-3)
        for name, g in left.items():
            m[name], v[name] = 0.7 * m[name] + 0.3 * g, 0.8 * v[name] + 0.2 * g**2
            change = (m[name] / (1 - 0.7**t)) / ((v[name] / (1 - 0.8**t)).sqrt() + 1e-3)
            w[name] = w[name] * (1 - 0.01 * 0.3) - 0.01 * change
            torch.testing.assert_close(run.adapters["policy"][name].double(), w[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("decay", "expected"),
    [
        ("constant", [0.5, 1, 1, 1, 1, 1]),
        ("linear", [0.5, 1, 1, 0.75, 0.5, 0.25]),
        ("cosine", [0.5, 1, 1, 0.853553, 0.5, 0.146447]),
    ],
)
def test_learning_rates_of_a_run(tmp_path: Path, decay: str, expected: list[float]) -> None:
    settings = {"learning_rate": 0.02, "warmup": 2, "decay": decay}
    run = trainer(tmp_path, arm="dmd", optimizer=settings, dmd={"critic_learning_rate": 0.01})
    rows = [run.step() for _ in range(6)]
    assert [row["learning_rate"] for row in rows] == pytest.approx([0.02 * rate for rate in expected], rel=1e-5)
    assert [row["critic_learning_rate"] for row in rows] == pytest.approx([0.01 * rate for rate in expected], rel=1e-5)
    assert {group["lr"] for group in run.optimizer.param_groups} == {
        rows[-1]["learning_rate"],
        rows[-1]["critic_learning_rate"],
    }


def followed(run: Any, name: str, decays: list[float]) -> None:
    """That a slow copy is what these weights of its past make of it, step by step."""
    slow = {key: weight.detach().double().clone() for key, weight in run.adapters[name].items()}
    for step, decay in enumerate(decays):
        run.step()
        for key, weight in run.adapters["policy"].items():
            slow[key] = decay * slow[key] + (1 - decay) * weight.detach().double()
            torch.testing.assert_close(
                run.adapters[name][key].double(), slow[key], rtol=1e-5, atol=1e-7, msg=f"step {step}"
            )


@pytest.mark.parametrize(
    ("settings", "decays"),
    [
        ({"decay": 0.75}, [0.75] * 4),
        ({"decay": 0.75, "interval": 3}, [1, 1, 0.75, 1, 1, 0.75]),
        ({"decay": 0.2, "schedule": "power"}, [0.1, 2 / 11, 0.2, 0.2]),
        ({"decay": 0.9, "schedule": "power", "interval": 2}, [1, 0.1, 1, 2 / 11, 1, 0.25]),
    ],
)
def test_the_average_follows_as_it_is_set(tmp_path: Path, settings: dict[str, Any], decays: list[float]) -> None:
    followed(trainer(tmp_path, arm="anchor", ema=settings), "ema", decays)


@pytest.mark.parametrize(
    ("settings", "decays"),
    [
        ({"old_flat": 0, "old_rate": 0.2, "old_limit": 0.5}, [0.2, 0.4, 0.5, 0.5]),
        ({"old_flat": 2, "old_rate": 0.3, "old_limit": 0.9}, [0, 0, 0.3, 0.6, 0.9]),
    ],
)
def test_the_old_policy_follows_as_it_is_set(tmp_path: Path, settings: dict[str, Any], decays: list[float]) -> None:
    followed(trainer(tmp_path, arm="rl", reinforcement="nft", nft=settings | {"times": 1}), "old", decays)


def test_phases_have_their_lengths() -> None:
    config = TrainConfig.model_validate(
        {"arm": "alternating", "alternating": {"demonstrator_steps": 2, "executor_steps": 3}}
    )
    lessons = [config.lessons.index(config.lesson_at(step)) for step in range(10)]
    assert lessons == [0, 0, 1, 1, 1, 0, 0, 1, 1, 1]
    assert [step for step in range(10) if config.begins_at(step)] == [0, 2, 5, 7]


def test_seeds_differ_in_tasks_noise_and_levels(tmp_path: Path) -> None:
    one, same, other = (trainer(tmp_path, seed=seed) for seed in (1, 1, 2))
    rows = [run.step() for run in (one, same, other)]
    assert rows[0]["reward"] == rows[1]["reward"] != rows[2]["reward"]
    assert one.groups.cursor == SETTINGS["tasks_per_step"]
