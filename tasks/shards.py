"""A stage's work in pieces of seconds to minutes, each named by reference: a range of frame ids and a digest of its members."""

from wmsd_core import store
from wmsd_core.config import Config, digest
from wmsd_core.store.funnel import Stage, survivors
from wmsd_core.workspace import Workspace

OPEN = ("unmeasured", "unscored", "unread", "unanswered")
"""Reasons that say "not known yet"."""


class Shard(Config):
    """The surviving frames with ids from `first` to `last`; ids are hashes, so shards are random and equal in size."""

    after: Stage | None
    first: str
    last: str
    frames: int
    members: str
    """Digest of the frame ids: the input set of a cache key."""


def shards(workspace: Workspace, after: Stage | None, size: int) -> list[Shard]:
    """All frames that survived stage `after` (None: all registered ones), in shards of `size`."""
    with store.reading(workspace.store) as con:
        ids = survivors(con, after)
    parts = [ids[start : start + size] for start in range(0, len(ids), size)]
    return [Shard(after=after, first=p[0], last=p[-1], frames=len(p), members=digest(p)) for p in parts]


def members(workspace: Workspace, shard: Shard) -> list[str]:
    """The frame ids of a shard, in order."""
    with store.reading(workspace.store) as con:
        return [frame for frame in survivors(con, shard.after) if shard.first <= frame <= shard.last]


def unfinished(workspace: Workspace, stage: Stage) -> bool:
    """Whether the stage left frames without an answer. They are asked about again, whatever a cache says is done."""
    with store.reading(workspace.store) as con:
        sql = "SELECT count(*) AS n FROM rejections WHERE stage = ? AND list_contains(?, reason)"
        return store.query(con, sql, [stage, list(OPEN)])[0]["n"] > 0
