import base64
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.bench.synthetic import DEFECTS, EVALUATION, build
from wmsd_core import store
from wmsd_core.bench.evaluation import EvaluateConfig
from wmsd_core.bench.report import write_report
from wmsd_core.bench.report.funnel import funnel, sources
from wmsd_core.bench.report.gallery import gallery
from wmsd_core.bench.report.headline import p_text
from wmsd_core.bench.report.samples import Rejected, samples
from wmsd_core.bench.scores import outcomes
from wmsd_core.frames import clips
from wmsd_core.pages import charts, drawing, drawings
from wmsd_core.pages.charts import Limit, Series
from wmsd_core.pages.drawing import running_mean
from wmsd_core.pages.images import CLIP_FRAMES, CLIP_WIDTH, strip, thumbnail
from wmsd_core.store.funnel import reject

HOSTILE = '[<script>alert("x")</script>]: go to <img src="//evil.example/a.png" onerror=\'x()\'> {{ 7 * 7 }}'
VOID = {"meta", "img", "br", "link", "hr", "input"}


class Page(HTMLParser):
    """What a browser would see: tags with attributes, the text, and whether every tag is closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("full")
    path = build(folder, task_text=HOSTILE)
    with store.writing(path) as con:  # hostile in every other place that a page takes text from
        frame = store.query(con, "SELECT frame_id, path FROM frames ORDER BY ALL LIMIT 1")[0]
        refused = {
            "stage": "filter",
            "item": frame["frame_id"],
            "reason": HOSTILE,
            "detail": HOSTILE,
            "path": frame["path"],
        }
        reject(con, [refused | {"config_hash": HOSTILE}])
        con.execute("UPDATE taxonomy SET task_type = ?, agent_type = ? WHERE task_type = 'navigation'", [HOSTILE] * 2)
        con.execute("UPDATE training_steps SET metric = ? WHERE metric = 'reward/task'", [HOSTILE])
        con.execute("UPDATE training_runs SET config = json_object('arm', ?)", [HOSTILE])
        con.execute(
            "UPDATE stage_runs SET config = json_object('x', ?), code_version = ? WHERE stage = 'rank'", [HOSTILE] * 2
        )
        con.execute("UPDATE screenings SET model = ?", [HOSTILE])
        con.execute(
            "UPDATE frames SET source = ?, licence = ? WHERE frame_id = ?", [HOSTILE, HOSTILE, frame["frame_id"]]
        )
        con.execute("UPDATE measurements SET bars = 0, overlay = 0.01")
        fault = {"frame_id": "x", "task": HOSTILE, "solution": HOSTILE, "reason": HOSTILE, "detail": HOSTILE}
        by = {"model": HOSTILE, "prompt_version": HOSTILE, "config_hash": HOSTILE}
        store.insert(con, "rejected_pairs", [fault | by | {"position": position} for position in range(3)])
    written = write_report(path, folder / "report.html", defects=DEFECTS)
    assert written.missing == []
    return path, written.path.read_text(encoding="utf-8")


def test_a_full_store_fills_every_section(full: tuple[Path, str]):
    page = Page(full[1])
    assert "Not in this store yet" not in page.text
    sections = [attributes["id"] for tag, attributes in page.tags if tag == "section"]
    assert sections == ["result", "funnel", "measurements", "tasks", "training", "clips", "breakdown", "provenance"]
    anchors = {attributes["href"] for tag, attributes in page.tags if tag == "a"}
    assert anchors == {f"#{name}" for name in sections}
    assert sum(tag == "svg" for tag, _ in page.tags) == 9 + 12
    assert sum("frame" in (attributes.get("class") or "").split() for _, attributes in page.tags) > 3
    assert "undecodable" in page.text
    assert "Precision" in page.text


def test_pairs_that_were_turned_down_are_no_tasks_and_say_why(tmp_path: Path):
    path = build(tmp_path, until="generate")
    with store.reading(path) as con:
        before = samples(con)
    assert before and before.faults == []
    turned_down = before.shown[0].task
    with store.writing(path) as con:
        sql = "SELECT pair_id, frame_id, position, solution, model, prompt_version, config_hash FROM task_pairs WHERE task = ?"
        rows = store.query(con, sql, [turned_down])
        for row in rows:
            of = {"reason": "steps_leaked", "detail": "it tells how"}
            refused = {"stage": "generate", "item": row.pop("pair_id"), **of, "path": "", "config_hash": ""}
            reject(con, [refused])
            store.insert(con, "rejected_pairs", [row | of | {"task": turned_down}])
        after = samples(con)
        kinds = store.query(con, "SELECT count(*) AS n FROM usable_pairs JOIN taxonomy USING (pair_id)")[0]["n"]
    assert after and turned_down not in {sample.task for sample in after.shown}
    assert sum(before.pairs.values()) - sum(after.pairs.values()) == len(rows)
    assert sum(share.train + share.bench for share in after.by_task) == kinds
    assert after.faults == [Rejected("steps_leaked", len(rows), turned_down, "it tells how")]


def test_a_stage_is_charged_with_what_reaches_it_and_pairs_are_told_from_frames(tmp_path: Path):
    path = build(tmp_path, until="generate")
    with store.writing(path) as con:
        before = {step.stage: {reason.reason: reason.count for reason in step.reasons} for step in funnel(con)}
        assert before["screen"]["unsuitable"] > 0 and before["generate"] == {}
        con.execute("""
            INSERT INTO rejections SELECT 'generate', pair_id, 'agent_absent', '', path, ''
            FROM task_pairs JOIN frames USING (frame_id) WHERE position = 0
        """)
        after = {step.stage: {reason.reason: reason.count for reason in step.reasons} for step in funnel(con)}
        pairs = con.execute("SELECT count(*) FROM task_pairs WHERE position = 0").fetchall()[0][0]
        assert after == before | {"generate": {"agent_absent (pairs)": pairs}}
        # A new threshold of the filter, and nothing after it has run since.
        con.execute("INSERT INTO rejections SELECT 'filter', frame_id, 'moved', '', path, '' FROM frames")
        stale = {step.stage: {reason.reason: reason.count for reason in step.reasons} for step in funnel(con)}
    assert stale["filter"]["moved"] > 0 and stale["screen"] == stale["generate"] == {}


def test_sources_are_told_where_there_are_several(full: tuple[Path, str], tmp_path: Path):
    assert "Where the frames come from" in Page(full[1]).text
    path = build(tmp_path, until="filter")
    text = write_report(path, tmp_path / "report.html").path.read_text(encoding="utf-8")
    assert "Where the frames come from" not in text
    with store.writing(path) as con:
        con.execute("UPDATE frames SET licence = 'CC0' WHERE frame_id IN (SELECT min(frame_id) FROM frames)")
        found = sources(con)
        left = con.execute("SELECT count(*) FROM frames WHERE frame_id NOT IN (SELECT item FROM rejections)").fetchall()
    assert [source.licence for source in found] == ["", "CC0"] and found[1].frames == 1
    assert found[0].left + found[1].left == left[0][0] < found[0].frames


def test_a_large_photograph_becomes_a_small_picture_with_its_colours(tmp_path: Path):
    picture = np.zeros((720, 1280, 3), np.uint8)
    picture[:, :640] = (200, 60, 20)
    Image.fromarray(picture).save(tmp_path / "a.jpg")
    uri = thumbnail(tmp_path / "a.jpg")
    assert uri
    with Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))) as small:
        found = np.asarray(small.convert("RGB")).astype(int)
    assert found.shape == (90, 160, 3)
    assert np.abs(found[45, 40] - (200, 60, 20)).max() < 12 and found[45, 120].max() < 12


def test_every_number_of_the_table_is_in_the_page(full: tuple[Path, str]):
    path, text = full
    with store.reading(path) as con:
        rows = store.query(con, "SELECT * FROM evaluations")
    page = re.sub(r"\s+", " ", Page(text).text)
    for row in rows:
        successes = f"{row['successes']:.1f}" if row["criterion"] == "average" else f"{row['successes']:.0f}"
        assert f"{100 * row['score']:.1f}" in page
        counts = f"{successes} / {row['valid']}, {100 * (1 - row['valid'] / row['expected']):.1f} % unread"
        assert re.search(rf"{re.escape(counts)}, [1-9]\d* pictures", page)


def test_nothing_is_loaded_from_anywhere(full: tuple[Path, str]):
    text = full[1]
    page = Page(text)
    for _, attributes in page.tags:
        for name in ("src", "href", "xlink:href", "action", "data", "srcset"):
            assert (attributes.get(name) or "#").startswith(("#", "data:image/"))
    assert re.findall(r"(?:https?|wss?|file):", text) == []
    assert "@import" not in text
    assert re.findall(r"url\((?!data:image/|#)", text) == []


def test_text_of_the_store_stays_text(full: tuple[Path, str]):
    page = Page(full[1])
    assert page.text.count(HOSTILE) > 12
    assert sum(tag == "script" for tag, _ in page.tags) == 1
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert all((attributes["src"] or "").startswith("data:") for tag, attributes in page.tags if tag == "img")


@pytest.mark.parametrize(
    ("until", "missing"),
    [
        ("frames", ["filter", "generate", "train", "evaluate"]),
        ("filter", ["generate", "train", "evaluate"]),
        ("generate", ["train", "evaluate"]),
        ("train", ["evaluate"]),
    ],
)
def test_a_partial_store_shows_what_there_is_and_says_what_is_missing(tmp_path: Path, until, missing: list[str]):
    path = build(tmp_path, until=until, frames=12)
    written = write_report(path, tmp_path / "report.html")
    page = Page(written.path.read_text(encoding="utf-8"))
    assert written.missing == missing
    for stage in missing:
        assert f"The {stage} stage writes it." in page.text
    assert "12 of 13" in re.sub(r"\s+", " ", page.text)


def test_an_empty_store_is_a_page_too(tmp_path: Path):
    with store.writing(tmp_path / "wmsd.duckdb"):
        pass
    written = write_report(tmp_path / "wmsd.duckdb", tmp_path / "out" / "report.html")
    assert written.missing == ["frames", "filter", "generate", "train", "evaluate"]
    assert written.bytes == written.path.stat().st_size < 60_000
    assert [file.name for file in written.path.parent.iterdir()] == ["report.html"]
    Page(written.path.read_text(encoding="utf-8"))


def test_no_store_is_an_error_that_says_so(tmp_path: Path):
    with pytest.raises(store.StoreError, match="no store"):
        write_report(tmp_path / "none.duckdb", tmp_path / "report.html")


def test_an_evaluation_can_be_named_and_a_stale_or_small_one_is_pointed_out(full: tuple[Path, str], tmp_path: Path):
    other = EVALUATION.model_copy(update={"config": EvaluateConfig(tasks=500), "adapter": "unheard of"})
    text = write_report(full[0], tmp_path / "report.html", evaluation=other).path.read_text(encoding="utf-8")
    page = Page(text)
    assert "500 tasks were asked for" in page.text
    assert "the intervals are wide" in page.text
    assert "run the evaluate stage again" in page.text
    assert "no video" not in page.text  # nothing of this adapter was judged, so that there is no failure to show


def test_failures_are_ordered_by_what_was_lost(full: tuple[Path, str]):
    with store.reading(full[0]) as con:
        by_arm = outcomes(con, EVALUATION.model_copy(update={"config": EvaluateConfig(tasks=24)}))
    shown = gallery(by_arm, seed=0)
    points = {
        arm: {outcome.item.task + str(outcome.item.seed(0)): outcome.points("average") or 0 for outcome in found}
        for arm, found in by_arm.items()
    }
    keys = [row.task + str(row.seed) for row in shown.failures]
    lost = [points["demonstrator"][key] - points["executor"][key] for key in keys]
    assert lost == sorted(lost, reverse=True)
    assert len(keys) == min(12, shown.failed) > 1
    assert all(points["executor"][row.task + str(row.seed)] == 3 for row in shown.wins)
    assert all(points["base"][row.task + str(row.seed)] < 3 for row in shown.wins)
    assert all(len(row.clips) == 3 and all(clip.strip for clip in row.clips) for row in shown.wins)


def test_a_small_clip_is_shown_pixel_by_pixel_and_a_large_one_reduced(tmp_path: Path):
    rng = np.random.default_rng(0)
    small = strip(clips.write(rng.integers(0, 256, (7, 20, 20, 3), dtype=np.uint8), tmp_path)[0])
    assert small is not None
    assert (small.frames, small.width, small.height, small.pixelated) == (7, 20, 20, True)
    assert small.uri.startswith("data:image/png;base64,")
    large = strip(clips.write(rng.integers(0, 256, (40, 100, 480, 3), dtype=np.uint8), tmp_path)[0])
    assert large is not None
    assert (large.frames, large.width, large.height, large.pixelated) == (CLIP_FRAMES, CLIP_WIDTH, 50, False)
    assert strip(tmp_path / "gone.png") is None
    (tmp_path / "broken.png").write_bytes(b"\x89PNG broken")
    assert thumbnail(tmp_path / "broken.png") is None


def test_running_mean_by_hand():
    assert running_mean(np.array([1.0, 2, 6, np.nan]), 3).tolist() == [1.5, 3, 4, 6]
    assert running_mean(np.array([1.0, 5]), 0).tolist() == [1, 5]


def test_p_values_are_never_shown_as_0():
    shown = [p_text(p).replace("\u00a0", " ") for p in (0.0, 0.0004, 0.0171, 0.058, 0.34, 1.0)]
    assert shown == ["p < 0.001", "p < 0.001", "p = 0.017", "p = 0.058", "p = 0.34", "p = 1"]


def evaluated(path: Path, sql: str) -> str:
    """The text of the page of a store after its judgments were changed."""
    with store.writing(path) as con:
        con.execute(sql)
    text = write_report(path, path.parent / "changed.html").path.read_text(encoding="utf-8")
    return re.sub(r"\s+", " ", Page(text).text)


def test_sentences_follow_the_data(tmp_path: Path):
    path = build(tmp_path, frames=150, tasks=80)
    all_yes = evaluated(path, "UPDATE judgments SET verdict = true WHERE criterion = 'agent'")
    assert "Agent: every verdict is “fulfilled”; the judge did not tell videos apart." in all_yes
    # The Executor has everything right and the base four in ten; then two thirds of the Executor's verdicts go missing.
    of = "video_id IN (SELECT video_id FROM videos WHERE arm = '{}')"
    clear = f"UPDATE judgments SET verdict = {of.format('executor')} OR hash(video_id) % 10 < 4"
    assert "It is better than the Base by" in evaluated(path, clear)
    lost = f"UPDATE judgments SET verdict = NULL WHERE {of.format('executor')} AND hash(video_id) % 3 > 0"
    assert "Whether it is better than the Base is not shown" in evaluated(path, lost)
    assert "there is no score to show" in evaluated(path, "UPDATE judgments SET verdict = NULL")


def test_missing_judgments_are_listed_with_their_reasons(tmp_path: Path):
    path = build(tmp_path)
    with store.writing(path) as con:
        con.execute("UPDATE judgments SET verdict = NULL, log_odds = NULL, reason = 'the model refused: no weapons'")
    page = Page(write_report(path, tmp_path / "report.html").path.read_text(encoding="utf-8"))
    assert "Missing judgments" in page.text
    assert page.text.count("the model refused: no weapons") == 3


def drawn(x: float = 1.0, label: str = "loss", limit: float = 2.0) -> tuple[str, str]:
    lines = charts.lines("Loss", [Series("", [1, 2], [x, 0.5], 0)], x_label="step", y_label=label)
    histogram = charts.histogram("Sharpness", [x, 3.0], [Limit(limit, "at least", True)], x_label="variance", log=False)
    return lines.svg, histogram.svg


def test_a_chart_is_drawn_again_only_if_what_it_shows_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    times: list[str] = []
    for kind in ("lines", "histogram"):
        real = getattr(drawing, kind)
        monkeypatch.setattr(
            drawing, kind, lambda *args, real=real, kind=kind: (times.append(kind), real(*args))[1], raising=True
        )

    def kept(**changed: object) -> list[str]:
        times.clear()
        with charts.kept(tmp_path):
            assert all(svg.startswith("<svg") and "</svg>" in svg for svg in drawn(**changed))  # pyright: ignore[reportArgumentType]
        return list(times)

    assert kept() == ["lines", "histogram"]
    assert kept() == []
    assert kept(limit=2.5) == ["histogram"]
    assert kept(limit=2.5, label="nats") == ["lines"]
    assert kept(limit=2.5, label="nats", x=1.0 + 2**-52) == ["lines", "histogram"]
    assert kept() == ["lines", "histogram"], "what a page does not show is not kept for the next"
    first, _ = sorted(tmp_path.glob("*.svg"))
    first.write_text(first.read_text(encoding="utf-8").replace("<svg", "<svg onload='x()'"), encoding="utf-8")
    assert len(kept()) == 1, "one that was damaged"
    assert kept() == []


def test_other_code_draws_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with charts.kept(tmp_path):
        drawn()
    before = {path.name for path in tmp_path.glob("*.svg")}
    monkeypatch.setattr(drawings, "_program", lambda: ["another"])
    with charts.kept(tmp_path):
        drawn()
    assert before.isdisjoint(path.name for path in tmp_path.glob("*.svg"))


def test_a_report_with_kept_charts_is_the_same(tmp_path: Path) -> None:
    path = build(tmp_path)
    pages = [
        write_report(path, tmp_path / f"{n}.html", drawings=tmp_path / "charts").path.read_text(encoding="utf-8")
        for n in range(2)
    ]
    assert pages[0] == pages[1] and pages[0].count("<svg") > 10
