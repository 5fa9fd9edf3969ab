"""What people say of frames and pairs: taken in once, told where it is wrong, and obeyed by selection, export and plan."""

import json
from pathlib import Path

import duckdb
import pytest

from deployments.recipes import named
from tasks.plan import LEFT, _because
from tasks.stages import PARTS
from tests.frames.pictures import left
from tests.worldtasks.scripted import ScriptedVLM, good_answer
from tests.worldtasks.test_selection import Verifier, written
from wmsd_core import store as stores
from wmsd_core.bench.report.funnel import funnel
from wmsd_core.store import connection, query, reading, schema, writing
from wmsd_core.store.stage_runs import StageRun, cache_key
from wmsd_core.vlm import LogOdds
from wmsd_core.workspace import Workspace
from wmsd_core.worldtasks import (
    GenerateConfig,
    SelectConfig,
    SplitConfig,
    assign_splits,
    generate_pairs,
    keep_pairs,
    verify_pairs,
)
from wmsd_core.worldtasks.export import ExportConfig, export
from wmsd_core.worldtasks.importing import import_folder
from wmsd_core.worldtasks.layout import ImportConfig
from wmsd_core.worldtasks.selection import nearest
from wmsd_core.worldtasks.tags import take_in, waiting

KEEP = SelectConfig()


def mark(item: str, tag: str = "drop", note: str = "", kind: str = "pair") -> str:
    return json.dumps({"item": item, "kind": kind, "tag": tag, "note": note})


