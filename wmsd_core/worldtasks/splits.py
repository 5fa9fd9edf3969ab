"""Training or benchmark: decided by look-alike cluster, never by row, and once.

Frames that show nearly the same (`likeness`) go together. A frame that has a split keeps it as long as the configuration
is the same: images that are added later go to training, or beside the frame that they resemble, and the benchmark does
not drift. There are two ways to hold frames out:

- by share (`bench_fraction`): the SHA-256 of the smallest frame id of a cluster decides, so that no rerun with other
  thresholds moves a frame across. Every registered frame takes part and every pair of a held-out frame is examined.
- by number (`bench_pairs`): one draw, as soon as there are pairs, that keeps the proportions of the whole set
  (`balance`). Only frames with pairs take part.

What the clusters cannot see and the leak check would find, a picture cut or mirrored, a likeness of embeddings or texts, is
mended here: the frame that came later, or else the one for training, is withheld from both.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
from pydantic import Field

from wmsd_core.config import Config, digest
from wmsd_core.frames.likeness import clusters, sign_frames
from wmsd_core.frames.look_alikes import LookAlikes
from wmsd_core.seeds import derive
from wmsd_core.store import insert, reading, writing
from wmsd_core.store.funnel import LAST, SURVIVORS, survivors, up_to
from wmsd_core.worldtasks.balance import Candidate, Drawn, balanced_draw
from wmsd_core.worldtasks.leaks import Leak, LeakConfig, complaint, leaks_in
from wmsd_core.worldtasks.members import chosen, labels, members

GIVEN = "given"
"""`config_hash` of a split that came with a dataset: no configuration divides it afresh."""


class SplitConfig(Config):
    """How frames are divided."""

    bench_fraction: float = Field(default=0.1, ge=0, le=1)
    """Share of frames that is held out for the benchmark: in expectation, or at most where `bench_pairs` is given."""
    bench_pairs: int | None = Field(default=None, ge=1)
    """Benchmark of this many pairs (the paper has 200), drawn to keep the proportions of agent types, task types and
    sources; none: every pair of `bench_fraction` of the frames."""
    per_frame: int = Field(default=1, ge=1)
    """Benchmark pairs of one frame, where `bench_pairs` is given."""
    seed: int = 0
    """Run seed of the draw."""
    near: float = Field(default=4.0, ge=0)
    """Pictures at most this many levels apart, as root mean square over 16x16 RGB, count as the same."""
    leaks: LeakConfig = LeakConfig()
    """What else counts as the same in train and bench."""


@dataclass(frozen=True)
class Split:
    """What there is to train on and to be examined with, in frames that have a usable pair."""

    train: int
    bench: int
    apart: int
    """Frames that resemble one of each split, because they came later; they belong to neither."""
    grouped: int
    """Frames that share their split with a frame that shows nearly the same."""
    unused: int
    """Frames that have a split and no pair that counts: dropped, or waiting for one, or like one that is examined."""
    withheld: int = 0
    """Frames that belong to neither split because they, altered, or an embedding or a text of theirs are in the other one."""
    examined: int = 0
    """Benchmark pairs."""
    short: str = ""
    """Why the benchmark has fewer pairs than wished; empty if it has them."""
    drift: dict[str, float] = field(default_factory=dict[str, float])
    """Total variation distance of benchmark and training pairs in agent types, task types and sources, 0 to 1."""


def own_split(frame_id: str, config: SplitConfig) -> str:
    """ "bench" with probability `bench_fraction`, from the frame's identity alone."""
    return "bench" if derive(config.seed, "split", frame_id) / 2**63 < config.bench_fraction else "train"


def forget_division(con: duckdb.DuckDBPyConnection) -> None:
    """Deletes the splits that were decided here, so that frames are divided afresh; those that came with a dataset stay."""
    con.execute("DELETE FROM splits WHERE config_hash <> ?", [GIVEN])


