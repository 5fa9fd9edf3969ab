"""The page of an evaluation, as data and in a browser: clips play, filters work, no request leaves the machine."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deployments import pages
from tests.bench.synthetic import EVALUATION, build
from tests.chromium import chromium, needed, opened
from wmsd_core import store
from wmsd_core.bench.evaluation import EvaluateConfig
from wmsd_core.bench.run import EvaluationRun, load
from wmsd_core.bench.scores import count_verdicts, outcomes
from wmsd_core.bench.viewer import Written, write_page

HOSTILE = '[<script>alert("x")</script>]: go to <img src="//evil.example/a.png" onerror=\'x()\'> </script> {{ 7 * 7 }}'
EVALUATED = EVALUATION.model_copy(update={"config": EvaluateConfig(tasks=99)})


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, EvaluationRun, Written]:
    folder = tmp_path_factory.mktemp("viewer")
    path = build(folder, task_text=HOSTILE, frames=40, tasks=99)
    with store.reading(path) as con:
        videos = [o.video_id for o in outcomes(con, EVALUATED)["base"] if o.video]
    rows = [{"video_id": v, "scorer": "PickScore", "score": 20.25 + n, "first": 20.0} for n, v in enumerate(videos)]
    with store.writing(path) as con:
        store.insert(con, "picture_scores", rows)
    count_verdicts(path, EVALUATED)
    with store.reading(path) as con:
        run = load(con)
    return path, run, write_page(path, run, folder / "evaluations" / "one")


def shown(written: Written) -> dict[str, Any]:
    text = written.path.read_text(encoding="utf-8")
    found = re.search(r'<script id="data" type="application/json">(.*?)</script>', text, re.DOTALL)
    assert found
    return json.loads(found[1])


def test_every_item_is_there_with_all_verdicts_and_log_odds(made: tuple[Path, EvaluationRun, Written]) -> None:
    _, run, written = made
    data = shown(written)
    assert written.items == len(run.items) == len(data["items"]) > 20
    assert [item["id"] for item in data["items"]] == [item[:12] for item in run.items]
    for place, arm in enumerate(run.verdicts):
        for name, criterion in enumerate(data["criteria"]):
            clips = [item["clips"][place] for item in data["items"]]
            assert [clip["verdicts"][name] for clip in clips] == run.verdicts[arm][criterion["name"]]
            for clip in clips:
                assert (clip["odds"][name] is None) == bool(clip["missing"][name])
    assert [[clip["pickscore"] for clip in item["clips"]] for item in data["items"]] == [
        [[20.25 + n, 20.0], None, None] for n in range(len(run.items))
    ]
    files = {clip["strip"]["file"] for item in data["items"] for clip in item["clips"]}
    assert all((written.path.parent / file).is_file() for file in files)
    assert written.clips == 3 * len(run.items) and written.lost == 0
    assert HOSTILE in {item["task"] for item in data["items"]}


def test_a_lost_clip_is_told_and_a_clip_is_made_once(made: tuple[Path, EvaluationRun, Written]) -> None:
    path, run, written = made
    clips = sorted((written.path.parent / "clips").iterdir())
    times = [clip.stat().st_mtime_ns for clip in clips]
    video = next((path.parent / "videos").rglob("*.png"))
    next(clip for clip in clips if clip.name.startswith(video.stem[:16])).unlink()
    video.rename(video.with_suffix(".away"))
    again = write_page(path, run, written.path.parent)
    video.with_suffix(".away").rename(video)
    assert again.lost >= 1
    left = sorted((written.path.parent / "clips").iterdir())
    assert [clip.stat().st_mtime_ns for clip in left] == [t for c, t in zip(clips, times, strict=True) if c in left]
    assert write_page(path, run, written.path.parent).lost == 0


def test_the_page_of_an_evaluation_has_its_own_items_when_the_store_has_moved_on(tmp_path: Path) -> None:
    path = build(tmp_path, frames=40, tasks=12)
    few = EVALUATION.model_copy(update={"config": EvaluateConfig(tasks=8)})
    count_verdicts(path, few)
    with store.reading(path) as con:
        run = load(con)
    assert len(run.items) == 8
    with store.writing(path) as con:
        con.execute("DELETE FROM task_pairs WHERE pair_id = ?", [run.items[0]])  # the next draw of 8 has another item
    written = write_page(path, run, tmp_path / "page")
    assert [item["id"] for item in shown(written)["items"]] == [item[:12] for item in run.items[1:]]
    assert (written.items, written.gone, written.lost) == (7, 1, 0)
    with store.writing(path) as con:
        con.execute("DELETE FROM task_pairs WHERE list_contains(?, pair_id)", [run.items])
    with pytest.raises(ValueError, match=r"of the 8 items of evaluation .* none is in the store any more"):
        write_page(path, run, tmp_path / "page")


def test_a_page_of_something_else_is_kept(made: tuple[Path, EvaluationRun, Written], tmp_path: Path) -> None:
    path, run, _ = made
    (tmp_path / "index.html").write_text("<title>my home</title>")
    with pytest.raises(ValueError, match=r"index\.html was written by something else, and would be lost"):
        write_page(path, run, tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["index.html"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@needed
def test_the_page_works_in_a_browser_as_a_file_and_over_http(
    made: tuple[Path, EvaluationRun, Written], browser: Any
) -> None:
    path, _, written = made
    server = pages.serve(path.parent, 0)
    try:
        for address in (
            written.path.as_uri(),
            f"http://127.0.0.1:{server.server_port}/evaluations/one/index.html",
        ):
            with opened(browser, address) as page:
                _filters_work(page, shown(written))
                _clips_play(page)
    finally:
        server.shutdown()


def _filters_work(page: Any, data: dict[str, Any]) -> None:
    def count() -> int:
        return int(page.inner_text("#count").split()[0])

    def verdicts(item: dict[str, Any]) -> list[bool | None]:
        return [None if None in clip["verdicts"] else all(clip["verdicts"]) for clip in item["clips"]]

    items = data["items"]
    assert count() == page.locator("#list li").count() == len(items)
    page.select_option("#verdict", "differ")
    assert count() == sum(len({v for v in verdicts(item) if v is not None}) > 1 for item in items)
    page.select_option("#criterion", "2")
    assert count() == sum(
        len({clip["verdicts"][2] for clip in item["clips"] if clip["verdicts"][2] is not None}) > 1 for item in items
    )
    page.select_option("#verdict", "no 0")
    page.select_option("#criterion", "0")
    assert count() == sum(item["clips"][0]["verdicts"][0] is False for item in items)
    page.select_option("#verdict", "all")
    kind = next(item["kinds"][0] for item in items if item["kinds"][0])
    page.locator("#kinds select").first.select_option(kind)
    assert count() == sum(item["kinds"][0] == kind for item in items)
    page.locator("#kinds select").first.select_option("")
    page.fill("#text", "evil.example")
    assert count() == 1
    assert page.inner_text("#item h2") == HOSTILE  # as text; nothing of it was made an element
    assert page.locator("#item h2 *").count() == 0
    page.fill("#text", "no such words")
    assert count() == 0 and "No item passes" in page.inner_text("#item")
    page.fill("#text", "")
    page.locator("#list button").nth(3).click()
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#item .facts").startswith(f"5 of {len(items)}")
    assert page.evaluate("location.hash") == f"#{items[4]['id']}"
    assert page.locator("#item .clip.base tr").last.inner_text().split() == ["PickScore", "24.25", "(+4.25)"]
    assert page.get_by_text("PickScore").count() == 1  # the others have none


def _clips_play(page: Any) -> None:
    frames = page.locator("#item .frame")
    assert frames.count() == 3
    position = "element => getComputedStyle(element).backgroundPositionX"
    page.get_by_role("button", name="play").click()
    page.wait_for_function(
        "() => getComputedStyle(document.querySelector('#item .frame')).backgroundPositionX !== '0%'", timeout=5000
    )
    page.get_by_role("button", name="first frame").click()
    assert frames.first.evaluate(position) in ("0px", "0%")
    page.get_by_role("button", name="last frame").click()
    assert frames.first.evaluate(position) == "100%"


@needed
def test_a_clip_that_stands_alone_leaves_its_verdicts_in_sight(
    made: tuple[Path, EvaluationRun, Written], tmp_path: Path, browser: Any
) -> None:
    path, run, _ = made
    config = run.evaluation.config.model_copy(update={"arms": ("executor",)})
    alone = run.model_copy(update={"evaluation": run.evaluation.model_copy(update={"config": config})})
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(write_page(path, alone, tmp_path).path.as_uri())
    table = page.locator("#item .verdicts").bounding_box()
    assert page.locator("#item .frame").count() == 1 and table["y"] + table["height"] < 900
    page.close()