def saved(tmp_path: Path, *lines: str) -> Path:
    (tmp_path / "tags.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path / "tags.jsonl"


def pairs_of(store: Path, frame: str) -> list[str]:
    """In the order of the answer."""
    with reading(store) as con:
        return [
            row["pair_id"]
            for row in query(con, "SELECT * FROM task_pairs ORDER BY position")
            if row["frame_id"] == frame
        ]


def told(store: Path) -> dict[str, str]:
    """Tagged frame or pair -> detail."""
    with reading(store) as con:
        rows = query(con, "SELECT item, detail FROM rejections WHERE stage = 'generate' AND reason = 'tagged'")
    return {row["item"]: row["detail"] for row in rows}


def test_a_file_is_taken_in_once_changed_and_forgotten(tmp_path: Path) -> None:
    store, (frame,) = written(tmp_path)
    one, two, three = pairs_of(store, frame)
    first = saved(tmp_path, mark(one, note="two doors"), mark(two, "odd"), "", mark(frame, "  nice ", kind="frame"))
    found = take_in(store, first)
    assert (found.new, found.changed, found.forgotten, found.as_before, found.wrong) == (3, 0, 0, 0, ())
    again = take_in(store, first)
    assert (again.new, again.changed, again.forgotten, again.as_before) == (0, 0, 0, 3)
    more = take_in(
        store, saved(tmp_path, mark(one, "fine"), mark(two, ""), mark(three, ""), mark(frame, "x"), mark(one))
    )
    assert (more.new, more.changed, more.forgotten, more.as_before) == (0, 1, 1, 1)
    assert more.wrong == (f"line 4: there is no pair {frame} in this store",)
    with reading(store) as con:
        rows = query(con, "SELECT item, kind, tag, note FROM tags")
    assert {row["item"]: (row["kind"], row["tag"], row["note"]) for row in rows} == {
        one: ("pair", "drop", ""),  # the last line about it
        frame: ("frame", "nice", ""),
    }


def test_each_wrong_line_is_told_and_costs_no_other(tmp_path: Path) -> None:
    store, (frame,) = written(tmp_path)
    (tmp_path / "tags.jsonl").write_bytes(
        b"\n".join(
            [
                b"not json",
                b'{"item": "\xff", "kind": "pair", "tag": "drop"}',
                b'{"item": "a", "kind": "video", "tag": "drop"}',
                b'{"item": "a", "kind": "pair"}',
                b'{"item": "a", "kind": "pair", "tag": 7}',
                mark("f" * 64).encode(),
                mark(frame, "x" * 101, kind="frame").encode(),
                b"[" * 100_000,
                b'{"item": "a", "kind": "pair", "tag": "\\ud800"}',
                mark(frame, kind="frame").encode(),
            ]
        )
    )
    found = take_in(store, tmp_path / "tags.jsonl")
    assert found.new == 1
    assert [line.partition(":")[0] for line in found.wrong] == [
        f"line {number}{'' if number == 6 else ' is no mark'}" for number in range(1, 10)
    ]
    assert "kind: Input should be 'frame' or 'pair'" in found.wrong[2] and "tag: Field required" in found.wrong[3]
    with pytest.raises(ValueError, match=r"cannot read .*nowhere\.jsonl"):
        take_in(store, tmp_path / "nowhere.jsonl")


def test_what_is_tagged_drop_is_turned_down_and_comes_back(tmp_path: Path) -> None:
    store, ids = written(tmp_path, frames=3)
    one, two, _ = pairs_of(store, ids[0])
    take_in(store, saved(tmp_path, mark(one, note="two doors"), mark(two, "odd"), mark(ids[1], kind="frame")))
    with reading(store) as con:
        assert waiting(con) == 5  # a pair; a frame and its three
    kept = keep_pairs(store, "scripted/1", KEEP)
    assert (kept.kept, kept.dropped, kept.frames_without) == (5, {"tagged": 4}, 0)
    whole = dict.fromkeys(pairs_of(store, ids[1]), "drop (its frame)")
    assert told(store) == {one: "drop: two doors", ids[1]: "drop", **whole}
    assert left(store, "generate") == [ids[0], ids[2]]
    with reading(store) as con:
        assert waiting(con) == 0
        step = next(step for step in funnel(con) if step.stage == "generate")
    assert {reason.reason: reason.count for reason in step.reasons} == {"tagged (pairs)": 4, "tagged": 1}
    take_in(store, saved(tmp_path, mark(one, ""), mark(ids[1], "", kind="frame")))
    with reading(store) as con:
        assert waiting(con) == 5
    kept = keep_pairs(store, "scripted/1", KEEP)
    assert (kept.kept, kept.dropped) == (9, {}) and told(store) == {} and left(store, "generate") == ids


def test_a_frame_all_of_whose_pairs_are_tagged_keeps_none(tmp_path: Path) -> None:
    store, ids = written(tmp_path, frames=2)
    take_in(store, saved(tmp_path, *map(mark, pairs_of(store, ids[0]))))
    kept = keep_pairs(store, "scripted/1", KEEP)
    assert (kept.kept, kept.dropped, kept.frames_without) == (3, {"tagged": 3}, 1)
    assert left(store, "generate") == ids[1:]


def test_a_tagged_pair_takes_no_place_of_its_kind_and_has_one_reason(tmp_path: Path) -> None:
    store, ids = written(tmp_path, frames=4)
    vlm = Verifier({("verify_agent", 0): LogOdds(-2.0)})
    verify_pairs(store, ids, vlm, ("verify_agent",))
    tagged = [pairs_of(store, frame)[0] for frame in ids[:2]] + [min(pairs_of(store, ids[0])[1:])]
    take_in(store, saved(tmp_path, *map(mark, tagged)))
    kept = keep_pairs(store, vlm.name, SelectConfig(min_agent_log_odds=0.0, max_cell_share=0.5))
    # Of twelve three are tagged, two more are of an absent agent. Seven pass, and ceil(.5 * 7) = 4 are kept.
    assert (kept.kept, kept.dropped) == (4, {"agent_absent": 2, "over_quota": 3, "tagged": 3})


def test_tags_are_not_what_a_threshold_could_bring_back(tmp_path: Path) -> None:
    store, ids = written(tmp_path)
    vlm = Verifier({("verify_agent", n): LogOdds(float(n)) for n in range(3)})
    verify_pairs(store, ids, vlm, ("verify_agent",))
    take_in(store, saved(tmp_path, mark(pairs_of(store, ids[0])[2])))
    harsh = SelectConfig(min_agent_log_odds=4.0)
    assert keep_pairs(store, vlm.name, harsh).kept == 0
    assert nearest(store, vlm.name, harsh) == {"min_agent_log_odds": 1.0}


def test_a_tag_holds_for_the_same_text_when_it_is_written_again(tmp_path: Path) -> None:
    store, ids = written(tmp_path)
    one = pairs_of(store, ids[0])[0]
    take_in(store, saved(tmp_path, mark(one)))
    keep_pairs(store, "scripted/1", KEEP)
    generate_pairs(store, ids, ScriptedVLM(lambda call: good_answer(3)), GenerateConfig(count=3, seed=1))
    assert told(store) == {}
    assert keep_pairs(store, "scripted/1", KEEP).dropped == {"tagged": 1} and set(told(store)) == {one}


def test_an_export_leaves_tagged_pairs_out_and_an_imported_set_obeys_tags_too(tmp_path: Path) -> None:
    store, ids = written(tmp_path, frames=6)
    assign_splits(store, SplitConfig(bench_fraction=0.5))
    one = pairs_of(store, ids[0])[0]
    form = ExportConfig(formats=("worldtasks",))
    whole = export(store, tmp_path / "whole", form, SplitConfig(bench_fraction=0.5))
    take_in(store, saved(tmp_path, mark(one), mark(ids[1], kind="frame")))
    keep_pairs(store, "scripted/1", KEEP)
    few = export(store, tmp_path / "few", form, SplitConfig(bench_fraction=0.5))
    assert whole.train + whole.bench == 18 and few.train + few.bench == 14 and few.frames == 5

    other = tmp_path / "other.duckdb"
    import_folder(other, tmp_path / "whole", ImportConfig(), named("worldtasks").scan)
    take_in(other, tmp_path / "tags.jsonl")
    import_folder(other, tmp_path / "whole", ImportConfig(), named("worldtasks").scan)
    with reading(other) as con:
        assert query(con, "SELECT count(*) AS n FROM usable_pairs") == [{"n": 14}]


def test_a_plan_says_that_tags_have_changed(tmp_path: Path) -> None:
    store, ids = written(tmp_path)
    place = Workspace(tmp_path)
    store.rename(place.store)
    small = named("miniature")
    before = StageRun(cache_key({part: getattr(small, part) for part in PARTS["generate"]}), {}, 1.0, outdated=False)

    def because() -> str:
        return _because("generate", small, before, LEFT["generate"](place, small, before), follows=False)

    assert because() != "tags have changed"
    take_in(place.store, saved(tmp_path, mark(ids[0], "odd", kind="frame")))
    assert because() != "tags have changed"  # a word that nothing follows from
    take_in(place.store, saved(tmp_path, mark(ids[0], kind="frame")))
    assert because() == "tags have changed"
    keep_pairs(place.store, "scripted/1", KEEP)
    assert because() != "tags have changed"
    take_in(place.store, saved(tmp_path, mark(ids[0], note="blurred", kind="frame")))
    assert because() == "tags have changed"


def test_a_store_of_before_there_were_tags_gets_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "wmsd.duckdb"
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:15])
        with duckdb.connect(str(path)) as con:
            schema.migrate(con)
    connection._migrated.clear()
    with writing(path) as con:
        assert stores.query(con, "SELECT * FROM tags") == [] and waiting(con) == 0