def assign_splits(store: Path, config: SplitConfig, *, threads: int = 1) -> Split:
    """Gives every readable frame of the store its split. Reads those it has not seen, at about 2 ms for a JPEG.

    Another configuration divides everything afresh, but for splits that came with a dataset.

    Raises:
        ValueError: frames of an earlier division leak, and neither can be withheld; the message counts them by kind.
    """
    config_hash = config.digest()
    with reading(store) as con:
        frames = survivors(con, after="frames")
        rows = con.execute(
            "SELECT frame_id, split FROM splits WHERE config_hash IN (?, ?)", [config_hash, GIVEN]
        ).fetchall()
    before: dict[str, str] = dict(rows)
    sign_frames(store, frames, threads=threads)
    groups = _groups(store, config.near)
    drawn = Drawn({})
    if config.bench_pairs is None:
        fresh = {min(group): own_split(min(group), config) for group in groups}
    else:
        with reading(store) as con:
            fresh, drawn = _draw(con, groups, before, config)
    decided, apart = _decide(groups, before, fresh)
    with writing(store) as con:
        con.execute("DELETE FROM splits WHERE config_hash NOT IN (?, ?)", [config_hash, GIVEN])
        con.execute("DELETE FROM rejections WHERE stage = 'split' AND item NOT IN (SELECT frame_id FROM splits)")
        made = [
            {
                "frame_id": frame_id,
                "split": split,
                "config_hash": config_hash,
                "examined": drawn.pairs.get(frame_id, []) if config.bench_pairs and split == "bench" else None,
            }
            for frame_id, split in decided.items()
        ]
        insert(con, "splits", made)
        _renew_examined(con, config)
    withheld = _withhold(store, decided.keys(), config, threads)
    with reading(store) as con:
        examined, drift = _drift(con)
        sides = dict(con.execute("SELECT split, count(DISTINCT frame_id) FROM chosen GROUP BY split").fetchall())
        divided = con.execute("SELECT count(*) FROM splits").fetchall()[0][0]
        paired = {name for (name,) in con.execute(_PAIRED).fetchall()}
    train, bench = sides.get("train", 0), sides.get("bench", 0)
    return Split(
        train=train,
        bench=bench,
        apart=len(paired.intersection(apart)),
        grouped=sum(len(paired.intersection(group)) for group in groups if len(group) > 1),
        unused=divided - train - bench,
        withheld=withheld,
        examined=examined,
        short=_shortage(examined, config, drawn),
        drift=drift,
    )


_PAIRED = "SELECT DISTINCT frame_id FROM task_pairs JOIN usable_pairs USING (pair_id)"
_SIGNED = f"""
    SELECT place, frame_id, levels FROM signatures JOIN (
        SELECT row_number() OVER (ORDER BY frame_id) AS place, frame_id
        FROM ({SURVIVORS}) SEMI JOIN signatures USING (frame_id)
    ) USING (frame_id)
"""


def _groups(store: Path, near: float) -> list[list[str]]:
    """The readable frames of the store by look-alike cluster, in order of id. Of the pictures, a block is held at a time."""
    parameters: dict[str, object] = {"source": None, "stages": up_to("frames"), "first": "", "last": LAST}
    with closing(LookAlikes(near)) as known:
        with reading(store) as con:
            count = known.copy(con, _SIGNED, parameters)
        ids = known.frames(range(1, count + 1))
        return [[ids[item + 1] for item in group] for group in clusters(count, _pairs(known, count))]


def _pairs(known: LookAlikes, count: int) -> Iterator[tuple[int, int]]:
    """Every two of `count` pictures that are near, as numbers from 0 on."""
    for places, levels in known.blocks(1, count):
        row, other, _ = known.near(places, levels)
        yield from zip((places[row] - 1).tolist(), (other - 1).tolist(), strict=True)
        known.add(places, levels)


def _decide(
    groups: Sequence[Sequence[str]], before: Mapping[str, str], fresh: Mapping[str, str]
) -> tuple[dict[str, str], list[str]]:
    """The splits of frames that have none yet, and the frames that resemble both sides and so get none.

    `fresh` has the split of a cluster of new frames by its smallest frame; a cluster without one stays undecided.
    """
    decided: dict[str, str] = {}
    apart: list[str] = []
    for group in groups:
        taken = {before[frame_id] for frame_id in group if frame_id in before}
        new = [frame_id for frame_id in group if frame_id not in before]
        if len(taken) > 1:
            apart += new
        elif split := taken.pop() if taken else fresh.get(min(group)):
            decided.update(dict.fromkeys(new, split))
    return decided, apart


