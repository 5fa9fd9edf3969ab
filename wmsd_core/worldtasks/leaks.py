"""Does the benchmark hold anything that was trained on? Looked up in what was made, not in how it was meant to be.

Six kinds of leak, each with a figure:

- `frame`: the same image bytes in both (SHA-256).
- `pair`: the same image and task in both.
- `picture`: two frames at most `near` levels apart (root mean square over 16x16 RGB).
- `altered`: of two frames one shows the other or a window of it (down to about 70 % of each side), mirrored or not, in whatever
  brightness and contrast: `windows` suspects it from signatures, `alignment` lays the pictures on each other, and their fine
  detail correlates by at least `altered`, while both are at most `near` levels apart.
- `embedding`: two frames whose stored CLIP embeddings have a cosine of at least `cosine`.
- `text`: solutions of `words` or more words with a ROUGE-L of at least `solution`, whatever the pictures; or tasks with
  a ROUGE-L of at least `task` where the frames look somewhat alike, at most three times `near` apart.

Short texts of unlike pictures may be equal: "[First-person view]: Move forward." is a different task in every room.

Scale: the benchmark is held in memory a block at a time and the training set streams past. Pictures are searched by grid
cell (`look_alikes`), their windows and embeddings compared by matrix products, texts through an inverted index (`wording`).
Memory does not depend on the training set.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal, TypeVar

import duckdb
import numpy as np
import pyarrow as pa
from jaxtyping import Float32, UInt8
from pydantic import Field

from wmsd_core.arrays import Image
from wmsd_core.config import Config
from wmsd_core.frames import Frame, Refusal, find
from wmsd_core.frames.alignment import LONGEST, align
from wmsd_core.frames.decode import rgb
from wmsd_core.frames.likeness import DIMENSIONS, signed
from wmsd_core.frames.look_alikes import LookAlikes
from wmsd_core.frames.refusal import attempt
from wmsd_core.frames.windows import Suspect, suspects
from wmsd_core.store import query, reading, writing
from wmsd_core.store.funnel import reject
from wmsd_core.worldtasks.members import members
from wmsd_core.worldtasks.text import rouge_l, words
from wmsd_core.worldtasks.wording import Index

LeakKind = Literal["frame", "pair", "picture", "altered", "embedding", "text"]
LOOSE = 3.0
"""Frames up to this many times `near` apart may show the same place; equal tasks of theirs are a leak."""
_BLOCK = 4096
_BATCH = 8192


class LeakConfig(Config):
    """How alike two things in train and bench may be."""

    altered: float = Field(default=0.5, gt=0, le=1)
    """Frames of which one is the other cut, mirrored or brightened count as the same if the fine detail of both correlates
    by this much when they are laid on each other, and they are at most `split.near` levels apart then."""
    cosine: float = Field(default=0.95, gt=-1, le=1)
    """Frames whose embeddings have at least this cosine count as the same, where the ranking stage stored embeddings."""
    solution: float = Field(default=0.9, gt=0, le=1)
    """Solutions with at least this ROUGE-L (F1 of the longest common subsequence of words) count as the same."""
    words: int = Field(default=20, ge=1)
    """Solutions of fewer words are not compared: short ones recur by chance."""
    task: float = Field(default=0.7, gt=0, le=1)
    """Tasks with at least this ROUGE-L count as the same if their frames look somewhat alike."""


@dataclass(frozen=True)
class Leak:
    """Something of the training set in the benchmark. `train` and `bench` are frame ids, of kinds `pair` and `text` pair ids.

    `figure`: levels apart (`picture`), correlation of detail (`altered`), cosine (`embedding`), ROUGE-L (`text`), 1 for the
    same thing.
    """

    kind: LeakKind
    train: str
    bench: str
    figure: float
    detail: str


def find_leaks(store: Path, near: float, config: LeakConfig, *, threads: int = 1) -> list[Leak]:
    """Every leak between the training and the benchmark pairs of the store.

    Raises:
        ValueError: a picture cannot be read, so that the check would be incomplete.
    """
    with reading(store) as con:
        members(con)
        sql = "SELECT DISTINCT frame_id FROM members WHERE frame_id NOT IN (SELECT frame_id FROM signatures)"
        missing = find(con, [frame_id for (frame_id,) in con.execute(sql).fetchall()])
    for frame, look in chain.from_iterable(signed(store, missing, threads)):
        if isinstance(look, Refusal):
            raise ValueError(
                f"cannot check for leaks: {frame.path} is {look}. Run the filter stage again, which drops it"
            )
    return leaks_in(store, near, config, threads=threads)


def leaks_in(store: Path, near: float, config: LeakConfig, *, threads: int = 1) -> list[Leak]:
    """As `find_leaks`, of pictures that have a signature. Reads those that are suspected of being altered copies; one that
    cannot be read any more is none: it can be neither trained on nor shown."""
    with reading(store) as con:
        members(con)
        found = leaks_among(con, near, config)
        known = {(leak.train, leak.bench) for leak in found if leak.kind in ("frame", "picture")}
        suspected = [pair for pair in _suspected(con) if (pair.train, pair.bench) not in known]
        frames = {
            frame.frame_id: frame
            for frame in find(con, [*{name for pair in suspected for name in (pair.train, pair.bench)}])
        }
    with ThreadPoolExecutor(threads) as pool:
        altered = pool.map(lambda pair: _altered(pair, frames, near, config.altered), suspected)
        found += [leak for leak in altered if leak is not None]
    return _in_order(found)


def drop_training_frames(store: Path, leaks: Sequence[Leak], config_hash: str) -> int:
    """Rejects the training frame of each leak, with the leak as the reason; returns how many. The benchmark stays as it is."""
    with writing(store) as con:
        members(con)
        con.register(
            "leaks", pa.table({"train": [leak.train for leak in leaks], "detail": [_told(leak) for leak in leaks]})
        )
        rows = query(
            con,
            """
            SELECT 'split' AS stage, frame_id AS item, 'leak' AS reason, min(leaks.detail) AS detail,
                   any_value(path) AS path, $config_hash AS config_hash
            FROM leaks JOIN members ON train IN (pair_id, frame_id) JOIN frames USING (frame_id)
            WHERE split = 'train' GROUP BY frame_id
            """,
            {"config_hash": config_hash},
        )
        reject(con, rows)
        return len(rows)


def _told(leak: Leak) -> str:
    return f"{leak.kind} of the benchmark's {leak.bench[:16]}: {leak.detail}"


def complaint(leaks: Sequence[Leak]) -> str:
    """What is said of a division that leaks: how many of which kind, the first, and the cure."""
    kinds = ", ".join(f"{number} of kind {kind}" for kind, number in Counter(leak.kind for leak in leaks).items())
    first = leaks[0]
    return (
        f"train and bench are not apart: {kinds}; the first is {first.kind} {first.train[:16]} in train and "
        f"{first.bench[:16]} in bench ({first.detail}). Draw afresh with another split.seed, take the training "
        "frames out of the export with export.leaks=drop, or change the limit in split.leaks if this is no leak"
    )


def leaks_among(con: duckdb.DuckDBPyConnection, near: float, config: LeakConfig) -> list[Leak]:
    """Every leak among `members`, in order of kind and ids, with the pictures of `signatures` and of `embeddings`."""
    looks = list(_look_alikes(con, LOOSE * near))
    found = [
        *_in_both(con, "frame"),
        *_in_both(con, "pair"),
        *(
            Leak("picture", one, other, distance, f"{distance:.2f} levels apart, the limit is {near:g}")
            for one, other, distance in looks
            if distance <= near
        ),
        *_embeddings(con, config.cosine),
        *_solutions(con, config),
        *_tasks(con, [(one, other) for one, other, distance in looks if distance > near], config.task),
    ]
    return _in_order(found)


def _in_order(leaks: Sequence[Leak]) -> list[Leak]:
    return sorted(leaks, key=lambda leak: (leak.kind, leak.train, leak.bench))


def _in_both(con: duckdb.DuckDBPyConnection, kind: Literal["frame", "pair"]) -> Iterator[Leak]:
    sql = f"SELECT {kind}_id, min(task) FROM members GROUP BY ALL HAVING count(DISTINCT split) = 2"
    for name, task in con.execute(sql).fetchall():
        yield Leak(kind, name, name, 1.0, task if kind == "pair" else "the same image is in both")


_SIGNED = """
    SELECT place, frame_id, levels FROM signatures JOIN (
        SELECT row_number() OVER (ORDER BY split, frame_id) AS place, frame_id
        FROM (SELECT DISTINCT frame_id, split FROM members) SEMI JOIN signatures USING (frame_id)
    ) USING (frame_id)
