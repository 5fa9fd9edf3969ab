"""Which CLIP image encoder embeds pictures. `encoder` runs it, and reads torch; these settings do not."""

from typing import Literal

import numpy as np
from jaxtyping import Float32

from wmsd_core.config import Config, digest
from wmsd_core.ranking.weights import checksum, locate

WHERE = (
    "open_clip_model.safetensors of the Hugging Face repository timm/vit_large_patch14_clip_224.openai "
    "(OpenAI's ViT-L/14 in open_clip's layout)"
)
LONGEST = 512
"""Longer side, in pixels, at which pictures are embedded: above what CLIP sees, below what costs time."""

Embeddings = Float32[np.ndarray, "N D"]


class ClipConfig(Config):
    """A CLIP image encoder."""

    weights: str = "hf-hub:timm/vit_large_patch14_clip_224.openai/open_clip_model.safetensors"
    """Path of a safetensors file in open_clip's layout, or hf-hub:OWNER/REPOSITORY/FILE."""
    model: str = "ViT-L-14-quickgelu"
    """open_clip's name of the architecture. OpenAI's weights need the quickgelu variant; the plain one loads them too
    and gives wrong embeddings without a word."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Of the arithmetic; the half-precision ones are for GPUs. Embeddings of different precision are kept apart."""

    def encoder(self) -> str:
        """The `encoder` column of its embeddings: architecture, precision, and the content of the weights.

        Raises:
            ValueError: there are no weights; the message says where to get them.
        """
        return f"clip/{digest([self.model, self.precision, LONGEST, checksum(locate(self.weights, WHERE))])}"
