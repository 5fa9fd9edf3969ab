"""The miniature's planner and verifier behind the protocol of a vision-language model.

It sees pixels and texts only, as a real one does: nothing tells it what a picture was rendered from. Unlike a real one
it understands just its own world; what else is asked comes back unread.
"""

import hashlib
import re
from collections.abc import Sequence

import numpy as np

from wmsd_core.arrays import Image, Video
from wmsd_core.miniature import planner
from wmsd_core.miniature.drawing import shrink
from wmsd_core.miniature.language import EDGE_AXIS, EDGE_CELL, EDGES, find_task
from wmsd_core.miniature.perception import perceive
from wmsd_core.miniature.planner_settings import PlannerConfig
from wmsd_core.miniature.verifier import BOUND, Tracks, assess, track
from wmsd_core.seeds import derive
from wmsd_core.vlm.protocol import Answer, LogOdds, Message, Question

PAIRS = 8
"""Task-solution pairs for a picture where the request names no number."""
_USUAL = PlannerConfig()
_JUDGES = {"judge_task": "task", "judge_agent": "agent", "judge_consistency": "consistency"}


class MiniatureVLM:
    """Writes `TaskPairs`, `Solution` and `Label`; answers "screen", two questions about tasks and three about videos."""

    def __init__(self, planning: PlannerConfig = _USUAL) -> None:
        """`planning` says how its solutions are wrong on purpose."""
        self.planning = planning
        self.concurrency = 1
        self.name = f"miniature-vlm/2/errors={planning.errors:g}{'/by kind' if planning.by_kind else ''}"
        self._watched: tuple[str, Tracks | None] = ("", None)

    def complete(self, messages: Sequence[Message], schema: type[Answer], *, seed: int) -> Answer:
        """Task-solution pairs for the last picture of the messages, the first number in the last text says how many; the
        solution of the task in that text; or the task that is done in a video, which the messages hold frame by frame.

        The choice of tasks and the errors depend on the seed and the picture only.

        Raises:
            ValueError: another schema, no picture, or a task that the picture does not offer.
        """
        if schema.__name__ not in ("TaskPairs", "Solution", "Label"):
            raise ValueError(f"the miniature's VLM writes TaskPairs, Solution and Label only, not {schema.__name__}")
        images = [image for message in messages for image in message.images]
        if not images:
            raise ValueError("the miniature's VLM needs a picture to write tasks for; the messages hold none")
        if schema.__name__ == "Label":
            return schema.model_validate(_label(np.stack(images)))
        number = re.search(r"\d+", messages[-1].text)
        seen = perceive(shrink(images[-1])[None])
        identity = hashlib.sha256(images[-1].tobytes()).hexdigest()
        if schema.__name__ == "Solution":
            task = find_task(messages[-1].text)
            fitting = (
                [plan for plan in planner.plans(seen.scenes, 0) if plan.task == task] if not seen.reasons[0] else []
            )
            if not fitting:
                raise ValueError(
                    f"there is no way to do the task on this board{seen.reasons[0] and ': '}{seen.reasons[0]}"
                )
            return schema.model_validate({"solution": self._solve(fitting[0], derive(seed, "solution", identity))})
        if seen.reasons[0]:
            return schema.model_validate({"refused": True, "reason": seen.reasons[0], "pairs": []})
        offered = _varied(planner.plans(seen.scenes, 0), derive(seed, "tasks", identity))
        pairs = [
            {"task": str(plan.task), "solution": self._solve(plan, derive(seed, "solution", f"{identity} {plan.task}"))}
            for plan in offered[: int(number[0]) if number else PAIRS]
        ]
        return schema.model_validate({"refused": False, "reason": "", "pairs": pairs})

    def log_odds(self, questions: Sequence[Question], media: Sequence[Image | Video]) -> list[LogOdds]:
        """Answers by name of the question. Questions about the same videos share one look, also between calls."""
        answers = [_look(q, medium) for q, medium in zip(questions, media, strict=True)]
        judged: dict[tuple[int, ...], list[int]] = {}
        for row, (question, medium) in enumerate(zip(questions, media, strict=True)):
            if question.name in _JUDGES and medium.ndim == 4 and len(medium) > 1:
                judged.setdefault(medium.shape, []).append(row)
        for rows in judged.values():
            # The same array may come with several questions; it is watched once.
            places = {identity: place for place, identity in enumerate(dict.fromkeys(id(media[row]) for row in rows))}
            videos = {id(media[row]): media[row] for row in rows}
            tracks = self._watch(np.stack([videos[identity] for identity in places]))
            at = np.array([places[id(media[row])] for row in rows])
            scores = assess(tracks.select(at), [find_task(questions[row].text) for row in rows])
            for place, row in enumerate(rows):
                value = float(getattr(scores, _JUDGES[questions[row].name])[place])
                reason = scores.reasons[place]
                answers[row] = LogOdds.unread(reason) if reason else _signed(questions[row], value)
        return answers

    def _watch(self, videos: np.ndarray) -> Tracks:
        """The tracks of a batch; the last batch is remembered, for the next question about it."""
        identity = hashlib.sha256(videos.tobytes()).hexdigest() + str(videos.shape)
        remembered, tracks = self._watched
        if tracks is None or remembered != identity:
            tracks = track(videos)
            self._watched = (identity, tracks)
        return tracks

    def _solve(self, plan: planner.Plan, seed: int) -> str:
        planning = self.planning
        return planner.write(plan, error_rate=planning.errors, seed=seed, by_kind=planning.by_kind).text


