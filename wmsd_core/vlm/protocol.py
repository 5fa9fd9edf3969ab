"""What the project asks of a vision-language model, and what an answer looks like."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol, TypeVar

from pydantic import BaseModel

from wmsd_core.arrays import Image, Video

Answer = TypeVar("Answer", bound=BaseModel)


@dataclass(frozen=True)
class Message:
    """One turn of a conversation: text, and the images that belong to it."""

    role: Literal["system", "user"]
    text: str
    images: tuple[Image, ...] = ()


@dataclass(frozen=True)
class Question:
    """A yes/no question about a picture or a video, fully written out, with the answer that counts as good."""

    name: str
    version: str
    text: str
    good: Literal["yes", "no"] = "yes"
    end_state: bool = False
    """Whether it is about how a video ends. A model that blends neighbouring frames is shown the last one again, alone."""
    fps: float | None = None
    """Frames per second of the video; None: as the judge's settings say."""

    def about(self, **values: str) -> "Question":
        """The same question with the `{placeholders}` of its text filled in."""
        return replace(self, text=self.text.format(**values))

    @property
    def asked(self) -> str:
        """`name/version`, as stored beside the answers."""
        return f"{self.name}/{self.version}"

    @property
    def sha256(self) -> str:
        """Of all that decides the answer: a changed word is another question, whatever the version says."""
        rate = [] if self.fps is None else [self.fps]
        return hashlib.sha256(json.dumps([self.text, self.good, self.end_state, *rate]).encode()).hexdigest()

    @property
    def text_sha256(self) -> str:
        """Of the text that is sent, as UTF-8."""
        return hashlib.sha256(self.text.encode()).hexdigest()


@dataclass(frozen=True)
class Evidence:
    """What an answer was read from: `yes_no.read` reads it, again and again."""

    request: str
    """SHA-256 of the request, its key in the log of requests; '' where none is kept."""
    listed: Mapping[str, float]
    """Log-probability of each candidate for the first token, in nats."""
    yes: tuple[str, ...]
    """The candidates that say yes."""
    no: tuple[str, ...]
    exact: bool
    """Whether exactly these were asked for, or found among the likeliest."""
    good: Literal["yes", "no"]
    least_mass: float
    said: str
    """How the reply begins."""
    shown: tuple[int, int, int]
    """Frames, height and width of what the model was shown."""


@dataclass(frozen=True)
class LogOdds:
    """log p(good answer) - log p(other answer), in nats; NaN with a reason where it could not be read.

    `mass` is p(yes) + p(no): how much of the model's belief went to an answer at all.
    """

    value: float
    mass: float = 1.0
    reason: str = ""
    bound: bool = False
    """Whether the other answer is not among the candidates, so that `value` is a bound and the truth is further from 0."""
    evidence: Evidence | None = field(default=None, compare=False)
    """None for a model that tells no probabilities, or for an answer that never came."""

    @classmethod
    def unread(cls, reason: str) -> "LogOdds":
        """A judgment that could not be obtained. It is neither a failure nor a zero."""
        return cls(math.nan, 0.0, reason)

    @property
    def valid(self) -> bool:
        return not math.isnan(self.value)

    @property
    def verdict(self) -> bool | None:
        """True for the good answer, False for the other; None where the judgment is invalid, or a tie."""
        return self.value > 0 if self.valid and self.value != 0 else None


class Refused(ValueError):
    """The model will not answer, and `reason` is what it said. A finding about the question, where other errors of an answer
    are accidents: asking again would waste a request."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the model refused: {reason}")
        self.reason = reason


class VisionLanguageModel(Protocol):
    """A model that sees pictures and answers. `name` identifies model and version in every row that it caused.

    A model whose yes/no answers depend on less, or on more, than what it writes says as `judge` who gives those
    (`judge_of`).
    """

    name: str
    concurrency: int
    """How many calls of `complete` may be under way at once; 1 for a model that is not called from several threads."""

    def complete(self, messages: Sequence[Message], schema: type[Answer], *, seed: int) -> Answer:
        """Answers in the form of `schema`.

        Raises:
            Refused: the model will not answer.
            ValueError: the model gave no answer that fits the schema; the message says what it gave instead.
        """
        ...

    def log_odds(self, questions: Sequence[Question], media: Sequence[Image | Video]) -> list[LogOdds]:
        """The model's belief in the good answer to question i about picture or video i.

        A batch, so that each backend keeps its own concurrency. Never raises for a bad answer: it comes back invalid,
        with the reason.
        """
        ...


def judge_of(vlm: VisionLanguageModel) -> str:
    """Who answers yes/no questions, as stored beside the answers.

    Raises:
        ValueError: the model cannot be a judge; the message says why.
    """
    return getattr(vlm, "judge", vlm.name)
