"""A generator with the Executor's adapter merged into its weights: a pipeline of diffusers like the one it was made from."""

import os
import shutil
from pathlib import Path
from typing import Any

from wmsd_core.generators import lora
from wmsd_core.generators.pretrained import PretrainedGenerator
from wmsd_core.publication import publishing
from wmsd_core.training.adapters import SETTINGS, load_adapter


def write_merged(generator: object, adapter: Path, out: Path) -> None:
    """Writes the pipeline to `out`, complete or not at all. Its other parts are links to the files of the original where the
    disk allows it, and copies elsewhere.

    Raises:
        ValueError: the generator is not of pretrained weights, there is something at `out` already, or the adapter is not
            there or does not fit.
    """
    if not isinstance(generator, PretrainedGenerator):
        raise ValueError("only generators of pretrained weights can be written with an adapter merged into them")
    if not (adapter / SETTINGS).is_file():
        raise ValueError(f"there is no adapter in {adapter}: {SETTINGS} is missing")
    network_part = generator.parts[0]
    with publishing(out, replace=False) as partial:
        made: Any = generator
        load_adapter(made, adapter)
        network: Any = generator.network
        lora.merge(network, "ema")
        network.save_pretrained(partial / network_part)
        for path in generator.folder.rglob("*"):
            place = partial / path.relative_to(generator.folder)
            if path.is_file() and path.relative_to(generator.folder).parts[0] != network_part:
                place.parent.mkdir(parents=True, exist_ok=True)
                _link(path.resolve(), place)


def _link(source: Path, place: Path) -> None:
    try:
        os.link(source, place)
    except OSError:
        shutil.copyfile(source, place)
