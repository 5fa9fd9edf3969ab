"""Scores per frame, by an aesthetic predictor or by plain statistics: the only part of the rank stage that reads images."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from wmsd_core.frames import Frame, Refusal, find
from wmsd_core.frames.decode import rgb
from wmsd_core.frames.refusal import attempt, record
from wmsd_core.ranking.clip import LONGEST, ClipConfig
from wmsd_core.ranking.laion import LaionAesthetic, LaionHead
from wmsd_core.ranking.statistics import ImageStatistics
from wmsd_core.store import insert, reading, unseen, writing
from wmsd_core.store.funnel import lacking

BATCH = 32
"""Pictures in one forward pass."""
STORED = 512
"""Rows in one transaction."""

Prepared = TypeVar("Prepared")


@dataclass(frozen=True)
class Scored:
    """Frames scored now, scored before by the same scorer, and found unusable when decoded."""

    scored: int
    before: int
    unusable: int


def unscored(store: Path, aesthetic: LaionAesthetic | None) -> dict[str, int]:
    """How the ids of frames begin that are to be ranked and lack a score, or the embedding behind it.

    Raises:
        ValueError: the predictor's weights are missing.
    """
    done, scorer = "SELECT frame_id FROM aesthetics WHERE scorer = $scorer", ImageStatistics.name
    with reading(store) as con:
        if aesthetic is None:
            return lacking(con, "dedup", done, scorer=scorer)
        embedded = "SELECT frame_id FROM embeddings WHERE encoder = $encoder"
        scorer, encoder = aesthetic.scorer_name(), aesthetic.clip.encoder()
        return lacking(con, "dedup", f"{done} INTERSECT {embedded}", scorer=scorer, encoder=encoder)


def forget_scores(store: Path, aesthetic: LaionAesthetic | None) -> None:
    """Deletes a scorer's scores and the embeddings behind them, so that pictures are scored again.

    Raises:
        ValueError: the predictor's weights are missing.
    """
    scorer = aesthetic.scorer_name() if aesthetic else ImageStatistics.name
    with writing(store) as con:
        con.execute("DELETE FROM aesthetics WHERE scorer = ?", [scorer])
        if aesthetic:
            con.execute("DELETE FROM embeddings WHERE encoder = ?", [aesthetic.clip.encoder()])


def score_frames(
    store: Path, frame_ids: Sequence[str], aesthetic: LaionAesthetic | None, *, threads: int = 2
) -> Scored:
    """Scores those of `frame_ids` that this scorer has not scored yet, and stores each batch as it is done.

    An aesthetic predictor reads no picture whose embedding is stored: another head costs a product of vectors. Without a
    predictor the scores are those of `ImageStatistics`.

    Raises:
        ValueError: the predictor's weights are missing or do not fit.
    """
    if aesthetic:
        return _predict(store, frame_ids, aesthetic, threads)
    name = ImageStatistics.name
    with reading(store) as con:
        todo = find(con, unseen(con, frame_ids, "aesthetics", scorer=name))
    unusable = 0
    for part in _parts(todo, STORED):
        done, refused = _collect(part, lambda frame: ImageStatistics.score(rgb(frame, LONGEST)), threads)
        with writing(store) as con:
            rows = [{"frame_id": frame.frame_id, "scorer": name, "score": score} for frame, score in done]
            insert(con, "aesthetics", rows)
            record(con, refused, name)
        unusable += len(refused)
    return Scored(len(todo) - unusable, len(frame_ids) - len(todo), unusable)


def embed_frames(store: Path, frame_ids: Sequence[str], clip: ClipConfig, *, threads: int = 2) -> int:
    """Embeds those of `frame_ids` that have no embedding of this encoder yet; returns how many were unusable.

    Raises:
        ValueError: the encoder's weights are missing or do not fit.
    """
    name = clip.encoder()
    with reading(store) as con:
        todo = find(con, unseen(con, frame_ids, "embeddings", encoder=name))
    if not todo:
        return 0
    from wmsd_core.ranking.encoder import encoder  # reads torch, which settings and statistics do without

    model = encoder(clip)
    unusable = 0
    with ThreadPoolExecutor(threads) as pool:
        for part in _parts(todo, STORED):
            rows: list[dict[str, object]] = []
            refused: list[tuple[str, Path, Refusal]] = []
            # One batch ahead: pictures are decoded and scaled while the network works on those before.
            for frames, futures in _ahead(part, lambda frame: model.prepare(rgb(frame, LONGEST)), pool):
                results = [future.result() for future in futures]
                found = [(f, r) for f, r in zip(frames, results, strict=True) if not isinstance(r, Refusal)]
                refused += [
                    (f.frame_id, f.path, r) for f, r in zip(frames, results, strict=True) if isinstance(r, Refusal)
                ]
                if found:
                    vectors = model.encode([prepared for _, prepared in found])
                    for (frame, _), vector in zip(found, vectors, strict=True):
                        rows.append({"frame_id": frame.frame_id, "encoder": name, "vector": vector})
            with writing(store) as con:
                insert(con, "embeddings", rows)
                record(con, refused, name)
            unusable += len(refused)
    return unusable


def _predict(store: Path, frame_ids: Sequence[str], aesthetic: LaionAesthetic, threads: int) -> Scored:
    name, head = aesthetic.scorer_name(), LaionHead(aesthetic)
    with reading(store) as con:
        todo = unseen(con, frame_ids, "aesthetics", scorer=name)
    unusable = embed_frames(store, frame_ids, aesthetic.clip, threads=threads)
    for part in _parts(todo, STORED):
        with writing(store) as con:
            rows = con.execute(
                """
                SELECT frame_id, vector FROM embeddings
                WHERE encoder = $encoder AND frame_id BETWEEN $first AND $last AND frame_id IN (SELECT unnest($ids))
                """,
                {"encoder": aesthetic.clip.encoder(), "first": part[0], "last": part[-1], "ids": list(part)},
            ).fetchall()
            if rows:
                scores = head.score(np.array([row[1] for row in rows], np.float32))
                made = [
                    {"frame_id": row[0], "scorer": name, "score": score}
                    for row, score in zip(rows, scores, strict=True)
                ]
                insert(con, "aesthetics", made)
    return Scored(len(todo) - unusable, len(frame_ids) - len(todo), unusable)


Item = TypeVar("Item")


def _parts(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _ahead(
    frames: Sequence[Frame], prepare: Callable[[Frame], Prepared], pool: ThreadPoolExecutor
) -> Iterator[tuple[Sequence[Frame], list[Future[Prepared | Refusal]]]]:
    """Batches with their pictures under way; the next batch is begun before one is handed out."""
    waiting: tuple[Sequence[Frame], list[Future[Prepared | Refusal]]] | None = None
    for part in _parts(frames, BATCH):
        begun = (part, [pool.submit(attempt, prepare, frame) for frame in part])
        if waiting:
            yield waiting
        waiting = begun
    if waiting:
        yield waiting


def _collect(
    frames: Sequence[Frame], function: Callable[[Frame], Prepared], threads: int
) -> tuple[list[tuple[Frame, Prepared]], list[tuple[str, Path, Refusal]]]:
    with ThreadPoolExecutor(threads) as pool:
        results = list(zip(frames, pool.map(lambda frame: attempt(function, frame), frames), strict=True))
    done = [(frame, result) for frame, result in results if not isinstance(result, Refusal)]
    return done, [(f.frame_id, f.path, r) for f, r in results if isinstance(r, Refusal)]
