"""The page of frames and pairs, as data and in a browser: filters, tags that are saved and taken in, no network."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deployments import pages
from tests.bench.synthetic import build
from tests.chromium import chromium, needed, opened
from tests.deployments.test_cli import wmsd
from wmsd_core.filters.measuring import MeasureConfig
from wmsd_core.store import insert, query, reading, writing
from wmsd_core.store.funnel import reject
from wmsd_core.worldtasks import SelectConfig, keep_pairs
from wmsd_core.worldtasks.browser import Written, write_page
from wmsd_core.worldtasks.tags import take_in

HOSTILE = '[<script>alert("x")</script>]: go to <img src="//evil.example/a.png" onerror=\'x()\'> </script> {{ 7 * 7 }}'
FRAMES = 130
"""More than the page makes elements of at a time."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Written]:
    folder = tmp_path_factory.mktemp("browser")
    path = build(folder, until="generate", frames=FRAMES, task_text=HOSTILE)
    with writing(path) as con:
        con.execute("UPDATE measurements SET config_hash = ?", [MeasureConfig().digest()])
        kept = query(
            con, "SELECT frame_id, path FROM frames WHERE frame_id NOT IN (SELECT item FROM rejections) ORDER BY 1"
        )
        bad = {
            "frame_id": kept[0]["frame_id"],
            "position": 5,
            "task": HOSTILE,
            "solution": "No.",
            "reason": "too_short",
        }
        insert(
            con, "rejected_pairs", [{**bad, "detail": "1 word", "model": "", "prompt_version": "", "config_hash": ""}]
        )
        insert(con, "tags", [{"item": kept[1]["frame_id"], "kind": "frame", "tag": "odd", "note": HOSTILE}])
    Path(kept[2]["path"]).unlink()
    return path, write_page(path, folder / "browser", MeasureConfig(), limit=1000)


def shown(written: Written) -> dict[str, Any]:
    text = written.path.read_text(encoding="utf-8")
    found = re.search(r'<script id="frames" type="application/json">(.*?)</script>', text, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_every_frame_is_there_with_what_became_of_it_and_its_pairs(made: tuple[Path, Written]) -> None:
    path, written = made
    frames = {frame["id"]: frame for frame in shown(written)["frames"]}
    with reading(path) as con:
        rejected = {row["item"]: row for row in query(con, "SELECT * FROM rejections WHERE stage <> 'frames'")}
        measured = query(con, "SELECT * FROM measurements")
        scored = query(con, "SELECT * FROM aesthetics")
        answered = query(con, "SELECT * FROM screenings")
        pairs = query(con, "SELECT * FROM task_pairs JOIN taxonomy USING (pair_id) JOIN splits USING (frame_id)")
    assert len(frames) == written.frames == FRAMES and written.lost == 1 and written.left_out == 0
    for name, frame in frames.items():
        row = rejected.get(name)
        assert frame["stage"] == (row["stage"] if row else "")
        assert frame["fates"] == ([[row["reason"], row["detail"]]] if row else [])
        assert frame["picture"] is None or (written.path.parent / frame["picture"]).is_file()
    assert sum(frame["picture"] is None for frame in frames.values()) == 1
    for row in measured:
        figures = dict(frames[row["frame_id"]]["figures"])
        assert figures["sharpness"] == pytest.approx(row["sharpness"], abs=1e-4)
    for rows, maker, value, words in (
        (scored, "scorer", "score", ""),
        (answered, "model", "log_odds", "an agent can act, says "),
    ):
        assert rows
        for row in rows:
            figures = dict(frames[row["frame_id"]]["figures"])
            assert figures[words + row[maker]] == pytest.approx(row[value], abs=1e-4)
    usable = {pair["id"]: (name, pair) for name, frame in frames.items() for pair in frame["pairs"] if pair["id"]}
    assert len(usable) == len(pairs) == written.pairs - 1
    for row in pairs:
        name, pair = usable[row["pair_id"]]
        assert (name, frames[name]["split"]) == (row["frame_id"], row["split"])
        assert (pair["task"], pair["solution"]) == (row["task"], row["solution"])
        assert (pair["agent"], pair["kind"]) == (row["agent_type"], row["task_type"])
    (unusable,) = [pair for frame in frames.values() for pair in frame["pairs"] if not pair["id"]]
    assert (unusable["task"], unusable["fates"]) == (HOSTILE, [["too_short", "1 word"]])
    assert HOSTILE in {pair["task"] for _, pair in usable.values()}


def test_the_first_stage_that_turned_a_frame_down_is_told_with_all_its_reasons(tmp_path: Path) -> None:
    path = build(tmp_path, until="generate", frames=12)
    rest = {"detail": "d", "path": "", "config_hash": ""}
    with writing(path) as con:
        con.execute("DELETE FROM rejections")
        frame = query(con, "SELECT min(frame_id) AS id FROM frames")[0]["id"]
        for stage, reason in (("split", "leak"), ("screen", "unsuitable"), ("filter", "flat"), ("filter", "dark")):
            reject(con, [{"stage": stage, "item": frame, "reason": reason, **rest}])
    first, *others = shown(write_page(path, tmp_path / "page", MeasureConfig(), limit=3))["frames"]
    assert len(others) == 2
    assert (first["id"], first["stage"], first["fates"]) == (frame, "filter", [["dark", "d"], ["flat", "d"]])


def test_of_more_frames_than_the_limit_the_rest_is_counted_and_a_thumbnail_is_made_once(tmp_path: Path) -> None:
    path = build(tmp_path, until="filter", frames=12)
    written = write_page(path, tmp_path / "page", MeasureConfig(), limit=5)
    assert (written.frames, written.left_out, len(shown(written)["frames"])) == (5, 7, 5)
    thumbnails = sorted((tmp_path / "page" / "thumbnails").iterdir())
    times = [file.stat().st_mtime_ns for file in thumbnails]
    write_page(path, tmp_path / "page", MeasureConfig(), limit=5)
    assert len(times) == 5 and [file.stat().st_mtime_ns for file in thumbnails] == times


def test_a_page_of_something_else_is_kept_and_an_empty_store_told(tmp_path: Path) -> None:
    path = build(tmp_path, until="filter", frames=3)
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "index.html").write_text("<title>my home</title>")
    with pytest.raises(ValueError, match=r"index\.html was written by something else"):
        write_page(path, tmp_path / "page", MeasureConfig(), limit=5)
    with writing(tmp_path / "empty.duckdb"):
        pass
    with pytest.raises(ValueError, match="there is no frame in the store yet"):
        write_page(tmp_path / "empty.duckdb", tmp_path / "other", MeasureConfig(), limit=5)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@needed
