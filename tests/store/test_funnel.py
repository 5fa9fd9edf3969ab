"""Shards: parts of the surviving frames that cover them once, are named by their members, and hold no list of them."""

import hashlib
from pathlib import Path

import duckdb

from tasks.shards import frame_ids, shards
from tests.store.test_store import frame
from wmsd_core import store
from wmsd_core.store.funnel import STAGES, buckets, count, lacking, members, survivors
from wmsd_core.workspace import Workspace

IDS = sorted(hashlib.sha256(str(n).encode()).hexdigest() for n in range(3000))


def filled(tmp_path: Path, order: list[str]) -> Workspace:
    place = Workspace(tmp_path).prepare()
    with store.writing(place.store) as con:
        store.insert(con, "frames", [frame(name) for name in order])
        con.execute(
            "INSERT INTO rejections SELECT 'filter', frame_id, 'dark', '', path, '' FROM frames WHERE frame_id < '2'"
        )
    return place


def test_shards_cover_the_survivors_once_and_are_near_the_size(tmp_path: Path) -> None:
    place = filled(tmp_path, IDS)
    left = [name for name in IDS if name >= "2"]
    parts = shards(place, after="filter", size=500)
    assert [name for part in parts for name in frame_ids(place, part)] == left
    assert [part.frames for part in parts] == [len(frame_ids(place, part)) for part in parts]
    assert all(480 < part.frames <= 500 for part in parts[:-1])
    with store.reading(place.store) as con:
        assert count(con, "filter") == len(left) == sum(bucket.frames for bucket in buckets(con, "filter"))
        assert survivors(con, None, first=IDS[7], last=IDS[9]) == IDS[7:10]


def test_a_shard_is_named_by_its_members_in_whatever_order_they_came(tmp_path: Path) -> None:
    one, other = filled(tmp_path / "one", IDS), filled(tmp_path / "other", IDS[::-1])
    assert shards(one, "filter", 500) == shards(other, "filter", 500)
    with store.writing(other.store) as con:  # one frame goes, another comes: same numbers, same ends, other members
        con.execute("DELETE FROM frames WHERE frame_id = ?", [IDS[-500]])
        store.insert(con, "frames", [frame(IDS[-500][:-1] + ("0" if IDS[-500][-1] != "0" else "1"))])
    before, after = shards(one, "filter", 500), shards(other, "filter", 500)
    changed = [a.members != b.members for a, b in zip(before, after, strict=True)]
    assert sum(changed) == 1
    assert [a.frames for a in before] == [b.frames for b in after]


def test_a_crowded_beginning_stands_alone(tmp_path: Path) -> None:
    place = Workspace(tmp_path).prepare()
    with store.writing(place.store) as con:
        store.insert(con, "frames", [frame(f"aaa{n:03}") for n in range(30)] + [frame(f"b{n:03}") for n in range(5)])
    assert [part.frames for part in shards(place, None, 10)] == [30, 5]
    assert shards(Workspace(tmp_path), "filter", 100)[0].frames == 35


def test_work_that_is_left_is_counted_and_a_set_of_frames_has_one_digest(tmp_path: Path) -> None:
    one, other = filled(tmp_path / "one", IDS), filled(tmp_path / "other", IDS[::-1])
    with store.reading(one.store) as con, store.reading(other.store) as reverse:
        done = "SELECT frame_id FROM frames WHERE frame_id < 'f'"
        left = lacking(con, "filter", done, digits=2)
        assert sum(left.values()) == sum(name >= "f" for name in IDS) and set(left) == {n[:2] for n in IDS if n >= "f"}
        assert lacking(con, "filter", "SELECT frame_id FROM frames") == {}
        assert members(con)["filter"] == members(reverse)["filter"] != members(con)["frames"]
    with store.writing(other.store) as con:
        con.execute("UPDATE rejections SET item = ? WHERE item = ?", [IDS[-1], IDS[0]])  # as many frames, other ones
        changed = members(con)["filter"]
    with store.reading(one.store) as con:
        before = members(con)["filter"]
        assert changed != before and changed.split("-")[0] == before.split("-")[0]


def test_members_of_a_stage_are_those_that_it_and_all_before_it_left(tmp_path: Path) -> None:
    def of_each(con: duckdb.DuckDBPyConnection) -> dict[str, str]:
        sql = "SELECT format('{}-{:016x}', count(*), coalesce(bit_xor(hash(id)), 0)) FROM (SELECT unnest($ids) AS id)"
        return {stage: con.execute(sql, {"ids": survivors(con, stage)}).fetchall()[0][0] for stage in STAGES[:-1]}

    place = filled(tmp_path, IDS)
    with store.writing(place.store) as con:
        more = "INSERT INTO rejections SELECT ?, frame_id, 'x', '', path, '' FROM frames WHERE frame_id BETWEEN ? AND ?"
        for stage, first, last in (
            ("screen", "1", "5"),
            ("frames", "0", "05"),
            ("rank", "4", "6"),
            ("split", "a", "b"),
        ):
            con.execute(more, [stage, first, last])
        con.execute("INSERT INTO rejections VALUES ('frames', '/no/frame', 'empty', '', '/no/frame', '')")
        assert members(con) == of_each(con)
        con.execute("INSERT INTO rejections SELECT 'dedup', frame_id, 'x', '', path, '' FROM frames")
        assert members(con) == of_each(con)
