"""Settings of the two kinds of vision-language model that are not the miniature's: a server, and one in this process."""

from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from wmsd_core.config import Config


class _Judging(Config):
    """What a model is shown and how its answer is read. Part of the judge's identity: other values are another judge."""

    frames: int = Field(default=32, ge=2)
    """Frames of a video that are shown, evenly spaced, first and last among them. An even number: many models merge
    neighbouring frames in pairs."""
    fps: float = Field(default=24.0, gt=0)
    """Frames per second of the videos that are judged; the model is told the time of each frame."""
    least_mass: float = Field(default=0.5, ge=0, le=1)
    """Least p(yes) + p(no) of a readable yes/no answer. With less, the model wanted to say something else."""
    temperature: float = Field(default=0.7, ge=0)
    """Sampling temperature of written answers; yes/no answers are read from probabilities and need none."""
    max_tokens: int = Field(default=4096, ge=1)
    """Longest written answer, in tokens. A longer one is cut off and counts as unreadable."""

    def judging(self) -> Self:
        """The settings that yes/no answers depend on: those of written ones have their defaults."""
        written = ("temperature", "max_tokens")
        return self.model_copy(update={name: type(self).model_fields[name].default for name in written})


class ServerConfig(_Judging):
    """A vLLM server, or another one with its interface. Its key, if it has one, is read from WMSD_VLM_API_KEY."""

    incidental = frozenset(
        {
            "base_url",
            "concurrency",
            "attempts",
            "connect_timeout",
            "read_timeout",
            "total_timeout",
            "backoff",
            "longest_backoff",
            "failures",
            "patience",
            "prompt_price",
            "cached_price",
            "completion_price",
        }
    )

    base_url: str = "http://127.0.0.1:8000/v1"
    """Address of the interface, with its version."""
    model: str = ""
    """Name that the server gives the model; empty: the only one that it serves."""
    commit: str = ""
    """Commit or version of the weights, which no server tells: with it, answers name exactly what gave them."""
    video: Literal["video", "images"] = "video"
    """How frames of a video are sent. `video` keeps their times, and needs vLLM with --trust-request-mm-kwargs; `images`
    is for models without video input."""
    encoding: Literal["jpeg", "png"] = "jpeg"
    """How pictures are packed: JPEG at quality 95 with full colour, or PNG, which is exact and several times as large."""
    concurrency: int = Field(default=64, ge=1)
    """Requests under way at a time."""
    attempts: int = Field(default=6, ge=1)
    """Tries per request while the server fails, is busy or sends half an answer."""
    connect_timeout: float = Field(default=10.0, gt=0)
    """Seconds to reach the server."""
    read_timeout: float = Field(default=300.0, gt=0)
    """Longest silence of the server, in seconds. It says nothing while it thinks."""
    total_timeout: float = Field(default=600.0, gt=0)
    """Seconds for one try, whatever the server sends meanwhile."""
    backoff: float = Field(default=0.5, gt=0)
    """Seconds; the pause before retry k is drawn between 0 and this times 2^k."""
    longest_backoff: float = Field(default=30.0, gt=0)
    """Longest such pause, in seconds."""
    failures: int = Field(default=16, ge=1)
    """Failures in a row after which no more is sent until the server answers a question after its health."""
    patience: float = Field(default=300.0, ge=0)
    """Seconds to wait for a server that is away, or that asks to be left alone, before giving up."""
    prompt_price: float = Field(default=0.0, ge=0)
    """Price of a million prompt tokens, for the costs in the summary."""
    cached_price: float = Field(default=0.0, ge=0)
    """Price of a million prompt tokens that the server had in its cache."""
    completion_price: float = Field(default=0.0, ge=0)
    """Price of a million tokens that the model wrote."""

    @field_validator("base_url")
    @classmethod
    def _plain_address(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.username or parts.password or parts.query:
            # Settings are stored, shown and logged: the message does not repeat what it found either.
            raise ValueError(
                "an address holds no password or key; put the key into the environment as WMSD_VLM_API_KEY"
            )
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ValueError("an address looks like http://127.0.0.1:8000/v1")
        return value.rstrip("/")


class LocalConfig(_Judging):
    """A model of the transformers library, in this process."""

    incidental = frozenset({"device", "batch"})

    model: str = ""
    """Folder with weights and processor, or its name on the hub."""
    commit: str = ""
    """Commit on the hub; empty: the newest."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where it runs: bfloat16 on a GPU, float32 on a CPU. `auto` takes a GPU if there is one."""
    batch: int = Field(default=8, ge=1)
    """Yes/no questions in one forward pass."""
    max_tokens: int = Field(default=2048, ge=1)
    """Longest written answer, in tokens. A longer one is cut off and counts as unreadable."""
