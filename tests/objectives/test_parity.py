"""Every objective, with its gradient, against a plain computation: a linear network, float64, no mask, no shared helper.

The network v = x W leaves NaN where latents are given; the plain side never sees those.
"""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from wmsd_core.objectives.anchor import anchor_loss
from wmsd_core.objectives.awm import awm_loss, log_likelihood
from wmsd_core.objectives.dmd import critic_loss, dmd_loss, kl_gradient
from wmsd_core.objectives.flow_grpo import grpo_loss, guard_loss, mean_drift
from wmsd_core.objectives.flow_matching import flow_matching_loss
from wmsd_core.objectives.kl import mean_kl, velocity_kl
from wmsd_core.objectives.nft import nft_loss, optimality
from wmsd_core.objectives.off_policy import off_policy_loss
from wmsd_core.sampling.interpolation import denoised, noised
from wmsd_core.sampling.sde import log_prob, transition

B, N, D = 3, 2, 4
SOURCE = torch.Generator().manual_seed(0)


def normal(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=SOURCE)


W, W_OLD, W_OTHER = normal(D, D), normal(D, D), normal(D, D)
W_NEAR = W + 1e-3 * normal(D, D)
X_0, EPS = normal(B * N, D), normal(B * N, D)
S = torch.rand(B * N, dtype=torch.float64, generator=SOURCE) * 0.8 + 0.1
S_NEXT = 0.6 * S
A = normal(B)
PAIRED = A.repeat_interleave(N)
X = (1 - S[:, None]) * X_0 + S[:, None] * EPS
X_NEXT = X + (S_NEXT - S)[:, None] * (X @ W_NEAR) + 0.1 * normal(B * N, D)

ACTIVE = torch.tensor([False, *[True] * D]).expand(B * N, D + 1)


def full(latents: Tensor, given: float = math.nan) -> Tensor:
    """With one given latent in front."""
    return torch.cat([torch.full((len(latents), 1), given, dtype=torch.float64), latents], 1)


def velocity(w: Tensor) -> Tensor:
    return full(X @ w)


def awm(w: Tensor) -> Tensor:
    def ell(weights: Tensor) -> Tensor:
        m = flow_matching_loss(velocity(weights), full(X_0), full(EPS), ACTIVE)
        return log_likelihood(m.view(B, N), S.view(B, N), weighting="ghuber", power=0.25)

    return awm_loss(ell(w), ell(W_NEAR), PAIRED.view(B, N), clip=1e-3, ratio="exp_first").loss / B


def plain_awm(w: Tensor) -> Tensor:
    def ell(weights: Tensor) -> Tensor:
        m = ((X @ weights - (EPS - X_0)) ** 2).sum(1) / D
        return -(S / 0.25) * ((m + 1e-10) ** 0.25 - (1e-10) ** 0.25)

    r = torch.exp(ell(w) - ell(W_NEAR).detach())
    clipped = torch.stack([r.clamp(0.999, 1.001), r]) * -PAIRED
    return clipped.amax(0) / (B * N)


def step(w: Tensor):
    return transition(full(X), velocity(w), sigma=S, sigma_next=S_NEXT, sde="flow", strength=0.7)


def grpo(w: Tensor) -> Tensor:
    new, old = (log_prob(step(p), full(X_NEXT), ACTIVE, likelihood="gaussian") for p in (w, W_NEAR))
    return grpo_loss(new, old, PAIRED, clip=1e-4).loss


def guard(w: Tensor) -> Tensor:
    new, old = step(w), step(W_NEAR)
    logs = [log_prob(s, full(X_NEXT), ACTIVE, likelihood="gaussian") for s in (new, old)]
    drift = mean_drift(new, old, ACTIVE)
    return guard_loss(*logs, drift, PAIRED, std=old.std, dt=S_NEXT - S, clip=1e-4).loss


