"""CLIP image embeddings: computed once per picture and kept, for any number of heads and comparisons."""

import importlib
import threading
from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image as PillowImage
from torch import Tensor

from wmsd_core.arrays import Image
from wmsd_core.ranking.clip import WHERE, ClipConfig, Embeddings
from wmsd_core.ranking.weights import load, locate


class ClipEncoder:
    """Embeds pictures, on the GPU if there is one."""

    def __init__(self, config: ClipConfig) -> None:
        """Loads the weights.

        Raises:
            ValueError: a file is missing, is no safetensors, or does not fit the model; the message says what to do.
        """
        self.name = config.encoder()
        open_clip: Any = importlib.import_module("open_clip")  # untyped, and seconds to import
        if config.model not in open_clip.list_models():
            raise ValueError(f"open_clip knows no model '{config.model}'; LAION's predictors need ViT-L-14-quickgelu")
        model, _, self._preprocess = open_clip.create_model_and_transforms(config.model)
        try:
            model.load_state_dict(load(locate(config.weights, WHERE), WHERE))
        except RuntimeError as error:  # torch's word for missing, unexpected and misshapen tensors
            raise ValueError(f"{config.weights} does not hold a {config.model}: {error}") from error
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._dtype = getattr(torch, config.precision)
        self._model: Any = model.eval().to(self._device, self._dtype)

    def prepare(self, image: Image) -> Tensor:
        """The picture as the network takes it [3, S, S]: scaled, cropped, normalised. Safe to call from several threads."""
        return self._preprocess(PillowImage.fromarray(image))

    @torch.inference_mode()
    def encode(self, prepared: Sequence[Tensor]) -> Embeddings:
        """L2-normalised embeddings of prepared pictures."""
        inputs = torch.stack(list(prepared)).to(self._device, self._dtype)
        embeddings = self._model.encode_image(inputs).float()
        return torch.nn.functional.normalize(embeddings, dim=-1).cpu().numpy()


_loading = threading.Lock()
_loaded: dict[str, ClipEncoder] = {}


def encoder(config: ClipConfig) -> ClipEncoder:
    """The encoder of these settings, loaded once per process, whatever threads ask for it."""
    name = config.encoder()
    with _loading:
        if name not in _loaded:
            _loaded[name] = ClipEncoder(config)
        return _loaded[name]
