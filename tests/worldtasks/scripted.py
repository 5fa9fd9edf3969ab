"""A vision-language model that says what a test told it to; the outermost edge of the data stages."""

from collections.abc import Callable, Sequence

from pydantic import BaseModel

from wmsd_core.arrays import Image, Video
from wmsd_core.vlm.protocol import Answer, LogOdds, Message, Question
from wmsd_core.worldtasks import TaskPairs


def good_answer(count: int = 2) -> TaskPairs:
    pairs = [
        {
            "task": f"[Man {n}]: Walk to the door.",
            "solution": f"Man {n} turns around, walks along the wall and stops there.",
        }
        for n in range(count)
    ]
    return TaskPairs.model_validate({"pairs": pairs})


class ScriptedVLM:
    """Answers call after call from `script`; an exception in it is raised. Counts the questions it was asked."""

    name = "scripted/1"
    concurrency = 1

    def __init__(self, script: Callable[[int], LogOdds | BaseModel | Exception]) -> None:
        self.script = script
        self.asked = 0
        self.seeds: list[int] = []
        self.messages: list[Sequence[Message]] = []
        self.questions: list[Question] = []

    def _next(self) -> LogOdds | BaseModel:
        said = self.script(self.asked)
        self.asked += 1
        if isinstance(said, Exception):
            raise said
        return said

    def complete(self, messages: Sequence[Message], schema: type[Answer], *, seed: int) -> Answer:
        self.seeds.append(seed)
        self.messages.append(messages)
        said = self._next()
        assert isinstance(said, BaseModel)
        return schema.model_validate(said.model_dump())

    def log_odds(self, questions: Sequence[Question], media: Sequence[Image | Video]) -> list[LogOdds]:
        self.questions += questions
        answers = [self._next() for _ in zip(questions, media, strict=True)]
        return [answer for answer in answers if isinstance(answer, LogOdds)]
