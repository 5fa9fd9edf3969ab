"""Second looks and caps: what is asked, what is stored, and verdicts that change without asking."""

import math
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.frames.pictures import count, left, registered
from tests.worldtasks.scripted import ScriptedVLM, good_answer
from wmsd_core.arrays import Image, Video
from wmsd_core.store import insert, query, reading, writing
from wmsd_core.vlm import LogOdds, Question, prompts
from wmsd_core.worldtasks import GenerateConfig, SelectConfig, generate_pairs, keep_pairs, label_tasks, verify_pairs
from wmsd_core.worldtasks.selection import nearest
from wmsd_core.worldtasks.split_pairs import split_pairs

BOTH = SelectConfig(min_agent_log_odds=0.0, min_open_log_odds=0.0)


class Verifier(ScriptedVLM):
    """Answers by the name of the question and the place of the pair: Man 0, Man 1, ..."""

    def __init__(self, said: dict[tuple[str, int], LogOdds]) -> None:
        super().__init__(lambda call: AssertionError("not used"))
        self.said = said

    def log_odds(self, questions: Sequence[Question], media: Sequence[Image | Video]) -> list[LogOdds]:
        self.questions += questions
        return [self.said.get((q.name, int(q.text.partition("Man ")[2][0])), LogOdds(5.0)) for q in questions]


def written(tmp_path: Path, frames: int = 1, pairs: int = 3) -> tuple[Path, list[str]]:
    store, ids = registered(tmp_path, frames)
    generate_pairs(store, ids, ScriptedVLM(lambda call: good_answer(pairs)), GenerateConfig(count=pairs))
    label_tasks(store)
    return store, ids


def turned_down(store: Path) -> dict[str, str]:
    """Agent -> reason."""
    with reading(store) as con:
        rows = query(con, "SELECT agent, reason FROM rejections JOIN task_pairs ON item = pair_id ORDER BY ALL")
    return {row["agent"]: row["reason"] for row in rows}


def test_nothing_is_asked_or_dropped_as_it_is(tmp_path: Path) -> None:
    store, _ = written(tmp_path)
    assert SelectConfig().questions() == ()
    kept = keep_pairs(store, "scripted/1", SelectConfig())
    assert (kept.kept, kept.dropped, kept.frames_without) == (3, {}, 0)


def test_a_pair_is_kept_whose_agent_is_there_and_whose_goal_is_open(tmp_path: Path) -> None:
    store, ids = written(tmp_path)
    vlm = Verifier({("verify_agent", 0): LogOdds(-2.0), ("verify_open", 1): LogOdds(-3.0)})
    found = verify_pairs(store, ids, vlm, BOTH.questions())
    assert (found.answered, found.before, found.unread) == (6, 0, 0)
    kept = keep_pairs(store, vlm.name, BOTH)
    assert (kept.kept, kept.dropped) == (1, {"agent_absent": 1, "already_satisfied": 1})
    assert turned_down(store) == {"Man 0": "agent_absent", "Man 1": "already_satisfied"}
    assert left(store, "generate") == ids
    with reading(store) as con:
        details = query(con, "SELECT detail FROM rejections ORDER BY reason")
    assert details[0]["detail"] == "log-odds -2.00 that the agent is in the picture, more than 0.00 are needed"


def test_the_questions_hold_agent_and_task_and_their_good_answers(tmp_path: Path) -> None:
    store, ids = written(tmp_path, pairs=1)
    vlm = Verifier({})
    verify_pairs(store, ids, vlm, BOTH.questions())
    agent, open_ = sorted(vlm.questions, key=lambda question: question.name)
    assert "\nMan 0\n" in agent.text and agent.good == "yes"
    assert "\n[Man 0]: Walk to the door.\n" in open_.text and open_.good == "no"


def test_another_threshold_asks_nobody_and_a_value_at_it_is_dropped(tmp_path: Path) -> None:
    store, ids = written(tmp_path)
    vlm = Verifier({("verify_agent", n): LogOdds(float(n)) for n in range(3)})
    verify_pairs(store, ids, vlm, ("verify_agent",))
    for threshold, dropped in ((-1.0, 0), (0.0, 1), (1.0, 2), (1.5, 2)):
        kept = keep_pairs(store, vlm.name, SelectConfig(min_agent_log_odds=threshold))
        assert kept.kept == 3 - dropped
    assert len(vlm.questions) == 3
    assert keep_pairs(store, vlm.name, SelectConfig(min_agent_log_odds=math.e)).frames_without == 1
    assert left(store, "generate") == []
    assert keep_pairs(store, vlm.name, SelectConfig()).kept == 3
    assert left(store, "generate") == ids


def test_an_unread_answer_is_neither_and_asked_again(tmp_path: Path) -> None:
    store, ids = written(tmp_path, frames=2)
    shaky = Verifier({("verify_agent", 1): LogOdds.unread("no logprobs")})
    assert verify_pairs(store, ids, shaky, ("verify_agent",)).unread == 2
    agent = SelectConfig(min_agent_log_odds=0.0)
    assert keep_pairs(store, shaky.name, agent).dropped == {"unread": 2}
    with reading(store) as con:
        assert query(con, "SELECT DISTINCT detail FROM rejections") == [{"detail": "no logprobs"}]
    again = Verifier({})
    assert verify_pairs(store, ids, again, ("verify_agent",)).before == 4
    assert len(again.questions) == 2
    assert keep_pairs(store, again.name, agent).dropped == {}
    assert keep_pairs(store, again.name, BOTH).dropped == {"unread": 6}  # the other question was never asked
    assert keep_pairs(store, "another model", agent).dropped == {"unread": 6}


