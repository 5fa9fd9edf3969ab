"""The settings of a training run. Defaults are the paper's LTX-2 column (Tab. 3), or where the table's cells were lost,
the values of the public configurations nearest to it.

Departures: the weights of rewards (`RewardConfig` says why); AdamW where the table has Adam, with the weight decay that is
lost there; no penalty for leaving the base, which A.9 mentions and the table gives no weight (`kl_base`); floors under the
deviations of rewards, which the paper does not mention.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from wmsd_core.config import Config
from wmsd_core.generators.protocol import Adapter
from wmsd_core.sampling.choices import Likelihood, Ratio, Sde, Times, Weighting, Window
from wmsd_core.training.arms import EXECUTOR, LESSONS, Lesson, TrainingArm

Reinforcement = Literal["awm", "grpo", "nft"]
KEPT = 2
"""Checkpoints kept: the last, and one more should the disk have damaged it."""


class RewardConfig(Config):
    """What is rewarded, by how much, and how rewards become advantages. Defaults are not the paper's: PickScore needs a model
    that is to be named, and its weight stands in that of consistency; the recipes have the table's weights."""

    incidental = frozenset({"overlap"})

    task: float = Field(default=0.5, ge=0)
    """Weight of the judge's log-odds that the task is completed. With a weight of 0 the question is not asked."""
    consistency: float = Field(default=0.45, ge=0)
    """Weight of the judge's log-odds that the video is plausible and continuous."""
    pickscore: float = Field(default=0.0, ge=0)
    """Weight of PickScore, the mean over frames; .225 for LTX-2 in the paper, with as much for consistency."""
    extra: dict[str, Annotated[float, Field(ge=0)]] = Field(default={})
    """Rewards from outside, `package.module:factory` with its weight. A difference in one counts from `judged_floor` on."""
    distillation: float = Field(default=0.05, ge=0)
    """Weight of the agreement with the Demonstrator along the trajectory (eq. 9). Not used by the arm `rl`."""
    gate_consistency: bool = False
    """Let consistency count only as far as the task was done. Ungated, it pays for a still picture."""
    per_step: bool = False
    """Credit agreement with the Demonstrator to each step of the trajectory instead of to the whole (A.3)."""
    aggregation: Literal["gdpo", "sum"] = "gdpo"
    """Normalise each reward within its group before the weights act (gdpo), or the weighted sum of them (sum)."""
    judged_floor: float = Field(default=0.1, gt=0)
    """Least standard deviation within a group that counts as a difference in judged rewards, in nats."""
    pickscore_floor: float = Field(default=1e-3, gt=0)
    """The same for PickScore, in the unit of its reward (the published score divided by 26)."""
    distillation_floor: float = Field(default=1e-3, gt=0)
    """The same for the distillation reward, in squared velocity. The paper names no floor. A model that agrees with itself more
    closely than this is not rewarded for it: `flat.distillation` of the metrics counts the groups that are silenced, and a run
    says so once where it is all of them."""
    distillation_relative: bool = False
    """Take `distillation_floor` as a share of the batch's mean disagreement: .05 lets differences of a twentieth of it count,
    however closely Executor and Demonstrator agree."""
    batch_floor: float = Field(default=0.1, gt=0)
    """Least standard deviation of combined advantages over the batch (gdpo)."""
    advantage_clip: float = Field(default=5.0, gt=0)
    """Advantages are clamped to +- this."""
    advantage_rescale: float | None = Field(default=1.0, gt=0)
    """After the clamp, scale so that the largest possible advantage is this. None: only clamp."""
    overlap: int = Field(default=2, ge=1)
    """Micro-batches of videos that are scored at a time, while further ones are sampled. Changes speed, not results."""


class LevelsConfig(Config):
    """At which noise levels samples are noised again and trained."""

    renamed: ClassVar[Mapping[str, str]] = {"time_policy": "drawn"}

    drawn: Times = "grid"
    """How they are drawn: grid (evenly from `levels`), discrete, discrete_wo_init and discrete_with_init (as published,
    from the grid points up to the last of `levels`), uniform or logit_normal (anywhere, shifted towards noise)."""
    levels: tuple[int, ...] = ()
    """Grid points that may be trained, 0 being pure noise; a point named twice is drawn twice as often. Empty: all."""
    shift: float = Field(default=3.0, gt=0)
    """Shift of uniform and logit_normal: above 1 towards noise."""


