from pathlib import Path

from wmsd_core.bench.benchmark import Item
from wmsd_core.bench.comparison import Comparison, compare_arms
from wmsd_core.bench.report.headline import in_words, loses, lost
from wmsd_core.bench.scores import Outcome
from wmsd_core.frames import Frame

ITEMS = 40


def found(arm: str, verdicts: list[bool | None]) -> list[Outcome]:
    """One criterion, a picture for each item."""
    return [
        Outcome(Item(str(i), Frame(str(i), Path(), "PNG", 1, 1), "go"), arm, "", {"task": verdict}, {"task": None})
        for i, verdict in enumerate(verdicts)
    ]


def compared(executor: list[bool | None]) -> Comparison:
    by_arm = {"base": found("base", [False] * ITEMS), "executor": found("executor", executor)}
    return compare_arms(by_arm, ["task"])[0]


def test_a_difference_that_missing_verdicts_could_undo_is_not_shown():
    few = compared(
        [True] * 8 + [False] * 20 + [None] * 12
    )  # what is missing may be failures of the base's kind: still 8 to 0
    assert few.p_holm < 0.05 and few.valid == 0.7 and few.worst < 0.05 and few.shown
    theirs = [None] * 12 + [False] * 28
    mine = [True] * 20 + [False] * 20
    by_arm = {"base": found("base", theirs), "executor": found("executor", mine)}
    wins_at_most_eight = compare_arms(by_arm, ["task"])[0]
    assert wins_at_most_eight.shown and (wins_at_most_eight.wins, wins_at_most_eight.dropped) == (8, 12)
    by_arm["executor"] = found("executor", [False] * 12 + mine[12:])  # had the base all 12, it would be better
    undone = compare_arms(by_arm, ["task"])[0]
    assert undone.p_holm < 0.05 and undone.worst == 1 and undone.undone and not undone.shown
    assert "could undo" in in_words(undone) and "70 %" in in_words(undone)
    assert "better" in in_words(wins_at_most_eight) and not loses(wins_at_most_eight) and not loses(undone)


def test_with_95_per_cent_valid_a_difference_stands_as_it_is():
    nearly = compared([True] * 6 + [False] * 32 + [None] * 2)
    assert nearly.valid == 0.95 and nearly.p_holm < 0.05 and nearly.shown
    by_arm = {
        "base": found("base", [None] * 3 + [False] * 37),
        "executor": found("executor", [False] * 34 + [True] * 6),
    }
    below = compare_arms(by_arm, ["task"])[0]
    assert below.valid == 0.925 and below.p_holm < 0.05 and below.undone  # 6 to 3 is no difference


def test_what_is_worse_is_held_to_the_same():
    by_arm = {
        "base": found("base", [True] * 30 + [False] * 10),
        "executor": found("executor", [False] * 28 + [None] * 12),
    }
    worse = compare_arms(by_arm, ["task"])[0]
    assert worse.difference < 0 and worse.shown  # 10 wins at most, and 28 losses
    assert loses(worse)
    assert lost(worse, "Task").startswith(
        f"On task alone it is worse than the Base, by {-100 * worse.difference:.1f} points ("
    )
    by_arm["base"] = found("base", [True] * 10 + [False] * 30)
    assert compare_arms(by_arm, ["task"])[0].undone