def plain_step(w: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, std and mean log-density of one Flow-SDE step, as published."""
    s, dt = S[:, None], (S_NEXT - S)[:, None]
    g = 0.7 * (s / (1 - s)) ** 0.5
    mean = X * (1 + g**2 * dt / (2 * s)) + (X @ w) * (1 + g**2 * (1 - s) / (2 * s)) * dt
    std = g * (-dt) ** 0.5
    density = -((X_NEXT - mean) ** 2) / (2 * std**2) - std.log() - 0.5 * math.log(2 * math.pi)
    return mean, std[:, 0], density.sum(1) / D


def plain_grpo(w: Tensor) -> Tensor:
    r = torch.exp(plain_step(w)[2] - plain_step(W_NEAR)[2].detach())
    return torch.stack([-PAIRED * r, -PAIRED * r.clamp(1 - 1e-4, 1 + 1e-4)]).amax(0)


def plain_guard(w: Tensor) -> Tensor:
    """log r = mean of z (mu - mu_old), with z = (x' - mu_old) / std."""
    mean, std, _ = plain_step(w)
    old = plain_step(W_NEAR)[0]
    r = torch.exp(((X_NEXT - old) / std[:, None] * (mean - old)).sum(1) / D)
    return torch.stack([-PAIRED * r, -PAIRED * r.clamp(1 - 1e-4, 1 + 1e-4)]).amax(0) / (S - S_NEXT)


def nft(w: Tensor) -> Tensor:
    r = optimality(PAIRED, limit=1.0)
    states = (full(X), full(X_0))
    return nft_loss(velocity(w), velocity(W_OLD), *states, ACTIVE, sigma=S, r=r, beta=0.1, limit=5.0).loss


def plain_nft(w: Tensor) -> Tensor:
    r, v, v_old, s = PAIRED.clamp(-1, 1) / 2 + 0.5, X @ w, X @ W_OLD, S[:, None]
    plus = X - s * (0.1 * v + 0.9 * v_old) - X_0
    minus = X - s * (1.1 * v_old - 0.1 * v) - X_0
    fits = [(e**2).sum(1) / e.detach().abs().sum(1) for e in (plus, minus)]
    return 5 * (r * fits[0] + (1 - r) * fits[1]) / 0.1


def dmd(w: Tensor) -> Tensor:
    x_0 = denoised(full(X), velocity(w), S, ACTIVE)
    level = 1 - S
    x = noised(x_0.detach(), full(EPS), level, ACTIVE)[:, 1:]
    direction = kl_gradient(full(x @ W_OLD), full(x @ W_OTHER), ACTIVE, sigma=level)
    return dmd_loss(x_0, direction, ACTIVE)


def plain_dmd(w: Tensor) -> Tensor:
    """Scores -(x + (1 - sigma) v) / sigma of the two fields; (1 - sigma) times their difference moves x_0."""
    x_0, s = X - S[:, None] * (X @ w), 1 - S[:, None]
    x = ((1 - s) * x_0 + s * EPS).detach()
    fake, real = (-(x + (1 - s) * (x @ p)) / s for p in (W_OLD, W_OTHER))
    g = (1 - s) * (fake - real)
    # Its value is g^2 / 2, its gradient g.
    return ((x_0 - x_0.detach()) * g + g**2 / 2).sum(1) / D


def square(a: Tensor, b: Tensor) -> Tensor:
    return ((a - b) ** 2).sum(1) / D


Objective = Callable[[Tensor], Tensor]
OBJECTIVES: dict[str, tuple[Objective, Objective]] = {
    "off-policy (eq. 3)": (
        lambda w: off_policy_loss(velocity(w), velocity(W_OTHER), ACTIVE),
        lambda w: square(X @ w, X @ W_OTHER),
    ),
    "anchor (eq. 5, 11)": (
        lambda w: anchor_loss(velocity(w), velocity(W_OTHER), ACTIVE),
        lambda w: square(X @ w, X @ W_OTHER),
    ),
    "flow matching": (
        lambda w: flow_matching_loss(velocity(w), full(X_0), full(EPS), ACTIVE),
        lambda w: square(X @ w, EPS - X_0),
    ),
    "AWM": (awm, plain_awm),
    "Flow-GRPO": (grpo, plain_grpo),
    "GRPO-Guard": (guard, plain_guard),
    "DiffusionNFT": (nft, plain_nft),
    "DMD (eq. 21)": (dmd, plain_dmd),
    "DMD critic (eq. 18)": (
        lambda w: critic_loss(velocity(w), full(X_0), full(EPS), ACTIVE, sigma=S),
        lambda w: square(X - S[:, None] * (X @ w), X_0),
    ),
    "KL in velocity": (
        lambda w: velocity_kl(velocity(w), velocity(W_OTHER), ACTIVE),
        lambda w: square(X @ w, X @ W_OTHER),
    ),
    "KL in mean": (
        lambda w: mean_kl(step(w), step(W_OTHER), ACTIVE),
        lambda w: square(plain_step(w)[0], plain_step(W_OTHER)[0]) / (2 * 0.49 * S / (1 - S)),
    ),
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_value_and_gradient_are_those_of_a_plain_computation(name: str) -> None:
    ours, plain = OBJECTIVES[name]
    results: list[tuple[Tensor, Tensor]] = []
    for objective in (ours, plain):
        w = W.clone().requires_grad_()
        loss = objective(w).sum()
        loss.backward()
        assert w.grad is not None
        results.append((loss.detach(), w.grad))
    (value, gradient), (expected, by_plain) = results
    assert by_plain.norm() > 1e-6, "a gradient of zero would show nothing"
    torch.testing.assert_close(value, expected, rtol=1e-10, atol=0)
    torch.testing.assert_close(gradient, by_plain, rtol=1e-9, atol=1e-12)
