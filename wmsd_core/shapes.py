"""The axis letters, and the tensor types of signatures (pictures: `arrays`). jaxtyping checks them under pytest only.

B  samples of a batch            P  tasks (prompts) of a batch        G  rollouts of one task
K  steps of the sampler          N  noise levels trained per sample   R  rewards
...  the latent axes of a generator
"""

from jaxtyping import Bool, Float
from torch import Tensor

Latents = Float[Tensor, "B ..."]
"""A batch of video latents. Only the first axis has a meaning outside the generator that owns them."""
LatentMask = Bool[Tensor, "B ..."]
"""True where a latent is generated, False where it is given. Broadcasts against `Latents`."""
PerSample = Float[Tensor, " B"]
Scalar = Float[Tensor, ""]
Grid = Float[Tensor, " S"]
"""Noise levels of a sampler, from 1 down to 0: S = K + 1."""
PerLevel = Float[Tensor, "B N"]
"""One number per sample and trained noise level."""
Groups = Float[Tensor, "P G"]
