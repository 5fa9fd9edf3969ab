"""The training arms of the paper (section 4, A.2.1, A.3): who acts, who is the Demonstrator, and what is learned from it.

One network plays every part. A role is a text and an adapter: the Executor reads the short task and wears `policy`, the
Demonstrator reads the detailed solution and wears nothing, or an adapter where it is trained itself.

    rl                  the Executor learns from judged rewards
    anchor              the Executor is regressed to the Demonstrator on its own trajectories (eq. 5)
    anchor_reward       the same, and it learns from the distillation reward (eq. 7, 9): self-distillation without a judge
    full                the whole objective: judged and distillation rewards, and the anchor (eq. 12)
    off_policy          the Executor is regressed to the Demonstrator on the Demonstrator's trajectories (eq. 3)
    off_policy_rl       the Demonstrator learns from judged rewards, and the Executor from its trajectories, as in eq. 3
    alternating         phases of the two above: the Demonstrator learns from judged rewards, then the Executor by the full
                        objective towards it (Alg. 2)
    ema_demonstrator    full, with the Executor's averaged weights as the Demonstrator (A.3; unstable in the paper)
    dmd, dmd_rl         distribution matching with the Demonstrator as real score (A.2.1; unstable in the paper), alone or
                        with judged rewards
    sft                 flow matching on videos that a vision-language model has named tasks for

The box of Alg. 2 is lost in the text copy of the paper. Assumed: the Demonstrator's phase comes first, phases have fixed
lengths, the Demonstrator starts as the frozen base with an adapter of its own, and is frozen while the Executor learns.
"""

from dataclasses import dataclass
from typing import Literal

from wmsd_core.generators.protocol import Adapter

TrainingArm = Literal[
    "full",
    "rl",
    "anchor",
    "anchor_reward",
    "off_policy",
    "off_policy_rl",
    "alternating",
    "ema_demonstrator",
    "dmd",
    "dmd_rl",
    "sft",
]
Teaching = Literal["anchor", "off_policy", "dmd", "sft"]


@dataclass(frozen=True)
class Role:
    """What the network reads, and which adapter it wears (None: the frozen base)."""

    text: Literal["task", "solution"]
    adapter: Adapter | None


EXECUTOR = Role("task", "policy")
DEMONSTRATOR = Role("solution", None)
TRAINED_DEMONSTRATOR = Role("solution", "demonstrator")
AVERAGED_DEMONSTRATOR = Role("solution", "ema")
CRITIC = Role("task", "critic")
"""The score of the Executor's own samples."""


@dataclass(frozen=True)
class Lesson:
    """What one step teaches."""

    actor: Role | None
    """Whose trajectories are sampled, and if there is a reward, who learns from it. None: recorded videos take their place."""
    judged: bool = False
    """The actor is rewarded for what its videos look like."""
    agreement: bool = False
    """The actor is rewarded for agreeing with the Demonstrator along its trajectories (eq. 9)."""
    teaching: Teaching | None = None
    """What else the Executor learns, and how."""
    demonstrator: Role = DEMONSTRATOR

    @property
    def reinforced(self) -> bool:
        """Whether the actor learns from rewards."""
        return self.judged or self.agreement

    @property
    def learners(self) -> tuple[Adapter, ...]:
        """The adapters that have a gradient."""
        reinforced = self.actor.adapter if self.reinforced and self.actor else None
        taught = {"policy": bool(self.teaching), "critic": self.teaching == "dmd"}
        known: tuple[Adapter, ...] = ("policy", "demonstrator", "critic")
        return tuple(name for name in known if name == reinforced or taught.get(name))

    @property
    def worn(self) -> set[Adapter]:
        """All adapters that the lesson has a use for."""
        roles = (self.demonstrator, *([self.actor] if self.actor else []))
        return {*self.learners, *(role.adapter for role in roles if role.adapter)}


LESSONS: dict[TrainingArm, tuple[Lesson, ...]] = {
    "full": (Lesson(EXECUTOR, judged=True, agreement=True, teaching="anchor"),),
    "rl": (Lesson(EXECUTOR, judged=True),),
    "anchor": (Lesson(EXECUTOR, teaching="anchor"),),
    "anchor_reward": (Lesson(EXECUTOR, agreement=True, teaching="anchor"),),
    "off_policy": (Lesson(DEMONSTRATOR, teaching="off_policy"),),
    "off_policy_rl": (
        Lesson(TRAINED_DEMONSTRATOR, judged=True, teaching="off_policy", demonstrator=TRAINED_DEMONSTRATOR),
    ),
    "alternating": (
        Lesson(TRAINED_DEMONSTRATOR, judged=True, demonstrator=TRAINED_DEMONSTRATOR),
        Lesson(EXECUTOR, judged=True, agreement=True, teaching="anchor", demonstrator=TRAINED_DEMONSTRATOR),
    ),
    "ema_demonstrator": (
        Lesson(EXECUTOR, judged=True, agreement=True, teaching="anchor", demonstrator=AVERAGED_DEMONSTRATOR),
    ),
    "dmd": (Lesson(EXECUTOR, teaching="dmd"),),
    "dmd_rl": (Lesson(EXECUTOR, judged=True, teaching="dmd"),),
    "sft": (Lesson(None, teaching="sft"),),
}
"""What each arm teaches: one lesson, or one for each of its phases."""
