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
from wmsd_core.shapes import Latents, Video
from wmsd_core.training import credit
from wmsd_core.training.adapters import attach
from wmsd_core.training.batch import Batch
from wmsd_core.training.checkpoint import Checkpoint
from wmsd_core.training.config import TrainConfig
from wmsd_core.training.distributed import ALONE, World, shard
from wmsd_core.training.ema import ema_decay, update_ema
from wmsd_core.training.examples import Example
from wmsd_core.training.groups import GroupSampler
from wmsd_core.training.policy import reinforce
from wmsd_core.training.regression import regress
from wmsd_core.training.rollout import Rollouts, roll_out
from wmsd_core.training.schedule import learning_rate
from wmsd_core.training.scoring import PictureScorer, Scoring
from wmsd_core.training.stopwatch import Stopwatch
from wmsd_core.training.throughput import counted, matmul_rate
from wmsd_core.training.turn import Turn
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
        pickscore: PictureScorer | None = None,
        world: World = ALONE,
    ) -> None:
        if config.judged and judge is None:
            raise ValueError(f"rewards {', '.join(config.judged)} need a judge: name one, or set their weights to 0")
        if "pickscore" in config.video_rewards and pickscore is None:
            raise ValueError("reward pickscore needs its model: name it, or set rewards.pickscore to 0")
        self.config, self.generator, self.examples = config, generator, examples
        self.judge, self.pickscore, self.world = judge, pickscore, world
        self.steps_done = 0
        self._last: Latents | None = None
        self._forward_flops: int | None = None
        self.groups = GroupSampler(len(examples), config.tasks_per_step, config.seed, world.rank, world.size)
        self.grid = generator.grid(config.sampler_steps)
        self.adapters = attach(generator, rank=config.adapter.rank, alpha=config.adapter.alpha, seed=config.seed)
        if world.sharded:
            shard(generator.network, world, whole=[*self.adapters.policy.values(), *self.adapters.ema.values()])
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
        with Scoring(batch, self.judge, self.pickscore, config, watch) as scoring:
            with watch("rollout"):
                rollouts = roll_out(
                    batch,
                    self.grid,
                    config.lesson,
                    compare=config.distillation_weight > 0,
                    micro_batch=config.micro_batch,
                    done=scoring.submit,
                )
            with watch("reward"):
                videos = scoring.result()
        metrics: Metrics = {"step": self.steps_done + 1}
        advantages = None
        if config.has_policy_loss:
            with watch("advantage"):
                rewards = credit.Rewards(videos, credit.agreement(batch, rollouts))
                advantages, report = credit.assign(rewards, config, self.world)
            metrics |= report
        metrics |= self._learn(Turn(config, self.grid, batch, rollouts, watch, self.world), advantages)
        with watch("average"):
            self._average()
        self.steps_done += 1
        self._last = rollouts.path.final[:1]
        return metrics | {
            "forwards": int(self.world.total(torch.tensor(batch.passes.all))),
            "seconds": dict(watch.seconds),
            "speed": self._speed(batch, rollouts, sum(watch.seconds.values())),
        }

    def sample(self) -> Video | None:
        """The first rollout of the last step, decoded; None before the first step."""
        return None if self._last is None else self.generator.decode(self._last)[0]

    def _speed(self, batch: Batch, rollouts: Rollouts, seconds: float) -> dict[str, float]:
        """Of this process: latents per second, floating-point operations per second, their share of what matmuls reach."""
        if self._forward_flops is None:
            x, condition = rollouts.path.states[0, :1], batch.short.select(batch.rows[:1])
            with torch.no_grad():
                _, self._forward_flops = counted(
                    lambda: self.generator.velocity(x, self.grid[:1].to(x), condition, None)
                )
        rate = batch.passes.flops(self._forward_flops) / seconds
        return {
            "latents_per_second": batch.passes.all / seconds,
            "flops_per_second": rate,
            "utilisation": rate / matmul_rate(),
        }

    def _learn(self, turn: Turn, advantages: Float[Tensor, "C B"] | None) -> Metrics:
        """`updates` optimizer steps on one batch; the noise is drawn once, so that ratios compare like with like."""
        metrics: Metrics = {}
        ell_old = None
        for _ in range(self.config.awm.updates):
            self.optimizer.zero_grad()
            if self.config.lesson.regression:
                metrics |= regress(turn)
            if advantages is not None:
                report, ell = reinforce(turn, advantages, ell_old)
                ell_old = ell if ell_old is None else ell_old
                metrics |= report
            with turn.watch("optimizer"):
                metrics |= self._update()
        return metrics

    def _update(self) -> Metrics:
        settings = self.config.optimizer
        rate = learning_rate(
            self.steps_done,
            steps=self.config.steps,
            peak=settings.learning_rate,
            warmup=settings.warmup,
            decay=settings.decay,
        )
        self.world.average_gradients(self.adapters.policy.values())
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
