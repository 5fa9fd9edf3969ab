"""One step of the trainer, for every arm and objective, against a plain float64 computation of the same gradient.

The plain side knows the toy's network, the adapters' weights, and the noise and levels of the batch. It samples, rewards,
normalises and weighs by itself; of the project's functions it uses none but the draws.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.training.test_loop import trainer
from tests.training.toy import LEVELS, ToyJudge
from wmsd_core.frames import clips
from wmsd_core.sampling.levels import stratified
from wmsd_core.training.batch import Batch
from wmsd_core.training.groups import GroupSampler
from wmsd_core.training.levels import drawn_levels
from wmsd_core.training.loop import Trainer
from wmsd_core.vlm.prompts import question

P, G, K = 3, 4, 3
SETTINGS: dict[str, Any] = {
    "tasks_per_step": P,
    "group_size": G,
    "sampler_steps": K,
    "anchor_weight": 0.3,
    "rl_weight": 0.7,
    "micro_batch": 5,
    # One of its three tasks is one that the judge cannot read.
    "seed": 8,
    "optimizer": {"learning_rate": 1e-12, "max_grad_norm": 1e9},
}


def randomised(folder: Path, **changes: Any) -> Trainer:
    """A trainer whose adapters all do something, each something else."""
    run = trainer(folder, **SETTINGS | changes)
    source = torch.Generator().manual_seed(7)
    for weights in run.adapters.values():
        for weight in weights.values():
            weight.data.copy_(0.2 * torch.randn(weight.shape, generator=source))
    return run


class Plain:
    """The toy in float64, with its own copy of everything."""

    def __init__(self, run: Trainer) -> None:
        self.config, self.grid = run.config, [k / K for k in range(K, -1, -1)]
        slots = GroupSampler(len(run.examples), P, run.config.seed).next()
        self.batch = Batch(run.generator, run.examples, slots, group_size=G, seed=run.config.seed)
        self.rows = self.batch.rows
        self.base = {k.replace(".base_layer", ""): v.double() for k, v in run.generator.network.state_dict().items()}
        self.weights = {
            adapter: {name: w.detach().double().requires_grad_() for name, w in weights.items()}
            for adapter, weights in run.adapters.items()
        }
        self.words = {
            "task": self.batch.short.words.double().repeat_interleave(G, 0),  # pyright: ignore[reportAttributeAccessIssue]
            "solution": self.batch.detailed.words.double().repeat_interleave(G, 0),  # pyright: ignore[reportAttributeAccessIssue]
        }

    def v(self, text: str, adapter: str | None, x: Tensor, sigma: Tensor, rows: Tensor) -> Tensor:
        words = self.words[text][rows]

        def linear(name: str, z: Tensor) -> Tensor:
            out = z @ self.base[f"{name}.weight"].T + self.base[f"{name}.bias"]
            if adapter:
                a, b = (self.weights[adapter][f"{name}.lora_{part}.weight"] for part in "AB")
                out = out + 2 * z @ a.T @ b.T
            return out

        hidden = torch.tanh(linear("inner", torch.cat([x.flatten(1), sigma[:, None], words], 1)))
        level = words[:, :LEVELS] @ torch.arange(LEVELS).double() / LEVELS - 0.5
        v = linear("outer", hidden).view_as(x) + x - level.view(-1, 1, 1, 1)
        return torch.cat([torch.zeros_like(v[:, :1]), v[:, 1:]], 1)

    def noise(self, purpose: str, count: int = 1) -> Tensor:
        return self.batch.noise(self.rows, purpose, count=count).double()

    @torch.no_grad()
    def roll_out(
        self, text: str, adapter: str | None, strength: float | None = None
    ) -> tuple[list[Tensor], list[Tensor]]:
        """States and velocities; with a strength, all steps but the last are those of Flow-SDE."""
        x, v = [self.noise("rollout")], []
        for k in range(K):
            s, t = self.grid[k], self.grid[k + 1]
            v.append(self.v(text, adapter, x[k], torch.full((P * G,), s).double(), self.rows))
            moved = x[k] + (t - s) * v[k]
            if strength is not None and k < K - 1:
                mean, std = sde(x[k], v[k], s, t, strength)
                moved = mean + std * self.noise(f"step {k}")
            x.append(torch.cat([x[k][:, :1], moved[:, 1:]], 1))
        return x, v

    def judged(self, x_0: Tensor) -> Tensor:
        """[2, P, G]"""
        videos = self.batch.generator.decode(x_0)
        tasks = [self.batch.examples[row // G].task for row in range(P * G)]
        names = ("judge_task", "judge_consistency")
        found = [ToyJudge().log_odds([question(name, task=task) for task in tasks], list(videos)) for name in names]
        return torch.tensor([[answer.value for answer in answers] for answers in found]).double().view(2, P, G)

    def levels(self, times: int, settings: Any, purpose: str = "policy") -> Tensor:
        grid = torch.tensor(self.grid).double()
        return drawn_levels(self.batch, grid, settings, purpose, count=times).flatten()


def mean(x: Tensor) -> Tensor:
    """Over the generated pixels of each sample."""
    return x[:, 1:].flatten(1).mean(1)


def sde(x: Tensor, v: Tensor, s: float, t: float, strength: float) -> tuple[Tensor, float]:
    g = strength * (s / (1 - (t if s == 1 else s))) ** 0.5
    return x + (v + g**2 / (2 * s) * (x + (1 - s) * v)) * (t - s), g * (s - t) ** 0.5


def gdpo(rewards: list[Tensor], weights: list[float], floors: list[float]) -> Tensor:
    """[P G], clamped to +-5 and divided by 5; 0 for tasks whose judge could not read them."""
    combined = torch.full((P, G), torch.nan).double()
    for p in range(P):
        if not any(reward[p].isnan().any() for reward in rewards):
            combined[p] = torch.zeros(G)
            for reward, weight, floor in zip(rewards, weights, floors, strict=True):
                spread = max(float(reward[p].std(correction=0)), floor)
                combined[p] += weight * (reward[p] - reward[p].mean()) / spread
    known = combined[~combined.isnan()]
    a = (combined - known.mean()) / max(float(known.std(correction=0)), 0.1)
    return (a.nan_to_num(0).clamp(-5, 5) / 5).flatten()


def judged_advantages(plain: Plain, x_0: Tensor) -> Tensor:
    return gdpo(list(plain.judged(x_0)), [0.5, 0.45], [0.1, 0.1])


def awm(plain: Plain, advantages: Tensor, x_0: Tensor, text: str = "task", adapter: str = "policy") -> Tensor:
    """On policy the ratio is exp(ell - sg ell), and its clip does nothing."""
    n = plain.config.awm.times
    rows, s = plain.rows.repeat_interleave(n), plain.levels(n, plain.config.awm)
    x_0, eps = x_0[rows], plain.noise("renoise", n)
    level = s.view(-1, 1, 1, 1)
    x = torch.cat([x_0[:, :1], ((1 - level) * x_0 + level * eps)[:, 1:]], 1)
    v = plain.v(text, adapter, x, s, rows)
    m = mean((v - (eps - x_0)) ** 2)
    ell = -(s / 0.25) * ((m + 1e-10) ** 0.25 - 1e-10**0.25)
    loss = -advantages[rows] * torch.exp(ell - ell.detach())
    for weight, reference in ((plain.config.awm.kl_base, None), (plain.config.awm.kl_ema, "ema")):
        loss = loss + weight * mean((v - plain.v(text, reference, x, s, rows).detach()) ** 2)
    return loss.mean()


def regression(plain: Plain, states: list[Tensor], demonstrator: str | None) -> Tensor:
    count = plain.config.anchor_states
    k = plain.batch.draw("anchor", lambda g: stratified(K, batch=G, count=count, generator=g)).flatten()
    rows = plain.rows.repeat_interleave(count)
    x, s = torch.stack(states)[k, rows], torch.tensor(plain.grid).double()[k]
    target = plain.v("solution", demonstrator, x, s, rows).detach()
    return mean((plain.v("task", "policy", x, s, rows) - target) ** 2).mean()


def agreement(plain: Plain, states: list[Tensor], velocities: list[Tensor], demonstrator: str | None) -> Tensor:
    """[P, G]"""
    costs = [
        mean((v - plain.v("solution", demonstrator, x, torch.full((P * G,), s).double(), plain.rows)) ** 2)
        for x, v, s in zip(states, velocities, plain.grid, strict=False)
    ]
    return -torch.stack(costs).mean(0).detach().view(P, G)


def full(plain: Plain, demonstrator: str | None = None) -> Tensor:
    x, v = plain.roll_out("task", "policy")
    rewards = [*plain.judged(x[-1]), agreement(plain, x, v, demonstrator)]
    a = gdpo(rewards, [0.5, 0.45, 0.05], [0.1, 0.1, 1e-3])
    return 0.7 * awm(plain, a, x[-1]) + 0.3 * regression(plain, x, demonstrator)


def rl(plain: Plain) -> Tensor:
    x, _ = plain.roll_out("task", "policy")
    return awm(plain, judged_advantages(plain, x[-1]), x[-1])


def anchor(plain: Plain) -> Tensor:
    return regression(plain, plain.roll_out("task", "policy")[0], None)


def anchor_reward(plain: Plain) -> Tensor:
    x, v = plain.roll_out("task", "policy")
    a = gdpo([agreement(plain, x, v, None)], [0.05], [1e-3])
    return 0.7 * awm(plain, a, x[-1]) + 0.3 * regression(plain, x, None)


def off_policy(plain: Plain) -> Tensor:
    return regression(plain, plain.roll_out("solution", None)[0], None)


def demonstrator_rl(plain: Plain) -> Tensor:
    x, _ = plain.roll_out("solution", "demonstrator")
    return awm(plain, judged_advantages(plain, x[-1]), x[-1], "solution", "demonstrator")


def off_policy_rl(plain: Plain) -> Tensor:
    return demonstrator_rl(plain) + regression(plain, plain.roll_out("solution", "demonstrator")[0], "demonstrator")


def matching(plain: Plain) -> tuple[Tensor, Tensor]:
    """Of the Executor and of the critic."""
    states, _ = plain.roll_out("task", "policy")
    k = plain.batch.draw("anchor", lambda g: stratified(K, batch=G, count=1, generator=g)).flatten()
    x, s = torch.stack(states)[k, plain.rows], torch.tensor(plain.grid).double()[k]
    x_0 = x - s.view(-1, 1, 1, 1) * plain.v("task", "policy", x, s, plain.rows)
    sample = x_0.detach()

    def noised(purpose: str) -> tuple[Tensor, Tensor]:
        s = plain.levels(1, plain.config.dmd, purpose)
        eps, level = plain.noise(purpose), s.view(-1, 1, 1, 1)
        return torch.cat([sample[:, :1], ((1 - level) * sample + level * eps)[:, 1:]], 1), s

    x, s = noised("compared")
    level = s.view(-1, 1, 1, 1)
    fake = x - level * plain.v("task", "critic", x, s, plain.rows).detach()
    real = x - level * plain.v("solution", None, x, s, plain.rows).detach()
    direction = (fake - real) / mean((sample - real).abs()).view(-1, 1, 1, 1)
    executor = mean(direction * x_0).mean()
    x, s = noised("criticised")
    fake = x - s.view(-1, 1, 1, 1) * plain.v("task", "critic", x, s, plain.rows)
    return executor, mean((fake - sample) ** 2).mean()


def dmd_rl(plain: Plain) -> Tensor:
    executor, critic = matching(plain)
    return 0.7 * rl(plain) + 0.3 * executor + critic


def sft(plain: Plain) -> Tensor:
    videos = torch.stack([torch.from_numpy(clips.read(e.video)) for e in plain.batch.examples if e.video])[..., 0]
    x_0 = (videos.double() / 127.5 - 1).repeat_interleave(G, 0).repeat_interleave(2, 0)
    rows, s, eps = plain.rows.repeat_interleave(2), plain.levels(2, plain.config.sft, "sft"), plain.noise("sft", 2)
    level = s.view(-1, 1, 1, 1)
    x = torch.cat([eps[:, :1], ((1 - level) * x_0 + level * eps)[:, 1:]], 1)
    return mean((plain.v("task", "policy", x, s, rows) - (eps - x_0)) ** 2).mean()


def grpo(plain: Plain) -> Tensor:
    x, _ = plain.roll_out("task", "policy", 0.7)
    a = judged_advantages(plain, x[-1])
    loss = torch.zeros(()).double()
    for k in range(K - 1):
        s, t = plain.grid[k], plain.grid[k + 1]
        sigma = torch.full((P * G,), s).double()
        mu, std = sde(x[k], plain.v("task", "policy", x[k], sigma, plain.rows), s, t, 0.7)
        log_p = -mean((x[k + 1] - mu) ** 2) / (2 * std**2)
        change = log_p - log_p.detach()
        if plain.config.grpo.guard:
            change = std * (change + mean((mu - mu.detach()) ** 2) / (2 * std**2))
        term = -a * torch.exp(change) / ((s - t) if plain.config.grpo.guard else 1)
        base, _ = sde(x[k], plain.v("task", None, x[k], sigma, plain.rows), s, t, 0.7)
        g2 = std**2 / (s - t)
        loss = loss + (term + plain.config.grpo.kl_base * mean((mu - base) ** 2) / (2 * g2)).mean() / (K - 1)
    return loss


def nft(plain: Plain, adapter: str = "policy") -> Tensor:
    """In the first step of a run the policy is its own old one."""
    x, _ = plain.roll_out("task", adapter)
    a = judged_advantages(plain, x[-1])
    n, beta = plain.config.nft.times, plain.config.nft.beta
    rows, s = plain.rows.repeat_interleave(n), plain.levels(n, plain.config.nft)
    x_0, eps, level = x[-1][rows], plain.noise("renoise", n), s.view(-1, 1, 1, 1)
    state = torch.cat([x_0[:, :1], ((1 - level) * x_0 + level * eps)[:, 1:]], 1)
    v = plain.v("task", "policy", state, s, rows)
    old = plain.v("task", adapter, state, s, rows).detach()
    loss = torch.zeros(len(rows)).double()
    for sign, share in ((1, a / 2 + 0.5), (-1, 0.5 - a / 2)):
        error = state - level * (old + sign * beta * (v - old)) - x_0
        loss = loss + share[rows] * mean(error**2) / mean(error.detach().abs()).clamp(min=1e-5)
    loss = 5 * loss / beta * (a != 0)[rows]
    base = plain.v("task", None, state, s, rows)
    return (loss + plain.config.nft.kl_base * mean((v - base) ** 2)).mean()


CASES: dict[str, tuple[dict[str, Any], Callable[[Plain], Tensor]]] = {
    "rl": ({"arm": "rl"}, rl),
    "rl, penalties, any level": (
        {"arm": "rl", "awm": {"times": 2, "kl_base": 0.2, "kl_ema": 0.3, "drawn": "uniform"}},
        rl,
    ),
    "full": ({"arm": "full"}, full),
    "ema_demonstrator": ({"arm": "ema_demonstrator"}, lambda plain: full(plain, "ema")),
    "anchor": ({"arm": "anchor"}, anchor),
    "anchor_reward": ({"arm": "anchor_reward"}, anchor_reward),
    "off_policy": ({"arm": "off_policy"}, off_policy),
    "off_policy_rl": ({"arm": "off_policy_rl"}, off_policy_rl),
    "alternating, Demonstrator": ({"arm": "alternating"}, demonstrator_rl),
    "dmd": ({"arm": "dmd"}, lambda plain: sum(matching(plain), torch.zeros(()))),
    "dmd_rl": ({"arm": "dmd_rl"}, dmd_rl),
    "sft": ({"arm": "sft", "sft": {"times": 2}}, sft),
    "grpo": ({"arm": "rl", "reinforcement": "grpo", "grpo": {"kl_base": 0.2}}, grpo),
    "grpo, guarded": ({"arm": "rl", "reinforcement": "grpo", "grpo": {"guard": True}}, grpo),
    "nft": ({"arm": "rl", "reinforcement": "nft", "nft": {"times": 2, "beta": 0.5, "kl_base": 0.2}}, nft),
}


@pytest.mark.parametrize("name", CASES)
def test_a_step_has_the_gradient_of_the_plain_computation(tmp_path: Path, name: str) -> None:
    settings, loss = CASES[name]
    run = randomised(tmp_path, **settings)
    plain = Plain(run)
    loss(plain).backward()
    run.step()
    compare(run, plain)


def test_the_executors_phase_of_alternating_learns_from_the_trained_demonstrator(tmp_path: Path) -> None:
    run = randomised(tmp_path, arm="alternating", alternating={"demonstrator_steps": 1})
    run.steps_done = 1
    plain = Plain(run)
    full(plain, "demonstrator").backward()
    run.step()
    compare(run, plain)


def test_later_nft_steps_roll_out_by_the_old_policy_and_are_compared_with_it(tmp_path: Path) -> None:
    run = randomised(tmp_path, **CASES["nft"][0])
    run.steps_done = 1
    plain = Plain(run)
    nft(plain, "old").backward()
    run.step()
    compare(run, plain)


@pytest.mark.parametrize(
    "settings",
    [
        {"awm": {"times": 2, "updates": 2, "clip": 0.02}},
        {"reinforcement": "grpo", "grpo": {"updates": 2, "clip": 0.005}},
        {"reinforcement": "grpo", "grpo": {"updates": 2, "clip": 0.002, "guard": True}},
    ],
)
def test_a_second_update_is_compared_with_the_policy_of_the_rollout(tmp_path: Path, settings: dict[str, Any]) -> None:
    run = randomised(tmp_path, arm="rl", **settings)
    rollout, plain = Plain(run), Plain(run)
    for name, weight in plain.weights["policy"].items():
        weight.data += 0.01 * torch.sin(torch.arange(weight.numel())).view_as(weight)
        plain.weights["policy"][name] = weight
    first = run.optimizer.step

    def move(*_: Any) -> None:
        for name, weight in run.adapters["policy"].items():
            weight.data.copy_(plain.weights["policy"][name])
        run.optimizer.step = first

    run.optimizer.step = move
    second(plain, rollout).backward()
    row = run.step()
    compare(run, plain)
    assert 0.1 < row["ratio_clipped"] < 0.9 and 0 < row["ratio_silenced"] < row["ratio_clipped"]


def second(plain: Plain, rollout: Plain) -> Tensor:
    """max(-A r, -A clip(r)) with the likelihoods of two policies on the trajectories of one."""
    strength = 0.7 if plain.config.reinforcement == "grpo" else None
    x, _ = rollout.roll_out("task", "policy", strength)
    a, found = judged_advantages(rollout, x[-1]), []
    clip = plain.config.grpo.clip if strength else plain.config.awm.clip

    def surrogate(change: Tensor, a: Tensor, scale: float = 1.0) -> None:
        r = torch.exp(change)
        found.append(torch.stack([-a * r, -a * r.clamp(1 - clip, 1 + clip)]).amax(0) / scale)

    if strength is None:
        rows, s, eps = plain.rows.repeat_interleave(2), plain.levels(2, plain.config.awm), plain.noise("renoise", 2)
        x_0, level = x[-1][rows], s.view(-1, 1, 1, 1)
        state = torch.cat([x_0[:, :1], ((1 - level) * x_0 + level * eps)[:, 1:]], 1)
        m = [mean((p.v("task", "policy", state, s, rows) - (eps - x_0)) ** 2) for p in (plain, rollout)]
        new, old = (-(s / 0.25) * ((error + 1e-10) ** 0.25 - 1e-10**0.25) for error in m)
        surrogate(new - old.detach(), a[rows])
    for k in range(K - 1 if strength else 0):
        s, t = plain.grid[k], plain.grid[k + 1]
        sigma = torch.full((P * G,), s).double()
        (mu, std), (mu_old, _) = (
            sde(x[k], p.v("task", "policy", x[k], sigma, p.rows), s, t, 0.7) for p in (plain, rollout)
        )
        mu_old = mu_old.detach()
        change = (mean((x[k + 1] - mu_old) ** 2) - mean((x[k + 1] - mu) ** 2)) / (2 * std**2)
        if plain.config.grpo.guard:
            surrogate(std * (change + mean((mu - mu_old) ** 2) / (2 * std**2)), a, s - t)
        else:
            surrogate(change, a)
    return torch.cat(found).mean()


def compare(run: Trainer, plain: Plain) -> None:
    """Gradients of all weights of all adapters, those without one included."""
    for adapter, weights in run.adapters.items():
        largest = 0.0
        for name, weight in weights.items():
            expected = plain.weights[adapter][name].grad
            assert (weight.grad is None) == (expected is None), (adapter, name)
            if weight.grad is not None and expected is not None:
                torch.testing.assert_close(weight.grad.double(), expected, rtol=1e-5, atol=1e-5)
                largest = max(largest, float(expected.abs().max()))
        assert largest > 1e-3 or all(weight.grad is None for weight in weights.values()), adapter
