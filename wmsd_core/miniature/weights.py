"""The miniature's weights, as a file: whoever asks which they are needs no network, and reads no torch."""

from pathlib import Path

from wmsd_core.config import Config
from wmsd_core.files import sha256

SHIPPED = Path(__file__).parents[2] / "data" / "miniature"


class MiniatureConfig(Config):
    """The miniature's generator."""

    weights: str = "base"
    """Two ship: `base`, and `around`, where things that no text leads go around each other (PretrainConfig.blocked). Or a file
    that `wmsd miniature pretrain` has written."""

    @property
    def file(self) -> Path:
        """Where they are."""
        shipped = SHIPPED / f"{self.weights}.safetensors"
        return shipped if shipped.is_file() else Path(self.weights)


WEIGHTS = MiniatureConfig().file


def checksum(path: Path = WEIGHTS) -> str:
    """SHA-256 of a file of weights, by which its generator is known.

    Raises:
        ValueError: there is no such file; the message says how to make it.
    """
    if not path.is_file():
        raise ValueError(f"no weights at {path}; `wmsd miniature pretrain` makes them in about half an hour")
    return sha256(path)