def test_the_page_works_in_a_browser_as_a_file_and_over_http(made: tuple[Path, Written], browser: Any) -> None:
    path, written = made
    server = pages.serve(path.parent, 0)
    try:
        for address in (written.path.as_uri(), f"http://127.0.0.1:{server.server_port}/browser/index.html"):
            with opened(browser, address) as page:
                _filters_work(page, shown(written)["frames"])
    finally:
        server.shutdown()


def _filters_work(page: Any, frames: list[dict[str, Any]]) -> None:
    def count() -> int:
        return int(page.inner_text("#count").split()[0])

    assert count() == FRAMES and page.locator("#list li").count() == 100
    page.click("#later")
    assert page.inner_text("#range") == "101 to 130" and page.locator("#list li").count() == FRAMES - 100
    page.keyboard.press("ArrowLeft")
    assert page.inner_text("#range") == "1 to 100" and page.inner_text("#frame .facts").startswith("100 of 130")
    assert page.evaluate("location.hash") == f"#{frames[99]['id'][:12]}"
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#range") == "101 to 130"
    for value, wanted in (
        ("kept", lambda frame: not frame["stage"]),
        ("filter: dark", lambda frame: frame["fates"] and frame["fates"][0][0] == "dark"),
    ):
        page.select_option("#fate", value)
        assert count() == sum(bool(wanted(frame)) for frame in frames) > 0
    page.select_option("#fate", "")
    for select, key in (("agent", "agent"), ("task", "kind")):
        value = next(pair[key] for frame in frames for pair in frame["pairs"] if pair["id"])
        page.select_option(f"#{select}", value)
        assert count() == sum(value in {pair[key] for pair in frame["pairs"]} for frame in frames) > 0
        page.select_option(f"#{select}", "")
    page.select_option("#split", "bench")
    assert count() == sum(frame["split"] == "bench" for frame in frames) > 0
    page.select_option("#split", "")
    page.select_option("#pair", "too_short")
    assert count() == 1
    assert (
        page.locator("#frame .pair").last.locator(".task").inner_text() == HOSTILE
    )  # as text; nothing of it is an element
    assert page.locator("#frame .pair .mark").count() == 2  # what is not usable cannot be tagged
    page.select_option("#pair", "")
    page.select_option("#tag", "odd")
    assert count() == 1 and page.input_value("#frame > .mark .note") == HOSTILE
    page.select_option("#tag", "")
    page.fill("#text", "EVIL.example")
    assert count() == 2
    page.fill("#text", "no such words")
    assert count() == 0 and "No frame passes" in page.inner_text("#frame")
    page.fill("#text", "")
    assert count() == FRAMES and page.locator("#frame script, #frame img[src*=evil]").count() == 0


