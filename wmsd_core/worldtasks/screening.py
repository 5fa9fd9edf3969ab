"""Suitability screening (paper A.6.1): a vision-language model says whether an agent can do something in the frame.

The model's log-odds are stored, the verdict is a threshold on them in SQL. A frame whose answer could not be read is
neither suitable nor unsuitable: it is not passed on, and asked about again by the next run.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from wmsd_core.config import Config, digest
from wmsd_core.frames import Frame, Refusal, find
from wmsd_core.frames.refusal import attempt, record
from wmsd_core.frames.view import view
from wmsd_core.store import insert, reading, writing
from wmsd_core.store.funnel import count, lacking, replace_rejections, up_to
from wmsd_core.vlm import LogOdds, VisionLanguageModel, prompts
from wmsd_core.vlm.stream import as_they_come, gathered

PROMPT = "screen"
BATCH = 32
"""Questions per call of a model that answers one call at a time."""


class ScreenConfig(Config):
    """When a frame counts as suitable."""

    min_log_odds: float = 0.0
    """Nats; a frame is kept if log p(yes) - log p(no) is greater. 0 is the model's own verdict."""


@dataclass(frozen=True)
class Screened:
    """Frames asked about and answered now, answered before, left unread, and found unusable when decoded."""

    answered: int
    before: int
    unread: int
    unusable: int


@dataclass(frozen=True)
class Suitable:
    """Frames kept, dropped as unsuitable, and held back because no answer could be read yet."""

    kept: int
    unsuitable: int
    unread: int


def unscreened(store: Path, model: str) -> dict[str, int]:
    """How the ids of frames begin that `model` has given no readable answer for under the present prompt."""
    done = """
        SELECT frame_id FROM screenings
        WHERE log_odds IS NOT NULL AND model = $model AND prompt_version = $prompt_version
    """
    with reading(store) as con:
        return lacking(con, "rank", done, model=model, prompt_version=prompts.version(PROMPT))


def screen_frames(store: Path, frame_ids: Sequence[str], vlm: VisionLanguageModel, *, concurrency: int = 1) -> Screened:
    """Asks about those of `frame_ids` that this model has not answered for under this prompt, and stores answers as they come.

    A model that takes `concurrency` > 1 questions at a time must be callable from several threads: it is offered half as
    many again in small batches, so that the end of one batch leaves no place empty, while no more pictures than that are
    in memory. What the model raises (a server that is down) is passed on, after the batches under way have been stored.
    """
    made_by = {"model": vlm.name, "prompt_version": prompts.version(PROMPT)}
    with reading(store) as con:
        new = con.execute(
            """
            SELECT unnest($ids) EXCEPT SELECT frame_id FROM screenings
            WHERE log_odds IS NOT NULL AND model = $model AND prompt_version = $prompt_version
            """,
            {"ids": list(frame_ids), **made_by},
        ).fetchall()
        todo = find(con, [row[0] for row in new])
    size, under_way = loads(concurrency)
    parts = [todo[start : start + size] for start in range(0, len(todo), size)]
    unread = unusable = 0
    for answered in gathered(as_they_come(partial(_ask, vlm=vlm), parts, under_way)):
        rows: list[dict[str, object]] = []
        refused: list[tuple[str, Path, Refusal]] = []
        for frame, answer in (pair for _, answers in answered for pair in answers):
            if isinstance(answer, Refusal):
                refused.append((frame.frame_id, frame.path, answer))
            else:
                # an infinite value (one answer without any probability) is a verdict, and sorts as one
                log_odds = None if math.isnan(answer.value) else answer.value
                said = {"log_odds": log_odds, "suitable": answer.verdict, "reason": answer.reason}
                rows.append({"frame_id": frame.frame_id, **made_by, **said})
                unread += not answer.valid
        with writing(store) as con:
            insert(con, "screenings", rows, replace=True)
            record(con, refused, digest(made_by))
        unusable += len(refused)
    return Screened(len(todo) - unread - unusable, len(frame_ids) - len(todo), unread, unusable)


def loads(concurrency: int) -> tuple[int, int]:
    """Questions per batch, and batches under way, that keep a model of this concurrency busy."""
    return (BATCH, 1) if concurrency == 1 else (max(1, concurrency // 4), 6)


def _ask(part: Sequence[Frame], vlm: VisionLanguageModel) -> list[tuple[Frame, LogOdds | Refusal]]:
    """What the model says of each frame, or why it could not be shown."""
    views = [(frame, attempt(view, frame)) for frame in part]
    shown = [(frame, seen) for frame, seen in views if not isinstance(seen, Refusal)]
    question = prompts.question(PROMPT)
    answers = vlm.log_odds([question] * len(shown), [seen for _, seen in shown]) if shown else []
    refused = [(frame, seen) for frame, seen in views if isinstance(seen, Refusal)]
    return [*zip((frame for frame, _ in shown), answers, strict=True), *refused]


_VERDICTS = """
    WITH candidates AS (
        SELECT f.frame_id AS item, f.path, s.log_odds, coalesce(s.reason, 'not asked yet') AS why
        FROM frames f LEFT JOIN screenings s
          ON s.frame_id = f.frame_id AND s.model = $model AND s.prompt_version = $prompt_version
        WHERE f.frame_id NOT IN (SELECT item FROM rejections WHERE list_contains($before, stage))
    )
    SELECT item, 'unsuitable' AS reason,
           printf('log-odds %.2f of a yes, more than %.2f are needed', log_odds, $min_log_odds) AS detail, path
    FROM candidates WHERE log_odds <= $min_log_odds
    UNION ALL
    SELECT item, 'unread', why, path FROM candidates WHERE log_odds IS NULL
    ORDER BY item
"""


def keep_suitable(store: Path, model: str, config: ScreenConfig) -> Suitable:
    """Sets the rejections of stage `screen` for every frame that passed the ranking, from stored answers of `model`."""
    made_by: dict[str, object] = {"model": model, "prompt_version": prompts.version(PROMPT)}
    with writing(store) as con:
        parameters = {**made_by, "before": up_to("rank"), "min_log_odds": config.min_log_odds}
        replace_rejections(con, "screen", _VERDICTS, parameters, digest([made_by, config.digest()]))
        counts = dict(
            con.execute("SELECT reason, count(*) FROM rejections WHERE stage = 'screen' GROUP BY reason").fetchall()
        )
        kept = count(con, "screen")
    return Suitable(kept, counts.get("unsuitable", 0), counts.get("unread", 0))


def best_answer(store: Path, model: str) -> float | None:
    """The greatest log-odds of a yes among the ranked frames; None where no answer could be read."""
    made_by: dict[str, object] = {"model": model, "prompt_version": prompts.version(PROMPT)}
    with reading(store) as con:
        found = con.execute(
            """
            SELECT max(log_odds) FROM screenings
            WHERE model = $model AND prompt_version = $prompt_version AND NOT isinf(log_odds)
              AND frame_id NOT IN (SELECT item FROM rejections WHERE stage IN ('frames', 'filter', 'dedup', 'rank'))
            """,
            made_by,
        ).fetchall()
    return found[0][0]


def forget_answers(store: Path, model: str) -> None:
    """Deletes what `model` has answered, whatever the prompt."""
    with writing(store) as con:
        con.execute("DELETE FROM screenings WHERE model = ?", [model])