def _draw(
    con: duckdb.DuckDBPyConnection, groups: Sequence[list[str]], before: Mapping[str, str], config: SplitConfig
) -> tuple[dict[str, str], Drawn]:
    """The split of every cluster that has pairs, by its smallest frame, and the benchmark, which is drawn once."""
    assert config.bench_pairs is not None
    flat = [(frame_id, index) for index, group in enumerate(groups) for frame_id in group]
    look_alikes = pa.table({"frame_id": [name for name, _ in flat], "cluster": [index for _, index in flat]})
    con.register("look_alikes", look_alikes)
    labels(con)
    con.execute(_POPULATION, {"seed": str(config.seed)})
    with_pairs = [index for (index,) in con.execute("SELECT DISTINCT cluster FROM population").fetchall()]
    fresh: dict[str, str] = {min(groups[index]): "train" for index in with_pairs}
    if "bench" in before.values():
        return fresh, Drawn({})
    cells = con.execute("SELECT agent_type, task_type, source, count(*) FROM population GROUP BY ALL").fetchall()
    free = {index for index in with_pairs if not any(frame_id in before for frame_id in groups[index])}
    candidates = [
        Candidate(pair_id, frame_id, cluster, (agent_type, task_type, source))
        for pair_id, frame_id, cluster, agent_type, task_type, source in con.execute(
            _CANDIDATES, {"wished": config.bench_pairs}
        ).fetchall()
        if cluster in free
    ]
    drawn = balanced_draw(
        candidates,
        {(agent_type, task_type, source): number for agent_type, task_type, source, number in cells},
        {index: len(groups[index]) for index in free},
        wished=config.bench_pairs,
        per_frame=config.per_frame,
        most_frames=int(config.bench_fraction * sum(len(groups[index]) for index in with_pairs)),
    )
    cluster_of = {candidate.frame_id: candidate.cluster for candidate in candidates}
    return fresh | {min(groups[cluster_of[frame_id]]): "bench" for frame_id in drawn.pairs}, drawn


_POPULATION = """
    CREATE OR REPLACE TEMP TABLE population AS
    SELECT pair_id, frame_id, cluster, coalesce(agent_type, 'other') AS agent_type,
           coalesce(task_type, 'other') AS task_type, source, sha256($seed || ' bench ' || pair_id) AS draw
    FROM task_pairs JOIN usable_pairs USING (pair_id) JOIN look_alikes USING (frame_id) JOIN frames USING (frame_id)
    LEFT JOIN labels USING (pair_id)
"""
_CANDIDATES = """
    -- A cell is asked for little more than its share, so a few more clusters than that are enough of each; a chosen frame
    -- may give its other pairs too.
    WITH cells AS (
        SELECT agent_type, task_type, source,
               20 + 2 * ceil($wished * count(*) / (SELECT count(*) FROM population)) AS enough
        FROM population GROUP BY ALL
    ), firsts AS (
        SELECT * FROM population QUALIFY row_number() OVER (
            PARTITION BY agent_type, task_type, source, cluster ORDER BY draw) = 1
    ), chosen AS (
        SELECT frame_id, enough, row_number() OVER (PARTITION BY agent_type, task_type, source ORDER BY draw) AS number
        FROM firsts JOIN cells USING (agent_type, task_type, source)
    )
    SELECT pair_id, frame_id, cluster, agent_type, task_type, source FROM population
    WHERE frame_id IN (SELECT frame_id FROM chosen WHERE number <= enough) ORDER BY draw
"""


def _renew_examined(con: duckdb.DuckDBPyConnection, config: SplitConfig) -> None:
    """Where a frame's pairs were written anew, its benchmark pairs are gone: as many of the new ones take their place."""
    con.execute(
        """
        UPDATE splits SET examined = (
            SELECT list(pair_id ORDER BY sha256($seed || ' bench ' || pair_id))[:len(splits.examined)]
            FROM task_pairs p JOIN usable_pairs USING (pair_id) WHERE p.frame_id = splits.frame_id)
        WHERE len(examined) > 0
          AND frame_id IN (SELECT frame_id FROM task_pairs JOIN usable_pairs USING (pair_id))
          AND NOT EXISTS (SELECT 1 FROM task_pairs p WHERE p.frame_id = splits.frame_id
                          AND list_contains(splits.examined, p.pair_id))
        """,
        {"seed": str(config.seed)},
    )