@needed
def test_what_is_marked_on_the_page_is_saved_taken_in_and_left_out(browser: Any, tmp_path: Path) -> None:
    path = build(tmp_path, until="generate", frames=40)
    before = keep_pairs(path, "planner 1", SelectConfig()).kept
    written = write_page(path, tmp_path / "page", MeasureConfig(), limit=100)
    kept = [frame for frame in shown(written)["frames"] if not frame["stage"]]
    context = browser.new_context()
    page = context.new_page()
    page.goto(written.path.as_uri())
    page.select_option("#fate", "kept")
    assert page.is_disabled("#save")
    page.keyboard.press("d")
    page.keyboard.press("ArrowRight")
    page.locator("#frame .pair").first.get_by_role("button", name="drop this pair").click()
    page.locator("#frame .pair").first.get_by_label("note on this pair").fill("</script> two doors")
    page.locator("#frame .pair").nth(1).get_by_label("tag of this pair").fill("lovely")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")
    page.reload()  # it is still known
    assert page.inner_text("#unsaved") == "3 not taken in yet"
    page.select_option("#tag", "drop")
    assert page.inner_text("#count").startswith("2 of")
    with page.expect_download() as saving:
        page.click("#save")
    saving.value.save_as(tmp_path / "tags.jsonl")
    marks = [json.loads(line) for line in (tmp_path / "tags.jsonl").read_text(encoding="utf-8").splitlines()]
    first, second = kept[1]["pairs"]
    assert marks == [
        {"item": kept[0]["id"], "kind": "frame", "tag": "drop", "note": ""},
        {"item": first["id"], "kind": "pair", "tag": "drop", "note": "</script> two doors"},
        {"item": second["id"], "kind": "pair", "tag": "lovely", "note": ""},
    ]
    assert take_in(path, tmp_path / "tags.jsonl").new == 3
    now = keep_pairs(path, "planner 1", SelectConfig())
    assert (now.kept, now.dropped) == (before - 3, {"tagged": 3})

    write_page(path, tmp_path / "page", MeasureConfig(), limit=100)
    page.goto(written.path.as_uri())
    page.reload()
    assert page.inner_text("#unsaved") == "" and page.is_disabled("#save")
    page.select_option("#fate", "generate: tagged")
    page.keyboard.press("d")  # taken back: a line with an empty tag
    with page.expect_download() as saving:
        page.click("#save")
    saving.value.save_as(tmp_path / "tags.jsonl")
    assert take_in(path, tmp_path / "tags.jsonl").forgotten == 1
    assert keep_pairs(path, "planner 1", SelectConfig()).kept == before - 1
    context.close()


def test_the_commands_write_the_page_and_take_tags_in(tmp_path: Path) -> None:
    build(tmp_path, until="generate", frames=12)
    told = json.loads(wmsd("browse", "-w", str(tmp_path), "--limit", "10", "--json", cwd=tmp_path).stdout)
    assert (told["frames"], told["no picture"], told["frames left out"]) == (10, 0, 2)
    page = shown(Written(Path(told["page"]), 0, 0, 0, 0))
    assert told["page"] == str(tmp_path / "browser" / "index.html") and len(page["frames"]) == 10
    mark = {"item": page["frames"][0]["id"], "kind": "frame", "tag": "odd"}
    (tmp_path / "tags.jsonl").write_text(f"{json.dumps(mark)}\nnonsense\n")
    run = wmsd("tags", "tags.jsonl", "-w", str(tmp_path), "--json", cwd=tmp_path)
    assert json.loads(run.stdout) == {
        "new": 1,
        "changed": 0,
        "forgotten": 0,
        "as_before": 0,
        "not_taken": 1,
        "waiting_for_the_selection": 0,
    }
    assert "not taken: line 2 is no mark: Invalid JSON" in run.stderr and run.returncode == 0
    lost = wmsd("tags", "nowhere.jsonl", "-w", str(tmp_path), cwd=tmp_path)
    assert lost.returncode == 2 and "give the file that the page has written" in lost.stderr
