from pathlib import Path

import numpy as np
import pytest

from wmsd_core.bench.suites.dreamgen.official import (
    Row,
    average,
    prediction,
    run,
    shown,
    table,
    texts,
    videos,
    zero_shot,
)

NAME = "3_Use_the_left_hand_to_lift,_then_hold_the_cup..mp4"
TEXT = "Use the left hand to lift, then hold the cup."


def test_the_plain_rule_takes_the_text_from_the_name() -> None:
    assert texts([f"/videos/wan/{NAME}"], "qwen") == [TEXT]
    assert texts([f"/videos/ours/{NAME}"], "qwen") == [TEXT]
    assert texts([f"/videos/cosmos/{NAME}", f"/videos/wan/{NAME}"], "gpt-4o") == [TEXT, TEXT]


def test_quirk_1_qwen_never_uses_zeroshot() -> None:
    assert [zero_shot("qwen", argument) for argument in (None, "true", "false")] == [False] * 3


def test_quirk_2_gpt_4o_takes_false_for_true() -> None:
    assert [zero_shot("gpt-4o", argument) for argument in (None, "true", "false", "")] == [False, True, True, False]


def test_quirk_3_a_word_anywhere_in_the_path_changes_the_text() -> None:
    assert texts([f"/home/hunyuan_user/ours/{NAME}"], "qwen") == ["to lift, then hold the cup."]


def test_quirk_3_gpt_4o_keeps_the_text_before_or_ends() -> None:
    assert texts([f"/videos/wan/{NAME}", "/videos/ours/4_Another.mp4"], "gpt-4o") == [TEXT, TEXT]
    with pytest.raises(NameError):
        texts(["/videos/ours/4_Another.mp4"], "gpt-4o")


def test_quirk_4_cogvideo_takes_it_from_a_part_of_the_path() -> None:
    assert texts(["/videos/cogvideo/3_Lift_the_cup/run/out.mp4"], "qwen") == ["Lift the cup"]
    assert texts(["/1/2/3/4/5/6/cogvideo_zeroshot/3_Lift_it.mp4"], "qwen") == ["Lift it"]
    assert texts(["/1/2/3/4/5/6/7/cogvideo_zeroshot/3_Lift_it.mp4"], "qwen") == ["zeroshot/3 Lift it"]


def test_quirk_5_a_name_without_an_underscore_ends_the_run() -> None:
    with pytest.raises(IndexError):
        texts([f"/videos/wan/{NAME}", "/videos/wan/film.mp4"], "qwen")


def test_quirk_6_physics_writes_the_number_down_and_needs_no_underscore() -> None:
    assert texts([f"/videos/hunyuan/{NAME}", "/videos/film.mp4"], "physics") == [f"3 {TEXT}", "film"]


def test_quirk_7_what_is_unreadable_is_0_and_what_is_missing_does_not_count(tmp_path: Path) -> None:
    replies = ["1", " 1.", "10", "0", "Yes, 1", "", None]
    assert [prediction(reply) for reply in replies] == [1, 1, 1, 0, 0, 0, 0]
    for name in ("0_a.mp4", "1_b.mp4", "2_c.MP4", "3_d.mov", "._4_e.mp4"):
        (tmp_path / name).write_bytes(b"")
    rows = run(str(tmp_path), "qwen", lambda path, text: "1" if text == "a" else None)
    assert sorted((Path(row.path).name, row.prediction) for row in rows) == [("0_a.mp4", 1), ("1_b.mp4", 0)]
    assert average(rows) == 0.5  # of five pictures, two videos
    assert average([]) == 0


def test_subfolders_are_searched_and_hidden_ones_are_not(tmp_path: Path) -> None:
    for name in ("a/b/0_a.mp4", ".cache/0_b.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert [Path(path).name for path in videos(str(tmp_path))] == ["0_a.mp4"]


def test_commas_of_the_text_become_spaces_and_nothing_is_quoted() -> None:
    written = table([Row("/a,b/0_x.mp4", TEXT, 1)])
    assert written == f"video_path,prompt,prediction\n/a,b/0_x.mp4,{TEXT.replace(',', ' ')},1\n"


@pytest.mark.parametrize(("script", "count", "size"), [("qwen", 49, (28, 38)), ("gpt-4o", 8, (48, 64))])
def test_frames_are_spread_cut_to_whole_numbers_and_made_smaller(
    script: str, count: int, size: tuple[int, int]
) -> None:
    for length in (1, 5, 8, 49, 93, 121):
        video = np.zeros((length, 96, 128, 3), np.uint8) + np.arange(length, dtype=np.uint8)[:, None, None, None]
        frames = shown(video, script)  # pyright: ignore[reportArgumentType]
        assert frames.shape == (count, *size, 3)
        known = (
            np.linspace(0, length - 1, count).astype(int) if length >= count else np.minimum(range(count), length - 1)
        )
        assert frames[:, 0, 0, 0].tolist() == known.tolist()
