"""The miniature's LTX-2 as it was taught, in one file that the project ships: all that a seed does not give on every machine.

These are the weights of transformer, connectors and text encoder, and the components that the autoencoder is built of: drawn
or computed anew on another processor they would differ in their last bits. The rest of the pipeline is silence and settings.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

import torch
from diffusers.pipelines.ltx2.pipeline_ltx2_image2video import LTX2ImageToVideoPipeline
from safetensors import safe_open
from safetensors.torch import save_file

from wmsd_core.files import replacing
from wmsd_core.miniature import autoencoder, ltx2
from wmsd_core.miniature.pretrain_ltx2 import PretrainLtx2Config, components, seen

WEIGHTS = Path(__file__).parents[2] / "data" / "miniature" / "ltx2.safetensors"
_PARTS = ("transformer", "connectors", "text_encoder")
_COMPONENTS = "components"


@dataclasses.dataclass(frozen=True)
class Taught:
    """What a pipeline was taught with, and how far it came."""

    config: PretrainLtx2Config
    clips: int
    """Seen; fewer than the settings say where pretraining was broken off."""


def pack(folder: Path, config: PretrainLtx2Config, file: Path) -> None:
    """Writes what `folder` is made of, a pipeline that `pretrain_ltx2` has exported."""
    pipeline = _read(folder)
    about = {"config": config.model_dump_json(), "clips": str(seen(folder) or config.samples)}
    tensors = {f"{_COMPONENTS}.{name}": value for name, value in vars(components(config)).items()}
    for part in _PARTS:
        tensors |= {f"{part}.{name}": value for name, value in getattr(pipeline, part).state_dict().items()}
    with replacing(file) as partial:
        save_file(
            {name: value.detach().clone(memory_format=torch.contiguous_format) for name, value in tensors.items()},
            partial,
            about,
        )


def unpack(folder: Path, file: Path = WEIGHTS) -> Taught:
    """Writes the pipeline of such a file, in the layout of diffusers.

    Raises:
        ValueError: the folder holds something already.
    """
    if folder.is_dir() and any(folder.iterdir()):
        raise ValueError(f"{folder} holds something already: name another folder, or remove it")
    with safe_open(file, "pt") as packed:
        about = packed.metadata()
        tensors = {name: packed.get_tensor(name) for name in packed.keys()}  # noqa: SIM118 - it is no mapping
    config = PretrainLtx2Config.model_validate(json.loads(about["config"]))
    names = [field.name for field in dataclasses.fields(autoencoder.Components)]
    taken = autoencoder.Components(**{name: tensors[f"{_COMPONENTS}.{name}"] for name in names})
    pipeline = ltx2.build(config.seed, config.size, taken)
    for part in _PARTS:
        begin = f"{part}."
        state = {name.removeprefix(begin): value for name, value in tensors.items() if name.startswith(begin)}
        getattr(pipeline, part).load_state_dict(state)
    pipeline.save_pretrained(folder)
    return Taught(config, int(about["clips"]))


def _read(folder: Path) -> Any:
    return LTX2ImageToVideoPipeline.from_pretrained(folder)
