"""What learns from rewards, one file each: AWM, Flow-GRPO and DiffusionNFT behind one protocol."""

from jaxtyping import Float
from torch import Tensor

from wmsd_core.training.reinforcement.awm import Awm
from wmsd_core.training.reinforcement.grpo import Grpo
from wmsd_core.training.reinforcement.nft import Nft
from wmsd_core.training.reinforcement.objective import PolicyObjective
from wmsd_core.training.turn import Turn

__all__ = ["PolicyObjective", "policy_objective"]

_KINDS = {"awm": Awm, "grpo": Grpo, "nft": Nft}


def policy_objective(turn: Turn, advantages: Float[Tensor, "C B"]) -> PolicyObjective:
    """The objective of the run, on the trajectories of one step."""
    return _KINDS[turn.config.reinforcement](turn, advantages)