"""


def _look_alikes(con: duckdb.DuckDBPyConnection, radius: float) -> Iterator[tuple[str, str, float]]:
    """(train frame, bench frame, distance in levels) of all that are at most `radius` apart."""
    with closing(LookAlikes(radius)) as known:
        count = known.copy(con, _SIGNED, {})
        sql = "SELECT count(DISTINCT frame_id) FROM members JOIN signatures USING (frame_id) WHERE split = 'bench'"
        bench = con.execute(sql).fetchall()[0][0]
        for places, levels in known.blocks(1, bench):
            known.add(places, levels)
        for places, levels in known.blocks(bench + 1, count):
            row, other, distance = known.near(places, levels, within=False)
            frame = known.frames([*places[row].tolist(), *other.tolist()])
            for one, its, far in zip(places[row].tolist(), other.tolist(), distance.tolist(), strict=True):
                yield frame[one], frame[its], far


@dataclass(frozen=True)
class _Pair:
    train: str
    bench: str
    suspect: Suspect


def _suspected(con: duckdb.DuckDBPyConnection) -> Iterator[_Pair]:
    sql = """
        SELECT frame_id, levels FROM signatures
        WHERE frame_id IN (SELECT frame_id FROM members WHERE split = $split)
    """
    for bench_ids, bench in _pages(con, sql, {}, _levels):
        for train_ids, train in _stream(con, sql, {}, _levels):
            for suspect in suspects(train, bench):
                yield _Pair(train_ids[suspect.one], bench_ids[suspect.other], suspect)


def _altered(pair: _Pair, frames: Mapping[str, Frame], near: float, least: float) -> Leak | None:
    names = (pair.train, pair.bench) if pair.suspect.part else (pair.bench, pair.train)
    whole, part = (attempt(_look, frames[name]) for name in names)
    if isinstance(whole, Refusal) or isinstance(part, Refusal):
        return None
    found = align(whole, part, pair.suspect.pose)
    if found.detail < least or found.levels > near:
        return None
    detail = (
        f"{pair.suspect.pose} of it: detail correlates by {found.detail:.3f}, the limit is {least:g}, "
        f"and they are {found.levels:.2f} levels apart"
    )
    return Leak("altered", pair.train, pair.bench, found.detail, detail)


def _look(frame: Frame) -> Image:
    return rgb(frame, LONGEST)


def _embeddings(con: duckdb.DuckDBPyConnection, least: float) -> Iterator[Leak]:
    sql = """
        SELECT frame_id, vector FROM embeddings
        WHERE encoder = $encoder AND frame_id IN (SELECT frame_id FROM members WHERE split = $split)
    """
    for (encoder,) in con.execute("SELECT DISTINCT encoder FROM embeddings ORDER BY encoder").fetchall():
        for bench_ids, bench in _pages(con, sql, {"encoder": encoder}, _vectors):
            for train_ids, train in _stream(con, sql, {"encoder": encoder}, _vectors):
                cosine: np.ndarray = train @ bench.T
                for row, column in np.argwhere(cosine >= least).tolist():
                    figure = float(cosine[row, column])
                    detail = f"cosine {figure:.3f} by {encoder}, the limit is {least:g}"
                    yield Leak("embedding", train_ids[row], bench_ids[column], figure, detail)


def _solutions(con: duckdb.DuckDBPyConnection, config: LeakConfig) -> Iterator[Leak]:
    sql = "SELECT pair_id, solution FROM members WHERE split = $split"
    for bench_ids, bench in _pages(con, sql, {}, _words):
        long = [index for index, text in enumerate(bench) if len(text) >= config.words]
        texts = Index([bench[index] for index in long], config.solution)
        for train_ids, train in _stream(con, sql, {}, _words):
            for name, text in zip(train_ids, train, strict=True):
                for index, score in texts.alike(text) if len(text) >= config.words else ():
                    detail = f"solutions with a ROUGE-L of {score:.3f}, the limit is {config.solution:g}"
                    yield Leak("text", name, bench_ids[long[index]], score, detail)


def _tasks(con: duckdb.DuckDBPyConnection, looks: Sequence[tuple[str, str]], least: float) -> list[Leak]:
    """Equal tasks of frames that look somewhat alike."""
    pairs = pa.table({"train": [one for one, _ in looks], "bench": [other for _, other in looks]})
    con.register("looks", pairs.cast(pa.schema([("train", pa.string()), ("bench", pa.string())])))
    rows = con.execute(
        """
        SELECT t.pair_id, t.task, b.pair_id, b.task FROM looks l
        JOIN members t ON t.frame_id = l.train AND t.split = 'train'
        JOIN members b ON b.frame_id = l.bench AND b.split = 'bench'
        """
    ).fetchall()
    found: list[Leak] = []
    for train, one, bench, other in rows:
        score = rouge_l(words(one), words(other))
        if score >= least:
            detail = f"tasks with a ROUGE-L of {score:.3f}, the limit is {least:g}, of frames that look somewhat alike"
            found.append(Leak("text", train, bench, score, detail))
    return found


Column = TypeVar("Column")


def _pages(
    con: duckdb.DuckDBPyConnection, sql: str, parameters: dict[str, str], read: Callable[[Any], Column]
) -> Iterator[tuple[list[str], Column]]:
    """The benchmark's rows (id, value) of a query, a block at a time; other queries may run between two blocks."""
    last = ""
    while True:
        page = f"SELECT * FROM ({sql}) AS rows(id, value) WHERE id > $last ORDER BY id LIMIT {_BLOCK}"
        block: Any = con.sql(page, params={**parameters, "split": "bench", "last": last}).to_arrow_table()
        if not block.num_rows:
            return
        ids: list[str] = block.column(0).to_pylist()
        yield ids, read(block.column(1).combine_chunks())
        last = ids[-1]


def _stream(
    con: duckdb.DuckDBPyConnection, sql: str, parameters: dict[str, str], read: Callable[[Any], Column]
) -> Iterator[tuple[list[str], Column]]:
    """The training set's rows (id, value) of a query in batches of one pass; no other query may run meanwhile."""
    reader: Any = con.sql(sql, params={**parameters, "split": "train"}).to_arrow_reader(_BATCH)
    for batch in reader:
        yield batch.column(0).to_pylist(), read(batch.column(1))


def _vectors(column: Any) -> Float32[np.ndarray, "N D"]:
    """Arrow list of floats [N, D] as float32 [N, D]."""
    return column.flatten().to_numpy(zero_copy_only=False).astype(np.float32).reshape(len(column), -1)


def _levels(column: Any) -> UInt8[np.ndarray, "N 768"]:
    return np.frombuffer(b"".join(column.to_pylist()), np.uint8).reshape(-1, DIMENSIONS)


def _words(column: Any) -> list[list[str]]:
    return [words(text) for text in column.to_pylist()]
