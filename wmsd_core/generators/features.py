"""Features of texts and images, computed once: found again by what they were computed from."""

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from wmsd_core.files import replacing

Features = dict[str, Tensor]
"""Named tensors in the memory of the CPU."""

MEMORY = 2 * 2**30
"""Bytes kept in memory; what was used longest ago goes first."""


class FeatureCache:
    """Features by the content that they come from: in memory, and with a folder, on disk across runs.

    A file is complete or absent, so that processes may share the folder; one that is damaged is computed again.
    """

    def __init__(self, folder: Path | None = None, memory: int = MEMORY) -> None:
        self.folder = folder
        self.memory = memory
        self._kept: OrderedDict[str, Features] = OrderedDict()
        self._bytes = 0

    def get(self, source: Sequence[object], compute: Callable[[], Features]) -> Features:
        """The features of `source`, a JSON value that names everything they depend on."""
        key = hashlib.sha256(json.dumps(source, sort_keys=True).encode()).hexdigest()
        if key in self._kept:
            self._kept.move_to_end(key)
            return self._kept[key]
        found = self._read(key)
        if found is None:
            found = {name: value.detach().cpu().contiguous() for name, value in compute().items()}
            self._write(key, found)
        self._keep(key, found)
        return found

    def _keep(self, key: str, found: Features) -> None:
        self._kept[key] = found
        self._bytes += _size(found)
        while self._bytes > self.memory and len(self._kept) > 1:
            self._bytes -= _size(self._kept.popitem(last=False)[1])

    def _read(self, key: str) -> Features | None:
        if self.folder is None or not (path := _path(self.folder, key)).is_file():
            return None
        try:
            return load_file(path)
        except SafetensorError:
            return None

    def _write(self, key: str, found: Features) -> None:
        if self.folder is None:
            return
        path = _path(self.folder, key)
        with replacing(path) as partial:
            save_file(found, partial)


def _path(folder: Path, key: str) -> Path:
    return folder / key[:2] / f"{key}.safetensors"


def _size(found: Features) -> int:
    return sum(value.nbytes for value in found.values())
