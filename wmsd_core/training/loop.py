"""One training run of the Executor (paper Alg. 3): rollouts, rewards, advantages, losses, one step, the average.

    L = L_RL + beta L_anchor    (eq. 12), or what else the arm teaches

Departure: a loss that is the only one of its adapter has weight 1, as in eq. 3 and 5.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from wmsd_core import registry
from wmsd_core.arrays import Video
from wmsd_core.generators.protocol import Adapter, Generator
from wmsd_core.objectives.nft import old_decay
from wmsd_core.shapes import Latents
from wmsd_core.training import credit
from wmsd_core.training.adapters import attach
from wmsd_core.training.arms import Lesson
from wmsd_core.training.batch import Batch
from wmsd_core.training.checkpoint import Checkpoint
from wmsd_core.training.config import TrainConfig
from wmsd_core.training.distributed import ALONE, World, shard
from wmsd_core.training.ema import ema_decay, update_ema
from wmsd_core.training.examples import Example
from wmsd_core.training.groups import GroupSampler, Slot
from wmsd_core.training.randomness import random_steps
from wmsd_core.training.recall import Recall, Recalled
from wmsd_core.training.reinforcement import policy_objective
from wmsd_core.training.reinforcement.gradient import reinforce
from wmsd_core.training.rollout import Randomness, Rollouts, demonstrate, recorded, roll_out
from wmsd_core.training.schedule import learning_rate
from wmsd_core.training.scoring import PictureScorer, Scoring, VideoReward
from wmsd_core.training.stopwatch import Stopwatch
from wmsd_core.training.teaching import teach
from wmsd_core.training.throughput import Passes, counted, matmul_rate
from wmsd_core.training.turn import Turn
from wmsd_core.vlm.protocol import VisionLanguageModel

Metrics = dict[str, Any]


class Diverged(ValueError):
    """A gradient is not finite. The weights are those of the step before."""


class Trainer:
    """Holds what changes during a run: adapters, the optimizer's moments, the cursor, the number of steps."""

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
            named = ", ".join(config.judged)
            raise ValueError(
                f"rewards {named} need a judge: name one in models.judge, or set their weights in train.rewards to 0"
            )
        if config.asks_judge and judge is None:
            raise ValueError("train.vet_demonstrator needs a judge: name one in models.judge, or set it to false")
        if "pickscore" in config.video_rewards and pickscore is None:
            raise ValueError(
                "reward pickscore needs its model: name it in models.pickscore, or set train.rewards.pickscore to 0"
            )
        wanted = [name for name in config.rewards.extra if name in config.video_rewards]
        self.extra: dict[str, VideoReward] = {name: registry.make(name, {}, "reward") for name in wanted}
        self.config, self.generator, self.examples = config, generator, examples
        self.judge, self.pickscore, self.world = judge, pickscore, world
        self.steps_done = 0
        self._last: Latents | None = None
        self._forward_flops: int | None = None
        self.groups = GroupSampler(len(examples), config.tasks_per_step, config.seed, world.rank, world.size)
        self.grid = generator.grid(config.sampler_steps)
        self.recall = Recall(config, len(examples), self.grid, world)
        self.adapters = attach(
            generator, config.adapters, rank=config.adapter.rank, alpha=config.adapter.alpha, seed=config.seed
        )
        if world.sharded:
            whole = [weight for adapter in self.adapters.values() for weight in adapter.values()]
            shard(generator.network, world, whole=whole)
        trained = {name for lesson in config.lessons for name in lesson.learners}
        self._peaks: dict[Adapter, float] = {
            name: config.dmd.critic_learning_rate if name == "critic" else config.optimizer.learning_rate
            for name in self.adapters
            if name in trained
        }
        self.optimizer = torch.optim.AdamW(
            [{"params": list(self.adapters[name].values()), "lr": peak} for name, peak in self._peaks.items()],
            lr=config.optimizer.learning_rate,
            betas=config.optimizer.betas,
            eps=config.optimizer.eps,
            weight_decay=config.optimizer.weight_decay,
        )

    def step(self) -> Metrics:
        """One batch of rollouts, learned from. Returns what there is to know about it."""
        watch = Stopwatch()
        if self.steps_done < self.config.warm_up:
            return self._warm_up(watch)
        config, lesson = self.config, self.config.lesson_at(self.steps_done)
        self.optimizer.zero_grad()  # videos are decoded where the gradients lay
        with watch("encode"):
            batch = Batch(
                self.generator, self.examples, self.groups.next(), group_size=config.group_size, seed=config.seed
            )
        with Scoring(batch, self.judge, self.pickscore, config, watch, self.extra) as scoring:
            with watch("rollout"):
                if config.vetted(lesson):
                    demonstrate(batch, self.grid, lesson.demonstrator, micro_batch=config.micro_batch, done=scoring.vet)
                rollouts = self._roll_out(batch, lesson, scoring)
            with watch("reward"):
                videos = scoring.result()
        metrics: Metrics = {"step": self.steps_done + 1}
        advantages = None
        if lesson.reinforced:
            with watch("advantage"):
                agreement = (
                    credit.agreement(batch, rollouts, videos.passed) if config.agreement_weight(lesson) else None
                )
                advantages, report = credit.assign(credit.Rewards(videos, agreement), config, self.world)
            metrics |= report
        recalled = self._recalled(lesson, watch) if config.recalled(lesson) else None
        turn = Turn(config, lesson, self.grid, batch, rollouts, videos.passed, watch, self.world)
        metrics |= self._learn(turn, advantages, recalled)
        with watch("average"):
            self._average(lesson)
        self.steps_done += 1
        self._last = rollouts.states.final(batch.rows[:1])
        passes = batch.passes.and_those(recalled.batch.passes) if recalled else batch.passes
        return metrics | self._spent(batch, passes, watch)

    def _warm_up(self, watch: Stopwatch) -> Metrics:
        """Recalls tasks, and does nothing else."""
        lesson, metrics = self.config.anchored, dict[str, Any](step=self.steps_done + 1)
        assert lesson
        self.optimizer.zero_grad()
        recalled = self._recalled(lesson, watch)
        if recalled is None:
            raise ValueError(
                "no Demonstrator passes any more, so that there is nothing to recall: set recall.tasks to 0"
            )
        metrics |= self.recall.learn(recalled, lesson, watch)
        with watch("optimizer"):
            metrics |= self._update(lesson)
        with watch("average"):
            self._average(lesson)
        self.steps_done += 1
        return metrics | self._spent(recalled.batch, recalled.batch.passes, watch)

    def _roll_out(self, batch: Batch, lesson: Lesson, scoring: Scoring) -> Rollouts:
        config = self.config
        if lesson.actor is None:
            return recorded(batch, micro_batch=config.micro_batch)
        randomness = None
        if lesson.reinforced and config.reinforcement == "grpo":
            steps = random_steps(config, self.steps_done)
            randomness = Randomness(tuple(steps), config.grpo.sde, config.grpo.strength)
        old = lesson.reinforced and config.reinforcement == "nft"
        if old and config.begins_at(self.steps_done):
            self._follow("old", lesson, decay=0.0)
        return roll_out(
            batch,
            self.grid,
            lesson,
            compare=config.agreement_weight(lesson) > 0,
            micro_batch=config.micro_batch,
            old=old,
            randomness=randomness,
            done=scoring.submit,
        )

    def sample(self) -> Video | None:
        """The first rollout of the last step, decoded; None before the first step."""
        return None if self._last is None else self.generator.decode(self._last)[0]

    def _spent(self, batch: Batch, passes: Passes, watch: Stopwatch) -> Metrics:
        """Passes, seconds, memory, and of this process: latents per second, floating-point operations per second, their share
        of what matmuls reach."""
        if self._forward_flops is None:
            first = batch.rows[:1]
            x, condition = batch.noise(first, "counted"), batch.short.select(first)
            with torch.no_grad():
                _, self._forward_flops = counted(
                    lambda: self.generator.velocity(x, self.grid[:1].to(x), condition, None)
                )
        seconds = sum(watch.seconds.values())
        rate = passes.flops(self._forward_flops) / seconds
        return {
            "forwards": int(self.world.total(torch.tensor(passes.all))),
            "seconds": dict(watch.seconds),
            "memory": dict(watch.memory),
            "speed": {
                "latents_per_second": passes.all / seconds,
                "flops_per_second": rate,
                "utilisation": rate / matmul_rate(),
                "cpu_seconds": watch.cpu_seconds,
            },
        }

    def _recalled(self, lesson: Lesson, watch: Stopwatch) -> Recalled | None:
        """Tasks to recall. Each is vetted when it is met first."""
        drawn = self.recall.draw(self.steps_done)
        if not drawn:
            return None
        new = self.recall.unmet(drawn) if self.config.vetted(lesson) else []
        passed, passes = self._vetted(new, lesson, watch)
        turned_down = {slot.example for slot, one in zip(new, passed, strict=True) if not one}
        batch = self._single(self.recall.share(drawn))
        batch.passes = passes
        return Recalled(batch, torch.tensor([slot.example not in turned_down for slot in batch.slots]))

    def _vetted(self, slots: Sequence[Slot], lesson: Lesson, watch: Stopwatch) -> tuple[list[bool], Passes]:
        """Whose Demonstrator passes, each process having looked at some of the tasks; and the passes of this one."""
        world = self.world
        mine = slots[world.rank :: world.size]
        if world.sharded and len(mine) < len(slots) / world.size:  # they have to keep step
            mine = [*mine, slots[0]]
        verdicts = torch.zeros(len(slots))
        if not mine:
            return world.total(verdicts).bool().tolist(), Passes(0, 0)
        batch = self._single(mine)
        with Scoring(batch, self.judge, None, self.config, watch) as scoring, watch("rollout"):
            demonstrate(batch, self.grid, lesson.demonstrator, micro_batch=self.config.micro_batch, done=scoring.vet)
            own = verdicts[world.rank :: world.size]
            own[:] = scoring.result().passed[: len(own)]
        return world.total(verdicts).bool().tolist(), batch.passes

    def _single(self, slots: Sequence[Slot]) -> Batch:
        return Batch(self.generator, self.examples, slots, group_size=1, seed=self.config.seed)

    def _learn(self, turn: Turn, advantages: Float[Tensor, "C B"] | None, recalled: Recalled | None) -> Metrics:
        """`updates` optimizer steps on one batch; the noise is drawn once, so that ratios compare like with like."""
        metrics: Metrics = {}
        objective = None if advantages is None else policy_objective(turn, advantages)
        for update in range(self.config.reinforcement_settings.updates):
            self.optimizer.zero_grad()
            metrics |= teach(turn)
            if recalled:
                metrics |= self.recall.learn(recalled, turn.lesson, turn.watch)
            if objective is not None and advantages is not None:
                metrics |= reinforce(turn, objective, advantages, first=update == 0)
            with turn.watch("optimizer"):
                metrics |= self._update(turn.lesson)
        return metrics

    def _update(self, lesson: Lesson) -> Metrics:
        """One optimizer step of the adapters that learn; each has its own gradient norm."""
        settings, metrics = self.config.optimizer, dict[str, Any]()
        for group, (name, peak) in zip(self.optimizer.param_groups, self._peaks.items(), strict=True):
            if name not in lesson.learners:
                continue
            weights = self.adapters[name].values()
            self.world.average_gradients(weights)
            norm = torch.nn.utils.clip_grad_norm_(weights, settings.max_grad_norm)
            if not torch.isfinite(norm):
                raise Diverged(f"the gradient of step {self.steps_done + 1} is not finite")
            group["lr"] = learning_rate(
                self.steps_done, steps=self.config.steps, peak=peak, warmup=settings.warmup, decay=settings.decay
            )
            prefix = "" if name == "policy" else f"{name}_"
            metrics |= {f"{prefix}gradient_norm": float(norm), f"{prefix}learning_rate": group["lr"]}
        self.optimizer.step()
        return metrics

    def _average(self, lesson: Lesson) -> None:
        """Lets the slow copies follow whoever learned."""
        settings = self.config.ema
        update, rest = divmod(self.steps_done + 1, settings.interval)
        if not rest and "policy" in lesson.learners:
            decay = ema_decay(update - 1, decay=settings.decay, schedule=settings.schedule)
            update_ema(self.adapters["ema"], self.adapters["policy"], decay=decay)
        if lesson.reinforced and self.config.reinforcement == "nft":
            nft = self.config.nft
            done = self.steps_done + 1 - self.config.warm_up
            decay = old_decay(done, flat=nft.old_flat, rate=nft.old_rate, limit=nft.old_limit)
            self._follow("old", lesson, decay=decay)

    def _follow(self, name: Adapter, lesson: Lesson, *, decay: float) -> None:
        assert lesson.actor and lesson.actor.adapter
        update_ema(self.adapters[name], self.adapters[lesson.actor.adapter], decay=decay)

    def checkpoint(self) -> Checkpoint:
        """Everything that the next step depends on."""
        tensors: dict[str, Tensor] = {}
        for adapter, weights in self.adapters.items():
            for name, weight in weights.items():
                tensors[f"{adapter}.{name}"] = weight.detach()
                moments: Mapping[str, Tensor] = self.optimizer.state.get(weight, {})
                tensors |= {f"optimizer.{adapter}.{key}.{name}": value for key, value in moments.items()}
        if self.config.recall.tasks:
            tensors["recall.losses"] = self.recall.losses
        return Checkpoint(tensors, {"step": self.steps_done, "cursor": self.groups.cursor})

    @torch.no_grad()
    def restore(self, checkpoint: Checkpoint) -> None:
        """Continues as if the run had never stopped: the next step is bit-identical."""
        for adapter, weights in self.adapters.items():
            for name, weight in weights.items():
                weight.copy_(checkpoint.tensors[f"{adapter}.{name}"])
                moments = {key: f"optimizer.{adapter}.{key}.{name}" for key in ("step", "exp_avg", "exp_avg_sq")}
                # There are no moments before the first step with a gradient.
                if moments["step"] in checkpoint.tensors:
                    # The count of steps stays on the CPU, where Adam keeps it.
                    self.optimizer.state[weight] = {
                        key: value if key == "step" else value.to(weight.device)
                        for key, value in ((key, checkpoint.tensors[place]) for key, place in moments.items())
                    }
        if self.config.recall.tasks:
            self.recall.losses.copy_(checkpoint.tensors["recall.losses"])
        self.steps_done, self.groups.cursor = checkpoint.counters["step"], checkpoint.counters["cursor"]
