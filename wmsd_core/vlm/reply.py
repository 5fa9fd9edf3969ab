"""What a server sends for one request, reduced to what is used, and a written answer read from it.

Nothing is trusted: a body that is no chat completion, half a JSON and an answer of another form each end in a ValueError
that says what was found; a refusal is told apart from them.
"""

import re

from pydantic import BaseModel, Field, ValidationError

from wmsd_core.vlm.protocol import Answer, Refused

_SHOWN = 120
"""Characters of a text that a reason repeats."""
_DECLINES = re.compile(
    r"(?:unfortunately,? )?(?:(?:i['’]?m |i am )?(?:very |so )?sorry\b|i apologi[sz]e\b|"
    r"i (?:can['’]t|can ?not|won['’]t|will not|must not|am (?:unable|not able))\b|i['’]m (?:unable|not able)\b)",
    re.IGNORECASE,
)
"""How prose begins that is no answer but a refusal. Models say it so where nothing holds them to a form."""


class _Details(BaseModel):
    cached_tokens: int | None = None


class Usage(BaseModel):
    """Tokens of one reply, as the server counted them."""

    prompt_tokens: int = 0
    completion_tokens: int | None = 0
    prompt_tokens_details: _Details | None = None

    @property
    def cached_tokens(self) -> int:
        """Prompt tokens that the server had in its cache; 0 where it does not say."""
        return (self.prompt_tokens_details.cached_tokens if self.prompt_tokens_details else 0) or 0


class _Token(BaseModel):
    token: str
    logprob: float | None


class _Position(_Token):
    top_logprobs: list[_Token] = Field(default_factory=list[_Token])


class _Logprobs(BaseModel):
    content: list[_Position] | None = None


class _Message(BaseModel):
    content: str | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None
    logprobs: _Logprobs | None = None


class _Completion(BaseModel):
    choices: list[_Choice] = Field(min_length=1)
    usage: Usage | None = None


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
        except ValidationError as error:
            raise ValueError(f"{_first(error)}: {str(body)[:_SHOWN]!r}") from None
        choice = found.choices[0]
        positions = choice.logprobs.content if choice.logprobs else None
        first = positions[0] if positions else None
        return cls(
            text=choice.message.content or "",
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
            raise Refused(self.refusal[:_SHOWN])
        if self.cut_off:
            raise ValueError("the answer was cut off by the limit of tokens (max_tokens)")
        return read(self.text, schema)


def read(text: str, schema: type[Answer]) -> Answer:
    """The JSON object in `text`, from the first brace on, as an answer of the form of `schema`.

    Raises:
        Refused: there is none, and the text declines.
        ValueError: there is none, it is broken, or it has another form.
    """
    if not text.strip():
        raise ValueError("the answer is empty")
    start, end = text.find("{"), text.rfind("}")
    if start < 0:
        if _DECLINES.match(text.strip()):
            raise Refused(text.strip()[:_SHOWN])
        raise ValueError(f"the answer holds no JSON object: {text[:_SHOWN]!r}")
    try:
        return schema.model_validate_json(text[start : end + 1] if end > start else text[start:])
    except ValidationError as error:
        raise ValueError(
            f"the answer is not of the form asked for: {_first(error)}; it begins {text[:_SHOWN]!r}"
        ) from None


def _first(error: ValidationError) -> str:
    found = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in found["loc"])
    return f"{where}: {found['msg']}" if where else found["msg"]
