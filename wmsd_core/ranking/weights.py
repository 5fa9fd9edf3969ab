"""Weight files by name: a local path, or a file of a Hugging Face repository. Safetensors only; nothing is unpickled."""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from wmsd_core.files import sha256

if TYPE_CHECKING:
    from torch import Tensor

HUB = "hf-hub:"


def locate(weights: str, where: str) -> Path:
    """The file that `weights` names: a path, or `hf-hub:OWNER/REPOSITORY/FILE`, which is downloaded once.

    Raises:
        ValueError: there is no such file, or the hub cannot be reached and the file is not in its cache. The message ends
            with `where` to get it.
    """
    if not weights.startswith(HUB):
        path = Path(weights).expanduser()
        if not path.is_file():
            raise ValueError(f"there is no file {path}. Get {where}")
        return path
    owner, _, rest = weights.removeprefix(HUB).partition("/")
    repository, _, file = rest.partition("/")
    if not file:
        raise ValueError(f"'{weights}' is not of the form {HUB}OWNER/REPOSITORY/FILE. Get {where}")
    import httpx2 as httpx  # the one that the hub's client is built on
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        return Path(hf_hub_download(f"{owner}/{repository}", file))
    except (OSError, HfHubHTTPError, HFValidationError, httpx.HTTPError) as error:
        reason = str(error).strip().splitlines()[0].rstrip(".")
        raise ValueError(
            f"{weights} can be had neither from the hub nor from its cache on this machine: {reason}. On a machine with "
            f"network run `hf download {owner}/{repository} {file}`, or name a local file. Get {where}"
        ) from error


def load(path: Path, where: str) -> "dict[str, Tensor]":
    """The tensors of a file.

    Raises:
        ValueError: it is no safetensors file.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file  # pyright: ignore[reportUnknownVariableType]

    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{path} cannot be read as safetensors ({error}). Get {where}") from error


def checksum(path: Path) -> str:
    """SHA-256 of a file; read once as long as its size and time stay the same."""
    stat = path.stat()
    return _checksum(path, stat.st_size, stat.st_mtime_ns)


@cache
def _checksum(path: Path, size: int, modified: int) -> str:
    return sha256(path)
