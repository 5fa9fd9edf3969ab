"""The miniature's weights that ship, as a file: whoever asks which they are needs no network, and reads no torch."""

from pathlib import Path

from wmsd_core.files import sha256

WEIGHTS = Path(__file__).parents[2] / "data" / "miniature" / "base.safetensors"


def checksum(path: Path = WEIGHTS) -> str:
    """SHA-256 of a file of weights, by which its generator is known.

    Raises:
        ValueError: there is no such file; the message says how to make it.
    """
    if not path.is_file():
        raise ValueError(f"no weights at {path}; `wmsd miniature pretrain` makes them in about twenty minutes")
    return sha256(path)
