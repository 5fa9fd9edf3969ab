"""An answer of a given form, read from what a model wrote: with thoughts before it, words around it, drafts beside it."""

import json
import re
from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError

from wmsd_core.unicode import all_storable
from wmsd_core.vlm.protocol import Answer, Refused

SHOWN = 120
"""Characters of a text that a reason repeats."""
_MOST_LOOKED_AT = 10_000_000
"""Characters that are looked at for JSON, those that are met again from another beginning included: more is no answer."""
_TOO_DEEP = 1_000_000
"""What a beginning counts for that is nested too deep: the parser does not say how far it came."""
_BEGINNING = 1000
"""What every beginning counts for that leads to nothing: the error costs as much, and a hundredth of where it lies."""
_THOUGHT = re.compile(r"<(/?)(think|thinking|thought|reasoning)>", re.IGNORECASE)
_START = re.compile(r"[{\[]")
_DECLINES = re.compile(
    r"(?:unfortunately,? )?(?:(?:i['’]?m |i am )?(?:very |so )?sorry\b|i apologi[sz]e\b|"
    r"i (?:can['’]t|can ?not|won['’]t|will not|must not|am (?:unable|not able))\b|i['’]m (?:unable|not able)\b)",
    re.IGNORECASE,
)
"""How prose begins that is no answer but a refusal. Models say it so where nothing holds them to a form."""


def read(text: str, schema: type[Answer]) -> Answer:
    """The JSON in `text` that has the form of `schema`; of several the longest, as drafts and examples are short.

    Raises:
        Refused: there is none, and the text declines.
        ValueError: there is none, it is broken, or it has another form.
    """
    spoken = _spoken(text).strip()
    if not spoken:
        raise ValueError("the answer is empty" if not text.strip() else "the answer holds nothing but thoughts")
    best: tuple[int, Answer] | None = None
    worst: tuple[int, str] | None = None
    for length, value in _values(spoken):
        try:
            answer = schema.model_validate(all_storable(value))
        except (ValidationError, RecursionError) as error:
            worst = max(worst or (0, ""), (length, first_fault(error)))
        else:
            best = (length, answer) if best is None or length >= best[0] else best
    if best:
        return best[1]
    if worst:
        raise ValueError(f"the answer is not of the form asked for: {worst[1]}; it begins {spoken[:SHOWN]!r}")
    if _DECLINES.match(spoken):
        raise Refused(spoken[:SHOWN])
    if "{" in spoken:
        raise ValueError(f"the answer is not of the form asked for: its JSON is broken; it begins {spoken[:SHOWN]!r}")
    raise ValueError(f"the answer holds no JSON object: {spoken[:SHOWN]!r}")


def first_fault(error: Exception) -> str:
    """What is wrong in the first place, in a few words."""
    if not isinstance(error, ValidationError):
        return str(error) or type(error).__name__
    found = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in found["loc"])
    return f"{where}: {found['msg']}" if where else found["msg"]


def _spoken(text: str) -> str:
    """A text without thoughts. Where one ends that has not begun, it began in the template: all before its end is thought."""
    kept: list[str] = []
    at, begun = 0, None
    for tag in _THOUGHT.finditer(text):
        if not tag[1]:
            begun = begun or tag
        elif begun and begun[2].lower() == tag[2].lower():
            kept.append(text[at : begun.start()])
            at, begun = tag.end(), None
        else:
            kept.clear()
            at, begun = tag.end(), None
    return "".join([*kept, text[at:]])


def _values(text: str) -> Iterator[tuple[int, Any]]:
    """(length, value) of the objects and arrays in a text that lie in no other."""
    decoder = json.JSONDecoder()
    at, left = 0, _MOST_LOOKED_AT
    while left > 0 and (start := _START.search(text, at)):
        try:
            value, at = decoder.raw_decode(text, start.start())
        except (ValueError, RecursionError) as error:
            at = start.end()
            left -= _cost(error, start.start())
            continue
        yield at - start.start(), value


def _cost(error: Exception, start: int) -> int:
    """Characters that a beginning counts for which led to this."""
    return _BEGINNING + error.pos // 100 + error.pos - start if isinstance(error, json.JSONDecodeError) else _TOO_DEEP
