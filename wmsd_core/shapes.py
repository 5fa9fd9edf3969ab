"""The axis letters, and the array types that signatures use. jaxtyping checks them under pytest only.

B  samples of a batch            P  tasks (prompts) of a batch        G  rollouts of one task
K  steps of the sampler          N  noise levels trained per sample   R  rewards
T  frames of a video             H, W  height and width in pixels     ...  the latent axes of a generator
"""

import numpy as np
from jaxtyping import Bool, Float, UInt8
from torch import Tensor

Latents = Float[Tensor, "B ..."]
"""A batch of video latents. Only the first axis has a meaning outside the generator that owns them."""
LatentMask = Bool[Tensor, "B ..."]
"""True where a latent is generated, False where it is given. Broadcasts against `Latents`."""
PerSample = Float[Tensor, " B"]
Scalar = Float[Tensor, ""]
Grid = Float[Tensor, " K+1"]
"""Noise levels of a sampler, from 1 down to 0."""
Groups = Float[Tensor, "P G"]

Image = UInt8[np.ndarray, "H W 3"]
Images = UInt8[np.ndarray, "B H W 3"]
Video = UInt8[np.ndarray, "T H W 3"]
Videos = UInt8[np.ndarray, "B T H W 3"]
