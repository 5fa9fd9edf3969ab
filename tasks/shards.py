"""A stage's work in pieces of seconds to minutes, each named by reference: a range of frame ids and a digest of its members."""

from collections.abc import Collection, Iterator

from wmsd_core import store
from wmsd_core.config import Config
from wmsd_core.store.funnel import Bucket, Stage, buckets, survivors
from wmsd_core.workspace import Workspace


class Shard(Config):
    """The surviving frames with ids from `first` to `last`; ids are hashes, so shards are random and about equal in size."""

    after: Stage | None
    first: str
    last: str
    frames: int
    members: str
    """Digest of the frame ids: the input set of a cache key."""

    def holds(self, beginnings: Collection[str]) -> bool:
        """Whether ids that begin so can be among its frames."""
        return any(self.first[: len(begin)] <= begin <= self.last[: len(begin)] for begin in beginnings)


def shards(workspace: Workspace, after: Stage | None, size: int) -> list[Shard]:
    """All frames that survived stage `after` (None: all registered ones), in shards of about `size`."""
    with store.reading(workspace.store) as con:
        found = buckets(con, after)
    return [_shard(after, part) for part in _filled(found, size)]


def frame_ids(workspace: Workspace, shard: Shard) -> list[str]:
    """The frame ids of a shard, in order."""
    with store.reading(workspace.store) as con:
        return survivors(con, shard.after, first=shard.first, last=shard.last)


def _filled(found: list[Bucket], size: int) -> Iterator[list[Bucket]]:
    """Neighbouring buckets together, up to `size` frames; a bucket that is larger by itself stands alone."""
    part: list[Bucket] = []
    for bucket in found:
        if part and sum(one.frames for one in part) + bucket.frames > size:
            yield part
            part = []
        part.append(bucket)
    if part:
        yield part


def _shard(after: Stage | None, part: list[Bucket]) -> Shard:
    frames, members = sum(bucket.frames for bucket in part), 0
    for bucket in part:
        members ^= bucket.digest
    return Shard(after=after, first=part[0].first, last=part[-1].last, frames=frames, members=f"{members:032x}")