def _withhold(store: Path, new: Collection[str], config: SplitConfig, threads: int) -> int:
    """Takes frames that leak although they do not look alike out of the division; returns how many.

    Of two frames the new one yields, or the one for training if both are new. If neither is, the leak stays: what was
    trained or measured with before cannot be undone here.

    Raises:
        ValueError: such a leak stays. To withhold a frame makes no new ones, so that nothing needs to be searched again.
    """
    with reading(store) as con:
        searched = _searched(con, config)
        if con.execute("SELECT made_from FROM verdicts WHERE stage = 'split'").fetchall() == [(searched,)]:
            return 0  # nothing was found in the very same
    leaks = leaks_in(store, config.near, config.leaks, threads=threads)
    with reading(store) as con:
        members(con)
        ids = {"ids": [name for leak in leaks for name in (leak.train, leak.bench)]}
        frame_of = dict(
            con.execute("SELECT pair_id, frame_id FROM members WHERE pair_id IN (SELECT unnest($ids))", ids).fetchall()
        )
    out: set[str] = set()
    stay: list[Leak] = []
    for leak in leaks:
        train, bench = frame_of.get(leak.train, leak.train), frame_of.get(leak.bench, leak.bench)
        if train in new:
            out.add(train)
        elif bench in new:
            out.add(bench)
        else:
            stay.append(leak)
    with writing(store) as con:
        con.execute("DELETE FROM splits WHERE frame_id IN (SELECT unnest($out))", {"out": sorted(out)})
        if not leaks:
            insert(con, "verdicts", [{"stage": "split", "made_from": searched}], replace=True)
    if stay:
        raise ValueError(complaint(stay))
    return len(out)


def _searched(con: duckdb.DuckDBPyConnection, config: SplitConfig) -> str:
    """Digest of all that a search for leaks looks at: texts and frames of both sides, which embeddings they have, limits."""
    members(con)
    looked_at = """
        SELECT count(*), bit_xor(md5_number(concat_ws(chr(31), split, frame_id, pair_id, task, solution))) FROM members
        UNION ALL
        SELECT count(*), bit_xor(md5_number(concat_ws(chr(31), frame_id, encoder))) FROM embeddings
        WHERE frame_id IN (SELECT frame_id FROM members)
    """
    found = [[number, str(mixed)] for number, mixed in con.execute(looked_at).fetchall()]
    return digest([LeakConfig.revision, config.near, config.leaks.digest(), *found])


def _drift(con: duckdb.DuckDBPyConnection) -> tuple[int, dict[str, float]]:
    """Benchmark pairs, and the total variation distance of their proportions from the training pairs'.

    Leaves the view `chosen`.
    """
    labels(con)
    chosen(con)
    far: dict[str, float] = {}
    for name in ("agent_type", "task_type", "source"):
        rows = con.execute(
            f"""
            SELECT count(*) FILTER (split = 'train'), count(*) FILTER (split = 'bench')
            FROM chosen JOIN frames USING (frame_id) LEFT JOIN labels USING (pair_id) GROUP BY {name}
            """
        ).fetchall()
        train, bench = np.array(rows, float).reshape(-1, 2).T
        if train.sum() and bench.sum():
            far[name] = round(float(np.abs(train / train.sum() - bench / bench.sum()).sum() / 2), 4)
    return con.execute("SELECT count(*) FROM chosen WHERE split = 'bench'").fetchall()[0][0], far


def _shortage(examined: int, config: SplitConfig, drawn: Drawn) -> str:
    if config.bench_pairs is None or examined >= config.bench_pairs:
        return ""
    why = drawn.short or "the benchmark was drawn before and stays as it is; another split.seed draws afresh"
    return f"{examined} of {config.bench_pairs} pairs: {why}"
