"""The LAION aesthetic predictors: a linear map of the L2-normalised CLIP ViT-L/14 embedding of a picture.

Version 1 is linear as published. Version 2 is published as an MLP 768-1024-128-64-16-1 without activations, so it is a
linear map too, and is multiplied out here. Sources on GitHub: LAION-AI/aesthetic-predictor (1),
christophschuhmann/improved-aesthetic-predictor (2).
"""

from pathlib import Path

import numpy as np
from jaxtyping import Float64

from wmsd_core.config import Config, digest
from wmsd_core.ranking.clip import ClipConfig, Embeddings
from wmsd_core.ranking.weights import checksum, load, locate

WHERE = (
    "sa_0_4_vit_l_14_linear.pth of github.com/LAION-AI/aesthetic-predictor, or sac+logos+ava1-l14-linearMSE.pth of "
    'github.com/christophschuhmann/improved-aesthetic-predictor, converted once with: python -c "import torch, '
    "safetensors.torch as s; s.save_file(torch.load('FILE.pth', weights_only=True), 'FILE.safetensors')\""
)


class LaionAesthetic(Config):
    """A LAION aesthetic predictor: about 1 (ugly) to 10 with the published weights."""

    head: str
    """Version 1 or 2 of the predictor's head, as safetensors: a path, or hf-hub:OWNER/REPOSITORY/FILE."""
    clip: ClipConfig = ClipConfig()
    """The encoder that the head was made for."""

    def scorer_name(self) -> str:
        """Identifies the predictor by the content of its files.

        Raises:
            ValueError: a file is missing; the message says where to get it.
        """
        return f"laion-aesthetic/{digest([self.clip.encoder(), checksum(locate(self.head, WHERE))])}"


class LaionHead:
    """The map from embedding to score."""

    def __init__(self, config: LaionAesthetic) -> None:
        """Loads the weights.

        Raises:
            ValueError: the file is missing, is no safetensors or no head; the message says what to get.
        """
        self.name = config.head
        self.weight, self.bias = load_head(locate(config.head, WHERE))

    def score(self, embeddings: Embeddings) -> list[float]:
        """One score per embedding.

        Raises:
            ValueError: the head is made for embeddings of another width.
        """
        width = embeddings.shape[1]
        if width != len(self.weight):
            raise ValueError(
                f"{self.name} is made for embeddings of {len(self.weight)} numbers, the encoder gives {width}. Get {WHERE}"
            )
        return (embeddings @ self.weight + self.bias).tolist()


def load_head(path: Path) -> tuple[Float64[np.ndarray, " D"], float]:
    """Weight and bias of the predictor's map, whichever version the file holds.

    Raises:
        ValueError: the file holds neither.
    """
    tensors = {name: tensor.double().numpy() for name, tensor in load(path, WHERE).items()}
    names = sorted({name.rpartition(".")[0] for name in tensors}, key=_layer_number)
    layers = [
        (tensors[f"{n}.weight"], tensors[f"{n}.bias"]) for n in names if {f"{n}.weight", f"{n}.bias"} <= set(tensors)
    ]
    if {"weight", "bias"} == set(tensors):
        layers = [(tensors["weight"], tensors["bias"])]
    if not layers or 2 * len(layers) != len(tensors):
        raise ValueError(
            f"{path} is no head of an aesthetic predictor: it holds {', '.join(sorted(tensors))}. Get {WHERE}"
        )
    weight, bias = layers[0]
    try:
        for next_weight, next_bias in layers[1:]:
            weight, bias = next_weight @ weight, next_weight @ bias + next_bias
        return weight.reshape(-1), bias.item()
    except ValueError as error:  # shapes that do not fit, or more than one output
        raise ValueError(f"the layers of {path} do not fit together: {error}. Get {WHERE}") from error


def _layer_number(name: str) -> int:
    number = name.rpartition(".")[2]
    return int(number) if number.isdecimal() else 0
