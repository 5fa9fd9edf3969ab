"""What a generation has come to: counts, refusal rates by kind, and the achieved mixture."""

from pathlib import Path

import pytest

from tests.frames.pictures import registered
from tests.worldtasks.scripted import ScriptedVLM, good_answer
from wmsd_core.store import reading, writing
from wmsd_core.vlm import Refused
from wmsd_core.worldtasks import GenerateConfig, Mix, TaskPairs, generate_pairs, label_tasks
from wmsd_core.worldtasks.generation import generation
from wmsd_core.worldtasks.kinds import Cell
from wmsd_core.worldtasks.overview import Overview, achieved, overview, refusal_rates, rejected_examples, some_pairs

# The rules take "Man 0" for no noun that they know.
WALKERS = Mix(agents={"other": 1}, tasks={"navigation": 1, "combat": 1})
CONFIG = GenerateConfig(count=3, attempts=1, wishes=1, mix=WALKERS)


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """Twelve frames: the model refuses what it is asked to let fight, and cannot be read for one frame."""
    store, ids = registered(tmp_path, 12)
    vlm = ScriptedVLM(lambda call: good_answer())

    def answer(call: int) -> TaskPairs | ValueError:  # refusals by turns in the form for them, and outside it
        if call == 11:
            return ValueError("no JSON")
        fights = "combat" in vlm.messages[-1][1].text.split("Where the picture allows it")[1]
        bad = good_answer(3)
        bad.pairs[2].task = "Walk to the door."
        refusal = Refused("fighting") if call % 2 else TaskPairs(refused=True, reason="fighting")
        return refusal if fights else bad

    vlm.script = answer
    generate_pairs(store, ids, vlm, CONFIG)
    label_tasks(store)
    return store


def test_counts_and_refusal_rates(written: Path) -> None:
    made_by = generation("scripted/1", CONFIG)
    with writing(written) as con:
        con.execute("UPDATE frames SET source = 'games' WHERE frame_id IN (SELECT item FROM rejections)")
        found, rates = overview(con, made_by), refusal_rates(con, made_by)
        wished = dict(con.execute("SELECT task_type, count(*) FROM wishes GROUP BY ALL").fetchall())
    assert wished["combat"] + wished["navigation"] == 11 and min(wished.values()) > 1
    assert (found.with_pairs, found.refused, found.unanswered, found.without_pairs) == (
        *(wished["navigation"], wished["combat"], 1, 0),
    )
    assert found.came == 12
    assert (found.pairs, found.rejected) == (2 * wished["navigation"], {"form": wished["navigation"]})
    by = {(rate.sort, Path(rate.value).name): (rate.asked, rate.refused, rate.rate) for rate in rates}
    assert by == {
        ("source", "games"): (wished["combat"], wished["combat"], 1.0),
        ("source", "images"): (wished["navigation"], 0, 0.0),
        ("agent_type", "other"): (11, wished["combat"], wished["combat"] / 11),
        ("task_type", "combat"): (wished["combat"], wished["combat"], 1.0),
        ("task_type", "navigation"): (wished["navigation"], 0, 0.0),
    }
    with reading(written) as con:
        assert overview(con, "another generation").with_pairs == 0 and refusal_rates(con, "another generation") == []


def test_the_achieved_mixture_beside_the_wished(written: Path) -> None:
    with reading(written) as con:
        cells = {found.cell: found for found in achieved(con, WALKERS)}
        walked = len(con.execute("SELECT DISTINCT frame_id FROM task_pairs").fetchall())  # each has two pairs
    assert set(cells) == {Cell("other", "navigation"), Cell("other", "combat")}
    walks, fights = cells[Cell("other", "navigation")], cells[Cell("other", "combat")]
    assert (walks.wished_share, walks.pairs, walks.share) == (0.5, 2 * walked, 1.0)
    assert (walks.wished, walks.granted) == (walked, walked)
    assert (fights.wished_share, fights.pairs, fights.share, fights.wished, fights.granted) == (0.5, 0, 0.0, 0, 0)
    with writing(written) as con:
        con.execute("UPDATE taxonomy SET task_type = 'ui'")
        cells = {found.cell: found for found in achieved(con, WALKERS)}
    assert (cells[Cell("other", "ui")].wished_share, cells[Cell("other", "ui")].pairs) == (0.0, 2 * walked)
    assert cells[Cell("other", "navigation")].granted == 0


def test_what_was_written_of_frames_that_are_dropped_now_counts_nowhere(written: Path) -> None:
    made_by = generation("scripted/1", CONFIG)
    with writing(written) as con:
        before = overview(con, made_by)
        con.execute("INSERT INTO rejections SELECT 'filter', frame_id, 'dark', '', path, '' FROM frames")
        assert overview(con, made_by) == Overview(0, 0, 0, 0, 0, 0, {})
        assert rejected_examples(con, made_by) == some_pairs(con, 9) == []
        assert {(cell.pairs, cell.wished, cell.granted) for cell in achieved(con, WALKERS)} == {(0, 0, 0)}
        con.execute("DELETE FROM rejections WHERE stage = 'filter'")
        turn_down = "INSERT INTO rejections SELECT 'generate', pair_id, 'agent_absent', '', '', '' FROM task_pairs"
        con.execute(f"{turn_down} WHERE position = 0")
        assert overview(con, made_by) == before and before.pairs > 0
        (walks,) = (cell for cell in achieved(con, WALKERS) if cell.cell.task_type == "navigation")
        assert (walks.pairs, walks.granted) == (before.pairs // 2, before.with_pairs)
        assert len(some_pairs(con, 99)) == before.pairs // 2
        assert [row["pairs"] for row in rejected_examples(con, made_by)] == [before.rejected["form"]]
        con.execute(f"{turn_down} WHERE position > 0")
        assert {(cell.pairs, cell.granted) for cell in achieved(con, WALKERS)} == {(0, 0)}