def _label(video: Video) -> dict[str, object]:
    """The task that its own agent completes in a video, and is not undone by its end; the first of several."""
    seen = perceive(shrink(video[0])[None])
    if seen.reasons[0]:
        return {"refused": True, "reason": seen.reasons[0]}
    tasks = [plan.task for plan in planner.plans(seen.scenes, 0)]
    scores = assess(track(video[None]).select(np.zeros(len(tasks), int)), tasks)
    done = [
        task
        for task, reached, acted in zip(tasks, scores.task, scores.agent, strict=True)
        if min(float(reached), float(acted)) > 0
    ]
    return {"refused": False, "task": str(done[0])} if done else {"refused": True, "reason": "no goal is reached"}


def _varied(plans: list[planner.Plan], seed: int) -> list[planner.Plan]:
    """In random order, such that the first few have every mover and both sorts of goals."""
    order = [plans[i] for i in np.random.default_rng(seed).permutation(len(plans))]
    sorts = [(plan.task.agent, plan.task.goal.endswith("edge")) for plan in order]
    rank = [sorts[:i].count(sort) for i, sort in enumerate(sorts)]
    return [order[i] for i in np.argsort(rank, kind="stable")]


def _look(question: Question, medium: Image | Video) -> LogOdds:
    """The answer to a question about a picture; to others, that there is none so far."""
    if question.name in _JUDGES:
        return LogOdds.unread(f"{question.name} needs a video [T, H, W, 3] of at least two frames, not {medium.shape}")
    if question.name not in ("screen", "verify_agent", "verify_open"):
        return LogOdds.unread(f"the miniature's VLM does not know the question {question.name!r}")
    if medium.ndim != 3:
        return LogOdds.unread(f"{question.name} needs a picture [H, W, 3], not {medium.shape}")
    seen = perceive(shrink(medium)[None])
    if question.name == "screen":
        return _signed(question, -BOUND if seen.reasons[0] else BOUND)
    if seen.reasons[0]:
        return LogOdds.unread(seen.reasons[0])
    cells = {seen.scenes.name(0, thing): tuple(seen.scenes.cells[0][thing]) for thing in range(4)}
    if question.name == "verify_agent":
        there = any(name in question.text.casefold() for name in list(cells)[:2])
        return _signed(question, BOUND if there else -BOUND)
    task = find_task(question.text)
    if task is None or task.agent not in cells or not (task.goal in cells or task.goal.endswith("edge")):
        return LogOdds.unread("the question holds no task for this board")
    here = cells[task.agent]
    if task.goal in cells:
        return _signed(question, BOUND if here == cells[task.goal] else -BOUND)
    edge = EDGES.index(task.goal.removesuffix(" edge"))
    return _signed(question, BOUND if here[EDGE_AXIS[edge]] == EDGE_CELL[edge] else -BOUND)


def _signed(question: Question, yes: float) -> LogOdds:
    """Log-odds of the good answer from those of "yes"."""
    return LogOdds(yes if question.good == "yes" else -yes)
