"""One training run of the Executor (paper Alg. 3): rollouts, rewards, advantages, losses, one step, the average.

    L = L_RL + beta L_anchor    (eq. 12), or one of the two alone

Departure: the arms `anchor` and `off_policy` give their only loss weight 1, as eq. 3 and 5 do.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from wmsd_core.generators.protocol import Generator
from wmsd_core.objectives.anchor import anchor_loss
from wmsd_core.objectives.awm import awm_loss, log_likelihood
from wmsd_core.objectives.distillation import discrepancy
from wmsd_core.objectives.off_policy import off_policy_loss
from wmsd_core.sampling import noised
from wmsd_core.training import credit
from wmsd_core.training.adapters import attach
from wmsd_core.training.batch import Batch
from wmsd_core.training.checkpoint import Checkpoint
from wmsd_core.training.config import TrainConfig
from wmsd_core.training.ema import ema_decay, update_ema
from wmsd_core.training.examples import Example
from wmsd_core.training.groups import GroupSampler
from wmsd_core.training.rollout import Rollouts, roll_out
from wmsd_core.training.schedule import learning_rate
from wmsd_core.training.stopwatch import Stopwatch
from wmsd_core.vlm.protocol import VisionLanguageModel

Metrics = dict[str, Any]


class Trainer:
    """Holds what changes during a run: two adapters, the optimizer's moments, the cursor, the number of steps."""

    def __init__(
        self,
        config: TrainConfig,
        generator: Generator,
        examples: Sequence[Example],
        judge: VisionLanguageModel | None,
    ) -> None:
        if config.judged and judge is None:
            raise ValueError(f"rewards {', '.join(config.judged)} need a judge: name one, or set their weights to 0")
        self.config, self.generator, self.examples, self.judge = config, generator, examples, judge
        self.steps_done = 0
        self.groups = GroupSampler(len(examples), config.tasks_per_step, config.seed)
        self.grid = generator.grid(config.sampler_steps)
        self.adapters = attach(generator, rank=config.adapter.rank, alpha=config.adapter.alpha, seed=config.seed)
        self.optimizer = torch.optim.AdamW(
            list(self.adapters.policy.values()),
            lr=config.optimizer.learning_rate,
            betas=config.optimizer.betas,
            eps=config.optimizer.eps,
            weight_decay=config.optimizer.weight_decay,
        )

    def step(self) -> Metrics:
        """One batch of rollouts, learned from. Returns what there is to know about it."""
        config, watch = self.config, Stopwatch()
        with watch("encode"):
            batch = Batch(
                self.generator, self.examples, self.groups.next(), group_size=config.group_size, seed=config.seed
            )
        with watch("rollout"):
            rollouts = roll_out(
                batch,
                self.grid,
                by_demonstrator=config.arm == "off_policy",
                compare=config.distillation_weight > 0,
                micro_batch=config.micro_batch,
            )
        metrics: Metrics = {"step": self.steps_done + 1}
        advantages = None
        if config.has_policy_loss:
            with watch("reward"):
                advantages, report = credit.assign(credit.reward(batch, rollouts, self.judge, config), config)
            metrics |= report
        metrics |= self._learn(batch, rollouts, advantages, watch)
        with watch("average"):
            self._average()
        self.steps_done += 1
        return metrics | {"forwards": batch.forwards, "seconds": dict(watch.seconds)}

    def _learn(
        self, batch: Batch, rollouts: Rollouts, advantages: Float[Tensor, "C B"] | None, watch: Stopwatch
    ) -> Metrics:
        """`updates` optimizer steps on one batch; the noise is drawn once, so that ratios compare like with like."""
        metrics: Metrics = {}
        ell_old = None
        for _ in range(self.config.awm.updates):
            self.optimizer.zero_grad()
            if self.config.has_regression:
                with watch("anchor"):
                    metrics |= self._regress(batch, rollouts)
            if advantages is not None:
                with watch("policy"):
                    report, ell = self._reinforce(batch, rollouts, advantages, ell_old)
                    ell_old = ell if ell_old is None else ell_old
                metrics |= report
            with watch("optimizer"):
                metrics |= self._update()
        return metrics

    def _regress(self, batch: Batch, rollouts: Rollouts) -> Metrics:
        """Adds the gradient of the regression to the Demonstrator, on states drawn from the trajectories."""
        config, steps = self.config, self.config.sampler_steps
        loss_fn = off_policy_loss if config.arm == "off_policy" else anchor_loss
        weight = config.anchor_weight if config.arm == "full" else 1.0
        levels = batch.levels("anchor", choices=steps, count=config.anchor_states).flatten()
        samples = batch.rows.repeat_interleave(config.anchor_states)
        total, by_level = 0.0, torch.zeros(steps, dtype=torch.float64)
        for b, k in zip(samples.split(config.micro_batch), levels.split(config.micro_batch), strict=True):
            x = rollouts.path.states[k, b]
            sigma = self.grid[k].to(x)
            if rollouts.targets is None:
                with torch.no_grad():
                    target = batch.demonstrator(x, sigma, b)
            else:
                target = rollouts.targets[k, b]
            loss = loss_fn(batch.executor(x, sigma, b), target, rollouts.active[b])
            (weight * loss.sum() / len(samples)).backward()
            by_level.index_add_(0, k, loss.detach().double())
        total = float(by_level.sum()) / len(samples)
        count = levels.bincount(minlength=steps)
        return {"anchor": total, "anchor_by_level": (by_level / count).tolist()}

    def _reinforce(
        self, batch: Batch, rollouts: Rollouts, advantages: Float[Tensor, "C B"], ell_old: Float[Tensor, "B N"] | None
    ) -> tuple[Metrics, Float[Tensor, "B N"]]:
        """Adds the gradient of the policy loss; returns the likelihoods too, the old ones of a second update.

        Samples whose advantage is 0 have no gradient, and are left out.
        """
        config, n = self.config.awm, self.config.awm.times
        weight = self.config.rl_weight if self.config.arm == "full" else 1.0
        choices = torch.tensor(config.levels or range(self.config.sampler_steps))
        levels = choices[batch.levels("policy", choices=len(choices), count=n)]
        ells = torch.zeros(levels.shape, dtype=torch.float64)
        ratios: list[Tensor] = []
        total = 0.0
        learned = batch.rows[(advantages != 0).any(0)]
        for b in learned.split(max(1, self.config.micro_batch // n)) if len(learned) else ():
            k, repeated = levels[b], b.repeat_interleave(n)
            x_0, active = rollouts.path.final[repeated], rollouts.active[repeated]
            eps = batch.noise(b, "renoise", count=n)
            sigma = self.grid[k]
            x = noised(x_0, eps, sigma.flatten().to(x_0), active)
            m = discrepancy(batch.executor(x, sigma.flatten().to(x_0), repeated), eps - x_0, active).view(-1, n)
            ell = log_likelihood(m, sigma, weighting=config.weighting, power=config.power)
            credit_bn = advantages[k if len(advantages) > 1 else torch.zeros_like(k), b[:, None]]
            loss, ratio = awm_loss(
                ell, ell.detach() if ell_old is None else ell_old[b], credit_bn, clip=config.clip, ratio=config.ratio
            )
            (weight * loss.sum() / len(batch.rows)).backward()
            ells[b] = ell.detach()
            ratios.append(ratio.flatten())
            total += float(loss.detach().sum()) / len(batch.rows)
        change = torch.cat([*ratios, torch.ones(1)]) - 1
        clipped = float((change.abs() > config.clip).double().mean())
        return {"policy": total, "ratio_change": float(change.abs().max()), "ratio_clipped": clipped}, ells

    def _update(self) -> Metrics:
        settings = self.config.optimizer
        rate = learning_rate(
            self.steps_done,
            steps=self.config.steps,
            peak=settings.learning_rate,
            warmup=settings.warmup,
            decay=settings.decay,
        )
        norm = torch.nn.utils.clip_grad_norm_(self.adapters.policy.values(), settings.max_grad_norm)
        if not torch.isfinite(norm):
            raise ValueError(
                f"the gradient of step {self.steps_done + 1} is not finite: lower optimizer.learning_rate or "
                "raise the reward floors, and start again from the last checkpoint"
            )
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        return {"gradient_norm": float(norm), "learning_rate": rate}

    def _average(self) -> None:
        settings = self.config.ema
        update, rest = divmod(self.steps_done + 1, settings.interval)
        if not rest:
            decay = ema_decay(update - 1, decay=settings.decay, schedule=settings.schedule)
            update_ema(self.adapters.ema, self.adapters.policy, decay=decay)

    def checkpoint(self) -> Checkpoint:
        """Everything that the next step depends on."""
        tensors: dict[str, Tensor] = {}
        for name, weight in self.adapters.policy.items():
            tensors[f"policy.{name}"] = weight.detach()
            tensors[f"ema.{name}"] = self.adapters.ema[name].detach()
            moments: Mapping[str, Tensor] = self.optimizer.state[weight]
            tensors |= {f"optimizer.{key}.{name}": value for key, value in moments.items()}
        return Checkpoint(tensors, {"step": self.steps_done, "cursor": self.groups.cursor})

    @torch.no_grad()
    def restore(self, checkpoint: Checkpoint) -> None:
        """Continues as if the run had never stopped: the next step is bit-identical."""
        for name, weight in self.adapters.policy.items():
            weight.copy_(checkpoint.tensors[f"policy.{name}"])
            self.adapters.ema[name].copy_(checkpoint.tensors[f"ema.{name}"])
            # There are no moments before the first step with a gradient.
            if f"optimizer.step.{name}" in checkpoint.tensors:
                self.optimizer.state[weight] = {
                    key: checkpoint.tensors[f"optimizer.{key}.{name}"] for key in ("step", "exp_avg", "exp_avg_sq")
                }
        self.steps_done, self.groups.cursor = checkpoint.counters["step"], checkpoint.counters["cursor"]