def test_a_picture_that_is_gone_leaves_its_pairs_unread(tmp_path: Path) -> None:
    store, ids = written(tmp_path)
    (tmp_path / "images" / "000.png").unlink()
    vlm = Verifier({})
    assert verify_pairs(store, ids, vlm, ("verify_agent",)).unread == 3
    assert vlm.questions == []


def test_new_pairs_have_no_old_answers(tmp_path: Path) -> None:
    store, ids = written(tmp_path)
    vlm = Verifier({("verify_agent", 0): LogOdds(-2.0)})
    verify_pairs(store, ids, vlm, ("verify_agent",))
    keep_pairs(store, vlm.name, SelectConfig(min_agent_log_odds=0.0))
    later = GenerateConfig(count=3, seed=1)
    generate_pairs(store, ids, ScriptedVLM(lambda call: good_answer(3)), later)
    assert (count(store, "verifications"), turned_down(store)) == (0, {})


def test_a_cap_keeps_the_same_pairs_whatever_their_order_and_needs_no_model(tmp_path: Path) -> None:
    store, _ = written(tmp_path, frames=4)
    # Twelve pairs, all of a man who walks. Of the cell, ceil(.2 * 12) = 3 are kept: those of the smallest ids.
    kept = keep_pairs(store, "scripted/1", SelectConfig(max_cell_share=0.2))
    assert (kept.kept, kept.dropped) == (3, {"over_quota": 9})
    with reading(store) as con:
        ids = [row["pair_id"] for row in query(con, "SELECT pair_id FROM task_pairs ORDER BY pair_id")]
        usable = [row["pair_id"] for row in query(con, "SELECT pair_id FROM usable_pairs ORDER BY pair_id")]
    assert usable == ids[:3]
    assert keep_pairs(store, "scripted/1", SelectConfig(max_cell_share=0.5)).kept == 6
    assert keep_pairs(store, "scripted/1", SelectConfig()).kept == 12


def test_a_cap_is_of_each_cell_and_of_the_pairs_that_pass(tmp_path: Path) -> None:
    store, ids = written(tmp_path, frames=2, pairs=5)
    with writing(store) as con:
        con.execute(
            "UPDATE taxonomy SET task_type = 'ui' WHERE pair_id IN (SELECT pair_id FROM task_pairs WHERE position = 0)"
        )
    vlm = Verifier({("verify_agent", 4): LogOdds(-1.0)})
    verify_pairs(store, ids, vlm, ("verify_agent",))
    kept = keep_pairs(store, vlm.name, SelectConfig(min_agent_log_odds=0.0, max_cell_share=0.5))
    # Eight pass: two of ui, six of navigation. ceil(.5 * 8) = 4.
    assert (kept.kept, kept.dropped) == (6, {"agent_absent": 2, "over_quota": 2})


def test_pairs_that_were_turned_down_are_no_examples(tmp_path: Path) -> None:
    store, ids = written(tmp_path)
    with writing(store) as con:
        insert(con, "splits", [{"frame_id": ids[0], "split": "train", "config_hash": ""}])
    vlm = Verifier({("verify_agent", 0): LogOdds(-2.0)})
    verify_pairs(store, ids, vlm, ("verify_agent",))
    keep_pairs(store, vlm.name, SelectConfig(min_agent_log_odds=0.0))
    with reading(store) as con:
        assert [pair.task for pair in split_pairs(con, "train")] == [f"[Man {n}]: Walk to the door." for n in (1, 2)]


def test_a_server_that_dies_while_verifying_loses_the_call_in_flight_only(tmp_path: Path) -> None:
    store, ids = written(tmp_path, frames=6, pairs=1)

    class Dying(Verifier):
        def log_odds(self, questions: Sequence[Question], media: Sequence[Image | Video]) -> list[LogOdds]:
            if len(self.questions) == 4:
                raise ConnectionError("gone")
            return super().log_odds(questions, media)

    with pytest.raises(ConnectionError):
        verify_pairs(store, ids, Dying({}), ("verify_agent",))
    assert count(store, "verifications") == 4
    assert verify_pairs(store, ids, Verifier({}), ("verify_agent",)).before == 4
    with reading(store) as con:
        versions = query(con, "SELECT DISTINCT question_version FROM verifications")
    assert versions == [{"question_version": prompts.version("verify_agent")}]


def test_the_nearest_thresholds_keep_a_pair_where_none_was_kept(tmp_path: Path) -> None:
    store, ids = written(tmp_path, frames=2)
    said = {("verify_agent", 0): LogOdds(1.0), ("verify_agent", 1): LogOdds(2.5), ("verify_open", 1): LogOdds(-1.0)}
    vlm = Verifier(said | {("verify_agent", 2): LogOdds(math.inf)})
    verify_pairs(store, ids, vlm, BOTH.questions())
    harsh = SelectConfig(min_agent_log_odds=4.0, min_open_log_odds=4.0)
    two = harsh.model_copy(update={"min_open_log_odds": 6.0})
    assert keep_pairs(store, vlm.name, two).kept == 0
    assert nearest(store, vlm.name, two) == {"min_agent_log_odds": 1.0, "min_open_log_odds": 5.0}
    assert keep_pairs(store, vlm.name, SelectConfig(min_agent_log_odds=0.99, min_open_log_odds=4.99)).kept > 0
    one = SelectConfig(min_agent_log_odds=3.0)
    assert nearest(store, vlm.name, one) == {"min_agent_log_odds": 2.5}
    assert nearest(store, vlm.name, SelectConfig()) == {}
