"""What a server sends for one request, reduced to what is used.

Nothing is trusted. A body without a message is no chat completion, and a ValueError says what was found; of what stands
beside the message, a part that has another form than it should is taken as missing, and the answer is kept.
"""

import json
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field, ValidationError, WrapValidator

from wmsd_core.unicode import storable
from wmsd_core.vlm.answer import SHOWN, first_fault, read
from wmsd_core.vlm.protocol import Answer, Refused

_MOST_TOKENS = 2**40
"""Of one reply. A count beyond it is no count, and could not be added up in the log either."""


def _counted(value: object) -> int:
    """A number of tokens; 0 where the server says nothing that can be one."""
    number = value if isinstance(value, int | float) else 0
    return int(number) if 0 <= number <= _MOST_TOKENS else 0


def _or_nothing(value: object, handler: Any) -> Any:
    """The part as it is, or None where it has another form."""
    try:
        return handler(value)
    except ValidationError:
        return None


def _written(value: object) -> str:
    """The text of a message's content: a string, a list of parts of which those of text count, or an object as JSON."""
    match value:
        case str():
            return storable(value)
        case list():
            parts = [part if isinstance(part, dict) else {"text": part} for part in value]
            spoken = [part.get("text") for part in parts if part.get("type", "text") in ("text", "output_text")]
            return storable("".join(text for text in spoken if isinstance(text, str)))
        case dict():
            return storable(json.dumps(value))
        case _:
            return ""


_Tokens = Annotated[int, BeforeValidator(_counted)]
_Text = Annotated[str, BeforeValidator(_written)]


class _Details(BaseModel):
    cached_tokens: _Tokens = 0


class Usage(BaseModel):
    """Tokens of one reply, as the server counted them."""

    prompt_tokens: _Tokens = 0
    completion_tokens: _Tokens = 0
    prompt_tokens_details: Annotated[_Details | None, WrapValidator(_or_nothing)] = None

    @property
    def cached_tokens(self) -> int:
        """Prompt tokens that the server had in its cache; 0 where it does not say."""
        return self.prompt_tokens_details.cached_tokens if self.prompt_tokens_details else 0


class _Token(BaseModel):
    token: _Text
    logprob: float | None


class _Position(_Token):
    top_logprobs: list[_Token] | None = None


class _Logprobs(BaseModel):
    content: list[_Position] | None = None


class _Message(BaseModel):
    content: _Text = ""
    reasoning_content: _Text = ""
    """Where a server that parts thoughts from answers puts what it takes for thoughts: all of it, if thinking is off."""
    reasoning: _Text = ""
    """The same, by its newer name."""
    refusal: _Text = ""


class _Choice(BaseModel):
    message: _Message
    finish_reason: _Text = ""
    logprobs: Annotated[_Logprobs | None, WrapValidator(_or_nothing)] = None


class _Completion(BaseModel):
    choices: list[_Choice] = Field(min_length=1)
    usage: Annotated[Usage | None, WrapValidator(_or_nothing)] = None


class Reply(BaseModel):
    """The first choice of a chat completion."""

    text: str
    refusal: str = ""
    """Why there is no answer, where the server tells a refusal apart."""
    cut_off: bool = False
    """Whether it ran into the limit of tokens."""
    listed: dict[str, float] | None = None
    """Log-probabilities of the listed candidates for the first token; None where there is no list."""
    usage: Usage = Usage()

    @classmethod
    def parse(cls, body: object) -> "Reply":
        """The reply in a JSON body.

        Raises:
            ValueError: it is no chat completion.
        """
        try:
            found = _Completion.model_validate(body)
        except (ValidationError, RecursionError) as error:
            raise ValueError(f"{first_fault(error)}: {str(body)[:SHOWN]!r}") from None
        choice = found.choices[0]
        positions = choice.logprobs.content if choice.logprobs else None
        first = positions[0] if positions else None
        return cls(
            text=choice.message.content or choice.message.reasoning_content or choice.message.reasoning,
            refusal=choice.message.refusal
            or ("the server's content filter" if choice.finish_reason == "content_filter" else ""),
            cut_off=choice.finish_reason == "length",
            # A number that is no number is sent as NaN or as null; both are kept as what they are.
            listed=None
            if first is None
            else {t.token: float("nan") if t.logprob is None else t.logprob for t in first.top_logprobs or [first]},
            usage=found.usage or Usage(),
        )

    def read(self, schema: type[Answer]) -> Answer:
        """The text as an answer of this form.

        Raises:
            Refused: the model or the server declined.
            ValueError: cut off, empty, no JSON, or another form.
        """
        if self.refusal:
            raise Refused(self.refusal[:SHOWN])
        if self.cut_off:
            raise ValueError("the answer was cut off by the limit of tokens (max_tokens)")
        return read(self.text, schema)
