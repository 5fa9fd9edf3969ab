from pathlib import Path

import numpy as np
import pytest

from tests.bench.suites.clips import clip
from tests.bench.tiny import ScriptedJudge
from wmsd_core.bench.suites.dreamgen.recount import question, recount
from wmsd_core.vlm import LogOdds


def judge(good: str) -> ScriptedJudge:
    return ScriptedJudge(lambda asked, video: LogOdds(1.0 if good in asked.text else -1.0))


def test_a_folder_is_counted_as_the_script_counts_it(tmp_path: Path) -> None:
    for number, text in enumerate(("Lift_the_cup..mp4", "Fold,_then_wait.mp4", "Cut_off.mp4")):
        clip(tmp_path / "any_gr1_object" / f"{number}_{text}", number)
    (tmp_path / "any_gr1_object" / "2_Cut_off.mp4").write_bytes(b"no video")
    clip(tmp_path / "any_gr1_object" / "3_Other.MP4", 3)  # not found
    asker = judge("Lift the cup.")
    told = recount(tmp_path, "qwen", asker, question("qwen", zero_shot=False), tmp_path / "out.csv")
    assert (told["found"], told["ones"], told["average"]) == (3, 1, pytest.approx(1 / 3))
    lines = (tmp_path / "out.csv").read_text().splitlines()
    assert lines[0] == "video_path,prompt,prediction"
    assert sorted(line.partition("/any_gr1_object/")[2] for line in lines[1:]) == [
        "0_Lift_the_cup..mp4,Lift the cup.,1",
        "1_Fold,_then_wait.mp4,Fold  then wait,0",  # the comma of the path stays, and breaks the row
        "2_Cut_off.mp4,Cut off,0",
    ]
    assert {video.shape for _, video in asker.asked} == {
        (49, 28, 38, 3)
    }  # .3 of 96 and 128; short videos repeat their last


def test_physics_is_asked_about_the_whole_video_without_a_text(tmp_path: Path) -> None:
    clip(tmp_path / "0_Lift_the_cup.mp4", 0, frames=5, rate=8)
    asker = judge("physically")
    told = recount(tmp_path, "physics", asker, question("physics", zero_shot=False), tmp_path / "out.csv")
    assert told["average"] == 1 and "Lift" not in asker.asked[0][0].text
    assert asker.asked[0][1].shape == (5, 96, 128, 3) and asker.asked[0][0].fps == pytest.approx(8)
    assert (tmp_path / "out.csv").read_text().endswith("0_Lift_the_cup.mp4,0 Lift the cup,1\n")


def test_the_words_can_be_the_scripts_own(tmp_path: Path) -> None:
    clip(tmp_path / "wan" / "0_Lift_{it}.mp4", 0)
    asker = judge("Is Lift {it} done?")
    recount(
        tmp_path, "gpt-4o", asker, question("gpt-4o", zero_shot=False, wording="Is {task} done?"), tmp_path / "out.csv"
    )
    assert [asked.text for asked, _ in asker.asked] == ["Is Lift {it} done?"]
    assert np.array_equal(asker.asked[0][1].shape, (8, 48, 64, 3))
    with pytest.raises(ValueError, match="has no"):
        question("qwen", zero_shot=False, wording="Is it done?")
    assert question("gpt-4o", zero_shot=True).name == "judge_dreamgen_zero_shot"


def test_a_file_of_something_else_is_kept_and_nothing_asked(tmp_path: Path) -> None:
    clip(tmp_path / "videos" / "0_Lift_the_cup.mp4", 0)
    out, asker = tmp_path / "out.csv", judge("Lift the cup")
    for _ in range(2):  # its own file it writes anew
        recount(tmp_path / "videos", "qwen", asker, question("qwen", zero_shot=False), out)
    out.write_text("name,age\n")
    with pytest.raises(ValueError, match=r"out\.csv was written by something else"):
        recount(tmp_path / "videos", "qwen", asker, question("qwen", zero_shot=False), out)
    assert len(asker.asked) == 2 and out.read_text() == "name,age\n"


def test_names_that_end_the_script_are_told(tmp_path: Path) -> None:
    clip(tmp_path / "cup.mp4", 0)
    with pytest.raises(ValueError, match="ends on these names"):
        recount(tmp_path, "qwen", judge(""), question("qwen", zero_shot=False), tmp_path / "out.csv")
    with pytest.raises(ValueError, match="finds no"):
        recount(tmp_path / "none", "qwen", judge(""), question("qwen", zero_shot=False), tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()