class ReinforcementConfig(Config):
    """What the policy objectives have in common."""

    updates: int = Field(default=1, gt=0)
    """Optimizer steps per batch of rollouts. The first needs no old likelihoods; it provides those of the later ones."""
    kl_base: float = Field(default=0.0, ge=0)
    """Weight of the penalty for leaving the frozen base, given the same text."""
    kl_ema: float = Field(default=0.0, ge=0)
    """Weight of the penalty for leaving the averaged weights. Only where the Executor learns from rewards."""


class AwmConfig(ReinforcementConfig, LevelsConfig):
    """Advantage-weighted matching."""

    times: int = Field(default=4, gt=0)
    """Noise levels trained per rollout."""
    weighting: Weighting = "ghuber"
    """How the matching error at a noise level becomes a log-likelihood."""
    power: float = Field(default=0.25, gt=0, le=1)
    """Exponent of ghuber."""
    ratio: Ratio = "exp_first"
    """One likelihood ratio per noise level, or one per rollout."""
    clip: float = Field(default=1.0, gt=0)
    """The ratio is clipped to 1 +- this. It acts only with more than one update per rollout."""


class GrpoConfig(ReinforcementConfig):
    """Flow-GRPO: random steps of the sampler are actions. Defaults are the published ones."""

    sde: Sde = "flow"
    """How a step is made random. cps is the one for distilled grids: it never holds more noise than the next level."""
    strength: float = Field(default=0.7, gt=0)
    """Its strength a; published: flow .7, cps .8."""
    window: Window = "contiguous"
    """Which steps are random, the same for all rollouts of a training step: neighbours anywhere (contiguous), any
    (scattered), or a window that moves from noise to data (sliding)."""
    size: int | None = Field(default=None, gt=0)
    """How many steps are random, and trained. None: all that may be."""
    within: tuple[int, int] | None = None
    """First step that may be random, and the first that may not. None: all but the last step of the sampler."""
    interval: int = Field(default=25, gt=0)
    """Training steps after which a sliding window moves by one."""
    clip: float = Field(default=1e-4, gt=0)
    """The ratio is clipped to 1 +- this; 1e-5 is published for `unscaled` likelihoods."""
    guard: bool = False
    """Centre log-ratios and give all steps gradients of one size (GRPO-Guard). Needs `gaussian` likelihoods."""
    likelihood: Likelihood = "gaussian"
    """The log-probability of a random step, whole or without its scale."""

    def random_steps(self, sampler_steps: int) -> range:
        """The steps that may be random."""
        return range(*self.within) if self.within else range(sampler_steps - 1)


class NftConfig(ReinforcementConfig, LevelsConfig):
    """DiffusionNFT: rollouts by an old policy, which follows slowly. Defaults are the published ones."""

    times: int = Field(default=4, gt=0)
    """Noise levels trained per rollout."""
    beta: float = Field(default=1.0, gt=0)
    """Distance of the two implicit policies from the old one; published: 1, or .1 with several rewards."""
    old_flat: int = Field(default=0, ge=0)
    """Training steps during which the old policy is the last one."""
    old_rate: float = Field(default=0.001, ge=0)
    """By how much its memory then grows every training step."""
    old_limit: float = Field(default=0.5, ge=0, lt=1)
    """Weight of its past that is never exceeded."""
    kl_base: float = Field(default=1e-4, ge=0)
    """Weight of the penalty for leaving the frozen base, given the same text."""


class AlternatingConfig(Config):
    """Lengths of the phases of the arm `alternating`."""

    demonstrator_steps: int = Field(default=10, gt=0)
    """Training steps of the Demonstrator, which come first."""
    executor_steps: int = Field(default=10, gt=0)
    """Training steps of the Executor towards it."""


class DmdConfig(LevelsConfig):
    """Distribution matching. Levels are those at which scores are compared and the critic is trained."""

    drawn: Times = "uniform"
    """How they are drawn, as for the policy objectives."""
    shift: float = Field(default=1.0, gt=0)
    """Shift of uniform and logit_normal: above 1 towards noise."""
    critic_learning_rate: float = Field(default=1e-4, gt=0)
    """Peak learning rate of the critic's adapter."""


class SftConfig(LevelsConfig):
    """Supervised fine-tuning on recorded videos."""

    times: int = Field(default=1, gt=0)
    """Noise levels trained per video and step."""
    drawn: Times = "logit_normal"
    """How they are drawn, as for the policy objectives."""


