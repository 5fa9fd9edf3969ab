"""The LAION aesthetic predictors: a linear map of the L2-normalised CLIP ViT-L/14 embedding of a picture.

Version 1 is linear as published. Version 2 is published as an MLP 768-1024-128-64-16-1 without activations, so it is a
linear map too, and is multiplied out here. Weights come from local safetensors files; nothing is downloaded or
unpickled. Sources on GitHub: LAION-AI/aesthetic-predictor (1), christophschuhmann/improved-aesthetic-predictor (2).
"""

import hashlib
import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image as PillowImage
from safetensors import SafetensorError
from safetensors.torch import load_file  # pyright: ignore[reportUnknownVariableType]
from torch import Tensor

from wmsd_core.config import Config, digest
from wmsd_core.shapes import Image

_WHERE_CLIP = (
    "open_clip_model.safetensors of the Hugging Face repository timm/vit_large_patch14_clip_224.openai "
    "(OpenAI's ViT-L/14 in open_clip's layout)"
)
_WHERE_HEAD = (
    "sa_0_4_vit_l_14_linear.pth of github.com/LAION-AI/aesthetic-predictor, or sac+logos+ava1-l14-linearMSE.pth of "
    'github.com/christophschuhmann/improved-aesthetic-predictor, converted once with: python -c "import torch, '
    "safetensors.torch as s; s.save_file(torch.load('FILE.pth', weights_only=True), 'FILE.safetensors')\""
)


class LaionAesthetic(Config):
    """Weights of a LAION aesthetic predictor."""

    clip_weights: Path
    """CLIP in open_clip's layout, as safetensors."""
    head_weights: Path
    """Version 1 or 2 of the predictor's head, as safetensors."""
    clip_model: str = "ViT-L-14-quickgelu"
    """open_clip's name of the architecture. OpenAI's weights need the quickgelu variant; the plain one loads them too
    and gives wrong embeddings without a word."""

    def scorer_name(self) -> str:
        """Identifies the predictor by the content of its files.

        Raises:
            ValueError: a file is missing; the message says where to get it.
        """
        files = [_checksum(self.clip_weights, _WHERE_CLIP), _checksum(self.head_weights, _WHERE_HEAD)]
        return f"laion-aesthetic/{digest([self.clip_model, *files])}"


class LaionScorer:
    """Scores pictures on the GPU if there is one. About 1 (ugly) to 10 with the published weights."""

    def __init__(self, cfg: LaionAesthetic) -> None:
        """Loads the weights.

        Raises:
            ValueError: a file is missing, is no safetensors, or does not fit the model; the message says what to do.
        """
        self.name = cfg.scorer_name()
        open_clip: Any = importlib.import_module("open_clip")  # untyped, and seconds to import
        if cfg.clip_model not in open_clip.list_models():
            raise ValueError(f"open_clip knows no model '{cfg.clip_model}'; LAION's predictors need ViT-L-14-quickgelu")
        self._weight, self._bias = load_head(cfg.head_weights)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        model, _, self._preprocess = open_clip.create_model_and_transforms(cfg.clip_model)
        try:
            model.load_state_dict(_load(cfg.clip_weights, _WHERE_CLIP))
        except RuntimeError as error:  # torch's word for missing, unexpected and misshapen tensors
            raise ValueError(f"{cfg.clip_weights} does not hold a {cfg.clip_model}: {error}") from error
        self._model: Any = model.eval().to(self._device)
        width = int(self._model.visual.output_dim)
        if width != len(self._weight):
            raise ValueError(
                f"{cfg.head_weights} is made for embeddings of {len(self._weight)} numbers, "
                f"{cfg.clip_model} gives {width}"
            )

    @torch.inference_mode()
    def score(self, images: Sequence[Image]) -> list[float]:
        """The predicted aesthetic rating of each picture."""
        pixels = torch.stack([self._preprocess(PillowImage.fromarray(image)) for image in images]).to(self._device)
        embeddings = self._model.encode_image(pixels, normalize=True).double().cpu()
        return (embeddings @ self._weight + self._bias).tolist()


def load_head(path: Path) -> tuple[Tensor, float]:
    """Weight [D] and bias of a predictor's head, in float64; the layers of version 2 are multiplied out.

    Raises:
        ValueError: the file is missing or holds no such head.
    """
    tensors = {name: tensor.double() for name, tensor in _load(path, _WHERE_HEAD).items()}
    names = sorted((name.removesuffix(".weight") for name in tensors if name.endswith(".weight")), key=_layer_number)
    layers = [(tensors[f"{name}.weight"], tensors[f"{name}.bias"]) for name in names if f"{name}.bias" in tensors]
    if {"weight", "bias"} == set(tensors):
        layers = [(tensors["weight"], tensors["bias"])]
    if not layers or 2 * len(layers) != len(tensors):
        held = ", ".join(sorted(tensors))
        raise ValueError(f"{path} is no head of an aesthetic predictor: it holds {held}. Get {_WHERE_HEAD}")
    weight, bias = layers[0]
    try:
        for next_weight, next_bias in layers[1:]:
            weight, bias = next_weight @ weight, next_weight @ bias + next_bias
        return weight.reshape(-1), bias.item()
    except RuntimeError as error:  # shapes that do not fit, or more than one output
        raise ValueError(f"the layers of {path} do not fit together: {error}. Get {_WHERE_HEAD}") from error


def _layer_number(name: str) -> int:
    number = name.rpartition(".")[2]
    return int(number) if number.isdecimal() else 0


def _load(path: Path, where: str) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{path} cannot be read as safetensors ({error}). Get {where}") from error


def _checksum(path: Path, where: str) -> str:
    if not path.is_file():
        raise ValueError(f"there is no file {path}. Get {where}")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
