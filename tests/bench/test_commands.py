"""What `wmsd evaluate`, `judge` and `compare` show people, and that programs get it whole."""

import json
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from deployments import options
from deployments.commands.evaluation import bench, briefly, told
from deployments.options import Told, Work, command, show

REMARKS = [f"missing: item {number}: there is no video of it" for number in range(9)]
SUMMARY: dict[str, Any] = {
    "evaluation": {"config": {"tasks": 12, "arms": ["base"]}, "model": "9" * 64, "judge": "a judge", "clips": {}},
    "evaluation_id": "0123456789abcdef",
    "items": 12,
    "averages": {"base": 0.25, "veo": None},
    "failure_rate": 0.5,
    "videos": {
        "base": {"made": 3, "found": 9, "skipped": 0},
        "veo": {
            "expected": 12,
            "found": 3,
            "shapes": {"12 frames at 16 per second": 2, "1 frame at 8 per second": 1},
            "remarks": ["broken: item 11: 1 frame is no video", *REMARKS],
        },
    },
    "judged": {"asked": 6, "unread": 3},
}


def test_an_evaluation_is_told_in_short_and_what_single_clips_have_beside_it(capsys: pytest.CaptureFixture[str]):
    found = told(SUMMARY)
    show("judge", found)
    shown = capsys.readouterr()
    lines = [" ".join(line.split()) for line in shown.out.splitlines()]
    assert lines == [
        "judge",
        "evaluation 0123456789abcdef",
        "judge a judge",
        "items 12",
        "average of base 0.250",
        "average of veo null",
        "videos of base 3 made, 9 found, 0 skipped",
        "videos of veo 12 expected, 3 found",
        "lengths of veo 2 of 12 frames at 16 per second, 1 of 1 frame at 8 per second",
        "failure rate 0.500",
        "judged 6 asked, 3 unread",
    ]
    assert shown.err.splitlines() == [
        "veo: broken: item 11: 1 frame is no video",
        *(f"veo: {remark}" for remark in REMARKS[:5]),
        "veo: missing: 4 more, which --json lists",
    ]
    show("judge", found, as_json=True)
    assert json.loads(capsys.readouterr().out) == SUMMARY


ROW = {
    "arm": "executor",
    "against": "base",
    "measure": "task",
    "points": 12.0,
    "low": -0.5,
    "high": 24.5,
    "p, Holm": 0.0004,
    "pairs": 38,
    "dropped": 2,
    "shown": "yes",
    "not comparable": "the seed of the noise is 0 and 1; the judge is one and another",
}


def test_a_comparison_fits_a_terminal_and_goes_through_a_pipe_whole(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    assert briefly([ROW]) == [
        {
            "arms": "executor - base",
            "measure": "task",
            "points": "+12.0",
            "95 %": "[-0.5, +24.5]",
            "p, Holm": "<.001",
            "pairs": 38,
            "dropped": 2,
            "shown": "yes",
            "comparable": "no",
        }
    ]
    alike = ROW | {"against": "executor", "p, Holm": 0.25, "dropped": 0}
    alike.pop("not comparable")
    assert briefly([alike, alike])[1] == {
        "arms": "executor",
        "measure": "task",
        "points": "+12.0",
        "95 %": "[-0.5, +24.5]",
        "p, Holm": ".250",
        "pairs": 38,
        "shown": "yes",
    }
    pictures = ROW | {"measure": "pickscore", "points": 0.214, "low": None, "high": None, "p, Holm": None}
    assert {"points": "+0.21", "95 %": "[?, ?]", "p, Holm": ""}.items() <= briefly([pictures])[0].items()
    assert [row.get("dropped") for row in briefly([alike, ROW])] == [0, 2]  # a table has one set of columns
    show("compare", Told(briefly([ROW]), [ROW]))  # a pipe
    assert capsys.readouterr().out.rstrip().split("\t")[-1] == ROW["not comparable"]
    monkeypatch.setattr(options, "out", options.Console(force_terminal=True, width=100))
    show("compare", Told(briefly([ROW]), [ROW]))
    assert len(capsys.readouterr().out.splitlines()) == 2  # nothing is folded


def test_a_command_of_a_group_is_not_taken_for_one_of_that_name():
    """`wmsd export` uses no `evaluate.tasks`, `wmsd bench export` does."""
    for group, noted in ((typer.Typer(), True), (typer.Typer(name=bench.info.name), False)):

        @command(group)
        def export(given: Work) -> options.Summary:
            """Nothing."""
            return {"recipe": str(given.recipe)}

        ran = CliRunner().invoke(group, ["--set", "evaluate.tasks=3"])
        assert ran.exit_code == 0
        assert ("does not use evaluate.tasks" in ran.stderr) == noted