class RecallConfig(Config):
    """Tasks whose Demonstrator is imitated at one noise level each, without whole rollouts. Not in the paper. Only where there
    is an anchor. Hard ones come more often, so let solutions that may be wrong be vetted (`vet_demonstrator`)."""

    tasks: int = Field(default=0, ge=0)
    """Further tasks per step at each of the `sampler_steps` noise levels. The Executor samples as far as that level, and is
    regressed to the Demonstrator there: 2 passes per task and those on the way, which are none at the first level; when it is
    met, and vetted, first, `sampler_steps` and two questions more."""
    priority: float = Field(default=1.5, ge=0)
    """How often a task comes: in proportion to this power of its loss when it was last met. 0: all alike."""
    warm_up: int = Field(default=0, ge=0)
    """The first so many of the steps recall tasks and do nothing else, at a fraction of the cost of steps with rollouts, which
    then begin with an Executor that knows what is asked for. `priority` rises to its value meanwhile: at first all is hard."""


class AdapterConfig(Config):
    """The LoRA adapter that is trained."""

    rank: int = Field(default=64, gt=0)
    """Rank of each update."""
    alpha: float = Field(default=128.0, gt=0)
    """Updates are scaled by alpha / rank."""


class EmaConfig(Config):
    """The slow copy of the adapter: what is evaluated and delivered."""

    decay: float = Field(default=0.96, ge=0, lt=1)
    """Weight of the past at each update."""
    schedule: Literal["constant", "power"] = "constant"
    """power: min(decay, (1 + k) / (10 + k)) at update k, so that the initial weights are forgotten quickly."""
    interval: int = Field(default=1, gt=0)
    """Training steps between updates."""


class OptimizerConfig(Config):
    """AdamW on the adapter."""

    learning_rate: float = Field(default=1e-4, gt=0)
    """Peak learning rate."""
    warmup: int = Field(default=0, ge=0)
    """Steps of linear warm-up."""
    decay: Literal["constant", "linear", "cosine"] = "constant"
    """How the rate falls from its peak to zero at the last step."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay of the first and second moments."""
    eps: float = Field(default=1e-8, gt=0)
    """Added to the root of the second moment."""
    weight_decay: float = Field(default=1e-4, ge=0)
    """Decoupled weight decay."""
    max_grad_norm: float = Field(default=1.0, gt=0)
    """Gradients are scaled down to this norm."""


class HeldOutConfig(Config):
    """Tasks that are tried during training and not learned from."""

    every: int = Field(default=0, ge=0)
    """Training steps between trials of the averaged weights, whose best are kept in RUN/best. 0: no trials, and nothing is
    held out. Each costs `sampler_steps` passes and two questions to the judge per task."""
    tasks: int = Field(default=32, gt=0)
    """How many: those of whole pictures of the training split, which are then not trained."""


