"""The settings of a training run. Defaults are the paper's LTX-2 column (Tab. 3), or where the table's cells were lost,
the values of the public configurations nearest to it."""

from typing import Literal, Self

from pydantic import Field, model_validator

from wmsd_core.config import Config
from wmsd_core.objectives.choices import Ratio, Weighting
from wmsd_core.training.arms import Arm, Lesson, lesson


class RewardConfig(Config):
    """What is rewarded, by how much, and how rewards become advantages."""

    task: float = Field(default=0.5, ge=0)
    """Weight of the judge's log-odds that the task is completed. With a weight of 0 the question is not asked."""
    consistency: float = Field(default=0.45, ge=0)
    """Weight of the judge's log-odds that the video is plausible and continuous."""
    pickscore: float = Field(default=0.0, ge=0)
    """Weight of PickScore, the mean over frames; .225 for LTX-2 in the paper, with as much for consistency."""
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
    """The same for the distillation reward, in squared velocity."""
    batch_floor: float = Field(default=0.1, gt=0)
    """Least standard deviation of combined advantages over the batch (gdpo)."""
    advantage_clip: float = Field(default=5.0, gt=0)
    """Advantages are clamped to +- this."""
    advantage_rescale: float | None = Field(default=1.0, gt=0)
    """After the clamp, scale so that the largest possible advantage is this. None: only clamp."""
    overlap: int = Field(default=2, ge=1)
    """Micro-batches of videos that are scored at a time, while further ones are sampled. Changes speed, not results."""


class AwmConfig(Config):
    """Advantage-weighted matching."""

    times: int = Field(default=4, gt=0)
    """Noise levels trained per rollout, spread evenly over the grid of the sampler."""
    levels: tuple[int, ...] = ()
    """Grid points that may be trained, 0 being pure noise; a point named twice is drawn twice as often. Empty: all."""
    weighting: Weighting = "ghuber"
    """How the matching error at a noise level becomes a log-likelihood."""
    power: float = Field(default=0.25, gt=0, le=1)
    """Exponent of ghuber."""
    ratio: Ratio = "exp_first"
    """One likelihood ratio per noise level, or one per rollout."""
    clip: float = Field(default=1.0, gt=0)
    """The ratio is clipped to 1 +- this. It acts only with more than one update per rollout."""
    updates: int = Field(default=1, gt=0)
    """Optimizer steps per batch of rollouts; the likelihoods of the first are the old ones of the later ones."""


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


class TrainConfig(Config):
    """One training run."""

    arm: Arm = "full"
    """full: reward and anchor (eq. 12). rl: judged rewards only. anchor: regression to the Demonstrator on the
    Executor's states (eq. 5). off_policy: the same on the Demonstrator's states (eq. 3)."""
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
    rl_weight: float = Field(default=1.0, gt=0)
    """Weight of the policy loss. Arms with a single loss give it weight 1."""
    anchor_weight: float = Field(default=0.008, gt=0)
    """beta, the weight of the anchor in the full objective (eq. 12)."""
    rewards: RewardConfig = RewardConfig()
    """Rewards and advantages."""
    awm: AwmConfig = AwmConfig()
    """The policy loss."""
    adapter: AdapterConfig = AdapterConfig()
    """LoRA."""
    ema: EmaConfig = EmaConfig()
    """Averaged weights."""
    optimizer: OptimizerConfig = OptimizerConfig()
    """Learning rate and moments."""
    micro_batch: int = Field(default=64, gt=0)
    """Most latents in one pass of the transformer. Changes memory and speed, not results."""
    checkpoint_every: int = Field(default=10, gt=0)
    """Steps between checkpoints."""
    seed: int = Field(default=0, ge=0)
    """Everything random follows from it."""

    @model_validator(mode="after")
    def _can_learn(self) -> Self:
        if self.has_policy_loss and self.group_size < 2:
            raise ValueError(f"arm '{self.arm}' compares rollouts of one task: set group_size to 2 or more")
        if self.has_policy_loss and not self.video_rewards and not self.distillation_weight:
            raise ValueError(f"arm '{self.arm}' has no reward: give one of the weights in `rewards` a value above 0")
        if self.rewards.gate_consistency and not self.rewards.task:
            raise ValueError("rewards.gate_consistency needs the task reward: give rewards.task a value above 0")
        if bad := [level for level in self.awm.levels if not 0 <= level < self.sampler_steps]:
            raise ValueError(f"awm.levels {bad} are not grid points: choose from 0 to {self.sampler_steps - 1}")
        return self

    @property
    def lesson(self) -> Lesson:
        """What a step of this arm teaches."""
        return lesson(self.arm)

    @property
    def has_policy_loss(self) -> bool:
        return self.lesson.reinforced

    @property
    def policy_weight(self) -> float:
        """Weight of the policy loss in this arm."""
        return self.rl_weight if self.has_policy_loss and self.lesson.regression else 1.0

    @property
    def regression_weight(self) -> float:
        """Weight of the regression to the Demonstrator in this arm."""
        return self.anchor_weight if self.has_policy_loss and self.lesson.regression else 1.0

    @property
    def distillation_weight(self) -> float:
        """Weight of the distillation reward in this arm."""
        return self.rewards.distillation if self.has_policy_loss and self.lesson.regression else 0.0

    @property
    def judged(self) -> dict[str, float]:
        """The rewards that a judge gives in this arm, with their weights; prompt `judge_NAME` asks for NAME."""
        weights = {"task": self.rewards.task, "consistency": self.rewards.consistency}
        return {name: weight for name, weight in weights.items() if weight and self.has_policy_loss}

    @property
    def video_rewards(self) -> dict[str, float]:
        """All rewards that come from looking at a video in this arm, with their weights."""
        pickscore = {"pickscore": self.rewards.pickscore} if self.rewards.pickscore and self.has_policy_loss else {}
        return self.judged | pickscore
