"""PickScore of a video: how well its frames please and fit the text (Kirstain et al. 2023, arXiv:2305.01569).

    s(text, image) = exp(logit_scale) <t, i>,   t and i the L2-normalised CLIP embeddings
    video: the mean of s over a fixed number of evenly spaced frames, the first and the last among them

The reward is s / 26, a constant that keeps it near 1. A mean over frames is blind to motion: in image-to-video a still
copy of the first frame scores well, so the score of the first frame alone comes with it as a baseline.
"""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image as PillowImage
from torch import Tensor

from wmsd_core.arrays import Image, Videos
from wmsd_core.config import digest
from wmsd_core.files import sha256
from wmsd_core.rewards.published import PICKSCORE, PICKSCORE_PROCESSOR, SCALE
from wmsd_core.shapes import PerSample

FRAMES = 16
"""Frames scored of each video; a video that is shorter is scored in full."""
TOKENS = 77
"""What CLIP reads of a text; the rest is cut off, so give it the short task."""
_BATCH = 64


class PickScores(NamedTuple):
    video: PerSample
    """Mean of s over the frames of each video, divided by 26."""
    first: PerSample
    """The same of the first frame alone."""


class PickScore:
    """The scorer, on the GPU if there is one, in float32 on a CPU."""

    def __init__(self, model: str = PICKSCORE, processor: str = PICKSCORE_PROCESSOR) -> None:
        """Loads model and processor, each from a local folder or a hub.

        Raises:
            ValueError: they cannot be had; the message says what to get.
        """
        from transformers import AutoModel, AutoProcessor

        with _with_its_cure():
            self._processor: Any = AutoProcessor.from_pretrained(processor)
            self._model: Any = AutoModel.from_pretrained(model, use_safetensors=True)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._model.eval().requires_grad_(False).to(self._device)
        self._folders = [Path(name) for name in (model, processor) if Path(name).is_dir()]
        self._called = f"pickscore/{Path(model).name}"

    @property
    def name(self) -> str:
        """What its scores are stored under: the model's name, and of folders also what is in them, which may be replaced."""
        return self._name

    @cached_property
    def _name(self) -> str:
        files = sorted(file for folder in self._folders for file in folder.iterdir() if file.is_file())
        content = f"@{digest([[file.name, sha256(file)] for file in files])}" if files else ""
        return f"{self._called}{content}"

    @property
    def bytes(self) -> int:
        """Of its weights, on the device."""
        return sum(weight.nbytes for weight in self._model.parameters())

    @torch.inference_mode()
    def score(self, texts: Sequence[str], videos: Videos) -> PickScores:
        """Scores video b for text b."""
        kept = frame_indices(videos.shape[1])
        images = self._images([frame for video in videos for frame in video[kept]]).view(len(videos), len(kept), -1)
        tokens = self._processor(
            text=list(texts), padding=True, truncation=True, max_length=TOKENS, return_tensors="pt"
        ).to(self._device)
        words = _normalised(self._model.get_text_features(**tokens))
        s = torch.einsum("btd,bd->bt", images, words) * self._model.logit_scale.exp() / SCALE
        s = s.double().cpu()
        return PickScores(s.mean(1), s[:, 0])

    def _images(self, frames: Sequence[Image]) -> Float[Tensor, "F D"]:
        parts: list[Tensor] = []
        for start in range(0, len(frames), _BATCH):
            pictures = [PillowImage.fromarray(frame) for frame in frames[start : start + _BATCH]]
            pixels = self._processor(images=pictures, return_tensors="pt").to(self._device)
            parts.append(_normalised(self._model.get_image_features(**pixels)))
        return torch.cat(parts)


def expect(model: str, processor: str) -> None:
    """Sees to it that there are model and processor, before work begins at whose end they are needed. No weights are read.

    Raises:
        ValueError: they cannot be had; the message says what to get.
    """
    from transformers import AutoConfig, AutoProcessor

    with _with_its_cure():
        AutoProcessor.from_pretrained(processor)
        AutoConfig.from_pretrained(model)


@contextmanager
def _with_its_cure() -> Generator[None]:
    try:
        yield
    except (OSError, ValueError) as error:
        raise ValueError(
            f"PickScore cannot be loaded ({str(error).splitlines()[0]}). Get {PICKSCORE} and the processor of "
            f"{PICKSCORE_PROCESSOR} from huggingface.co, and give their folders as models.pickscore and "
            "models.pickscore_processor, or do without: train.rewards.pickscore=0, evaluate.pickscore=false"
        ) from error


def frame_indices(frames: int) -> list[int]:
    """Which of a video's frames are scored: up to `FRAMES`, evenly spaced, the first and the last among them."""
    return np.unique(np.linspace(0, frames - 1, min(FRAMES, frames)).round().astype(int)).tolist()


def _normalised(features: Any) -> Tensor:
    # From version 5 on, transformers wraps what was a tensor before.
    return torch.nn.functional.normalize(getattr(features, "pooler_output", features).float(), dim=-1)