class TrainConfig(Config):
    """One training run. Its identity has what shapes every step: a run can be made longer, and resumed in smaller pieces."""

    # What `start` and `recordings` hold is part of a run's identity by its content, beside this.
    incidental = frozenset({"micro_batch", "checkpoint_every", "keep_every", "start", "recordings"})

    later: ClassVar[Mapping[str, Any]] = {"vet_demonstrator": False, "recall": RecallConfig().model_dump()}

    renamed: ClassVar[Mapping[str, str]] = {
        "policy": "reinforcement",
        "warm_up": "recall.warm_up",
        "imitation": "recall.warm_up",
    }

    arm: TrainingArm = "full"
    """full: rewards and anchor (eq. 12). rl: judged rewards only. anchor: regression to the Demonstrator on the
    Executor's states (eq. 5); anchor_reward: and the distillation reward (eq. 9). off_policy: regression on the
    Demonstrator's states (eq. 3); off_policy_rl: and RL on the Demonstrator; alternating: RL on the Demonstrator, then full,
    in turn (Alg. 2). ema_demonstrator: full, taught by the averaged weights (A.3). dmd, dmd_rl: distribution matching (A.2.1),
    and with judged rewards. sft: flow matching on labelled videos."""
    reinforcement: Reinforcement = "awm"
    """What learns from rewards: advantage-weighted matching, Flow-GRPO or DiffusionNFT, each with settings of its name."""
    steps: int = Field(default=100, gt=0)
    """Batches of rollouts, and with one update per batch, optimizer steps."""
    tasks_per_step: int = Field(default=32, gt=0)
    """Distinct tasks per step."""
    group_size: int = Field(default=24, gt=0)
    """Rollouts per task. Arms without a reward need no more than 1."""
    sampler_steps: int = Field(default=8, gt=0)
    """Steps of the sampler during training."""
    anchor_states: int = Field(default=1, gt=0)
    """States of each trajectory at which the Executor is regressed to the Demonstrator."""
    vet_demonstrator: bool = False
    """Before a task's Demonstrator is learned from, it makes a clip of its own, and the judge must find the task done in it and
    the clip consistent; else the anchor and the distillation reward leave the task out of this step. For solutions that may be
    wrong; not in the paper. Only where there is an anchor. Costs `sampler_steps` passes and two questions per task."""
    recall: RecallConfig = RecallConfig()
    """Tasks whose Demonstrator is imitated without whole rollouts."""
    rl_weight: float = Field(default=1.0, gt=0)
    """Weight of the policy loss where the Executor has two losses; a single one has weight 1."""
    anchor_weight: float = Field(default=0.008, gt=0)
    """beta, the weight of the anchor in the full objective (eq. 12), or of what takes its place beside rewards."""
    rewards: RewardConfig = RewardConfig()
    """Rewards and advantages."""
    awm: AwmConfig = AwmConfig()
    """Advantage-weighted matching."""
    grpo: GrpoConfig = GrpoConfig()
    """Flow-GRPO."""
    nft: NftConfig = NftConfig()
    """DiffusionNFT."""
    alternating: AlternatingConfig = AlternatingConfig()
    """Phases of the arm `alternating`."""
    dmd: DmdConfig = DmdConfig()
    """Distribution matching."""
    sft: SftConfig = SftConfig()
    """Supervised fine-tuning."""
    recordings: Path | None = None
    """What the arm `sft` learns from: a folder that `wmsd label-videos` has written. Other arms do not look at it."""
    adapter: AdapterConfig = AdapterConfig()
    """LoRA."""
    ema: EmaConfig = EmaConfig()
    """Averaged weights."""
    optimizer: OptimizerConfig = OptimizerConfig()
    """Learning rate and moments."""
    held_out: HeldOutConfig = HeldOutConfig()
    """Trials on held-out tasks."""
    micro_batch: int = Field(default=64, gt=0)
    """Most latents in one pass of the transformer; the trained noise levels of one rollout go through together, even if they
    are more. Changes memory and speed, not results."""
    checkpoint_every: int = Field(default=10, gt=0)
    """Steps between checkpoints."""
    keep_every: int = Field(default=0, ge=0)
    """Steps after which the averaged weights of that moment are kept, as RUN/adapter-STEP, for evaluate.at_step. 0: only the
    last ones are. A run that went past a step without it does not have that step's."""
    seed: int = Field(default=0, ge=0)
    """Everything random follows from it."""
    start: Path | None = None
    """A checkpoint of another run (RUN/checkpoints/step-...) to go on from with these settings, at its step: for a deliberate
    change, such as a lower learning rate after a gradient that was not finite. The run is a new one and names its origin."""

    def identity(self) -> dict[str, Any]:
        """Without the number of steps, where no step depends on it."""
        found = super().identity()
        if self.optimizer.decay == "constant":
            del found["steps"]
        return found

    @model_validator(mode="after")
    def _can_learn(self) -> Self:
        for lesson in self.lessons:
            if lesson.reinforced and self.group_size < 2:
                raise ValueError(f"arm '{self.arm}' compares rollouts of one task: set group_size to 2 or more")
            if lesson.reinforced and not (lesson.judged and self.video_rewards) and not self.agreement_weight(lesson):
                raise ValueError(
                    f"arm '{self.arm}' has no reward: give one of the weights in `rewards` a value above 0"
                )
            if lesson.reinforced and lesson.actor != EXECUTOR and self.reinforcement_settings.kl_ema:
                raise ValueError(
                    f"arm '{self.arm}' trains a Demonstrator, which is not averaged: set {self.reinforcement}.kl_ema to 0"
                )
        if self.rewards.gate_consistency and not self.rewards.task:
            raise ValueError("rewards.gate_consistency needs the task reward: give rewards.task a value above 0")
        for name in ("awm", "nft", "dmd", "sft"):
            levels: tuple[int, ...] = getattr(self, name).levels
            if bad := [level for level in levels if not 0 <= level < self.sampler_steps]:
                raise ValueError(f"{name}.levels {bad} are not grid points: choose from 0 to {self.sampler_steps - 1}")
        if self.reinforcement == "grpo":
            self._can_be_random()
        return self

    def _can_be_random(self) -> None:
        settings, last = self.grpo, self.sampler_steps - (self.grpo.sde == "cps")
        allowed = settings.random_steps(self.sampler_steps)
        if not allowed or allowed.start < 0 or allowed.stop > last:
            raise ValueError(
                f"grpo.within names steps {list(allowed)}: with {settings.sde} and {self.sampler_steps} sampler_steps, "
                f"choose from 0 to {last - 1}"
            )
        if (settings.size or 1) > len(allowed):
            raise ValueError(f"grpo.size is {settings.size}, but only {len(allowed)} steps may be random")
        if settings.guard and settings.likelihood != "gaussian":
            raise ValueError("grpo.guard needs grpo.likelihood=gaussian")

    @property
    def lessons(self) -> tuple[Lesson, ...]:
        """What the steps of this arm teach: one lesson, or one for each of its phases."""
        return LESSONS[self.arm]

    def lesson_at(self, step: int) -> Lesson:
        """What step 0, 1, ... teaches; before the arm begins, its first lesson."""
        if len(self.lessons) == 1:
            return self.lessons[0]
        lengths = self.alternating
        place = max(step - self.warm_up, 0) % (lengths.demonstrator_steps + lengths.executor_steps)
        return self.lessons[place >= lengths.demonstrator_steps]

    def begins_at(self, step: int) -> bool:
        """Whether a step is the arm's first, or the first of a phase."""
        return step == self.warm_up or self.lesson_at(step) != self.lesson_at(step - 1)

    @property
    def anchored(self) -> Lesson | None:
        """The lesson with an anchor, where the arm has one."""
        return next((lesson for lesson in self.lessons if lesson.teaching == "anchor"), None)

    def recalled(self, lesson: Lesson) -> int:
        """Tasks that a step recalls at each noise level: none where nothing is anchored."""
        return self.recall.tasks * (lesson.teaching == "anchor")

    @property
    def warm_up(self) -> int:
        """The first step that is not of the warm-up."""
        return self.recall.warm_up if self.anchored and self.recall.tasks else 0

    @property
    def adapters(self) -> tuple[Adapter, ...]:
        """The adapters that a run of this arm needs."""
        worn = {"policy", "ema"}.union(*(lesson.worn for lesson in self.lessons))
        if self.reinforcement == "nft" and any(lesson.reinforced for lesson in self.lessons):
            worn.add("old")
        known: tuple[Adapter, ...] = ("policy", "ema", "old", "demonstrator", "critic")
        return tuple(name for name in known if name in worn)

    @property
    def reinforcement_settings(self) -> ReinforcementConfig:
        """The settings of what learns from rewards."""
        return {"awm": self.awm, "grpo": self.grpo, "nft": self.nft}[self.reinforcement]

    @property
    def largest_advantage(self) -> float:
        """What the clip leaves."""
        return self.rewards.advantage_rescale or self.rewards.advantage_clip

    def policy_weight(self, lesson: Lesson) -> float:
        """Weight of the policy loss. A loss that an adapter has for itself has weight 1: Adam is blind to its scale."""
        return self.rl_weight if _shared(lesson) else 1.0

    def teaching_weight(self, lesson: Lesson) -> float:
        """Weight of what else the Executor learns."""
        return self.anchor_weight if _shared(lesson) else 1.0

    def agreement_weight(self, lesson: Lesson) -> float:
        """Weight of the distillation reward."""
        return self.rewards.distillation if lesson.agreement else 0.0

    @property
    def judged(self) -> dict[str, float]:
        """The rewards that a judge gives in this arm, with their weights; prompt `judge_NAME` asks for NAME."""
        weights = {"task": self.rewards.task, "consistency": self.rewards.consistency}
        return {name: weight for name, weight in weights.items() if weight and self._looks}

    @property
    def asks_judge(self) -> bool:
        """Whether steps of this arm need a judge."""
        return bool(self.judged) or any(map(self.vetted, self.lessons))

    def vetted(self, lesson: Lesson) -> bool:
        """Whether the Demonstrator's own clips are looked at before it is learned from."""
        return self.vet_demonstrator and lesson.teaching == "anchor"

    @property
    def video_rewards(self) -> dict[str, float]:
        """All rewards that come from looking at a video in this arm, with their weights."""
        pickscore = {"pickscore": self.rewards.pickscore} if self.rewards.pickscore and self._looks else {}
        extra = {name: weight for name, weight in self.rewards.extra.items() if weight and self._looks}
        return self.judged | pickscore | extra

    @property
    def _looks(self) -> bool:
        # Where an arm has phases, all of them are judged.
        return self.lessons[0].judged


def _shared(lesson: Lesson) -> bool:
    """Whether the Executor has two losses."""
    return lesson.reinforced and lesson.actor == EXECUTOR and lesson.teaching is not None
