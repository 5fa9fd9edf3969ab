"""Ranks within a source, the share that is kept, and scores that are computed once."""

import shutil
from pathlib import Path

from tests.frames.pictures import LENIENT, SMALL, folder_of, left, registered, rejections
from wmsd_core.filters import decide, measure_frames
from wmsd_core.frames import FramesConfig, register
from wmsd_core.ranking import RankConfig, keep_top, score_frames
from wmsd_core.store import query, reading, writing


def filtered(tmp_path: Path, count: int) -> tuple[Path, list[str]]:
    store, ids = registered(tmp_path, count)
    measure_frames(store, ids, SMALL)
    decide(store, SMALL, LENIENT)
    return store, ids


def set_scores(store: Path, ids: list[str], scores: list[float], sharpness: list[float]) -> None:
    with writing(store) as con:
        for frame_id, score, sharp in zip(ids, scores, sharpness, strict=True):
            con.execute("UPDATE aesthetics SET score = ? WHERE frame_id = ?", [score, frame_id])
            con.execute("UPDATE measurements SET sharpness = ? WHERE frame_id = ?", [sharp, frame_id])


def test_the_share_is_rounded_up_to_whole_frames(tmp_path: Path) -> None:
    store, ids = filtered(tmp_path, 25)
    score_frames(store, ids, None)
    # .28 * 25 is 7.000000000000001 in binary, and means 7
    for fraction, kept in ((1.0, 25), (0.9, 23), (0.28, 7), (0.04, 1), (0.001, 1)):
        found = keep_top(store, SMALL, RankConfig(keep_fraction=fraction))
        assert (found.kept, found.dropped, found.unscored) == (kept, 25 - kept, 0)


def test_quality_is_the_weighted_sum_of_ranks(tmp_path: Path) -> None:
    store, ids = filtered(tmp_path, 3)
    score_frames(store, ids, None)
    set_scores(store, ids, scores=[1, 2, 300], sharpness=[900, 500, 100])
    # ranks by score 0, .5, 1 and by sharpness 1, .5, 0, whatever the size of the values
    config = RankConfig(keep_fraction=0.3, aesthetic_weight=0.75, sharpness_weight=0.25)
    keep_top(store, SMALL, config)
    assert left(store, "rank") == [ids[2]]
    keep_top(store, SMALL, config.model_copy(update={"aesthetic_weight": 0.25, "sharpness_weight": 0.75}))
    assert left(store, "rank") == [ids[0]]
    keep_top(store, SMALL, config.model_copy(update={"sharpness_weight": 0.75}))  # a tie: all qualities are .75
    assert left(store, "rank") == [min(ids)]


def test_each_source_keeps_its_own_best(tmp_path: Path) -> None:
    store, ids = filtered(tmp_path, 4)
    folder_of(tmp_path / "other", 4, first=50)
    register(store, tmp_path / "other", FramesConfig())
    measure_frames(store, left(store, "frames"), SMALL)
    decide(store, SMALL, LENIENT)
    everyone = left(store, "filter")
    score_frames(store, everyone, None)
    set_scores(store, ids, [100.0] * 4, [100.0] * 4)
    others = [frame_id for frame_id in everyone if frame_id not in ids]
    set_scores(store, others, [1.0] * 4, [50.0] * 4)
    assert keep_top(store, SMALL, RankConfig(keep_fraction=0.5)).kept == 4
    assert len(set(left(store, "rank")) & set(others)) == 2


def test_scores_are_computed_once_and_thresholds_read_no_image(tmp_path: Path) -> None:
    store, ids = filtered(tmp_path, 5)
    assert score_frames(store, ids[:2], None).scored == 2
    again = score_frames(store, ids, None)
    assert (again.scored, again.before) == (3, 2)
    shutil.rmtree(tmp_path / "images")
    assert score_frames(store, ids, None).before == 5
    assert keep_top(store, SMALL, RankConfig(keep_fraction=0.2)).kept == 1


def test_a_frame_without_a_score_is_not_passed_on(tmp_path: Path) -> None:
    store, ids = filtered(tmp_path, 3)
    (tmp_path / "images" / "001.png").unlink()
    assert score_frames(store, ids, None).unusable == 1
    assert rejections(store, "frames") == {"001.png": {"missing"}}
    with writing(store) as con:
        con.execute("DELETE FROM aesthetics WHERE frame_id = (SELECT min(frame_id) FROM aesthetics)")
    found = keep_top(store, SMALL, RankConfig(keep_fraction=1))
    assert (found.kept, found.unscored) == (1, 1)


def test_the_detail_gives_the_rank(tmp_path: Path) -> None:
    store, ids = filtered(tmp_path, 4)
    score_frames(store, ids, None)
    set_scores(store, ids, [1, 2, 3, 4], [1, 2, 3, 4])
    keep_top(store, SMALL, RankConfig(keep_fraction=0.75))
    with reading(store) as con:
        rows = query(con, "SELECT item, reason, detail FROM rejections WHERE stage = 'rank'")
    assert rows == [
        {
            "item": ids[0],
            "reason": "rank",
            "detail": "combined quality 0.000 is number 4 of 4 in its folder, 3 are kept",
        }
    ]


def test_over_all_sources_the_best_are_kept_wherever_they_are(tmp_path: Path) -> None:
    store, ids = filtered(tmp_path, 4)
    folder_of(tmp_path / "other", 4, first=50)
    register(store, tmp_path / "other", FramesConfig())
    measure_frames(store, left(store, "frames"), SMALL)
    decide(store, SMALL, LENIENT)
    everyone = left(store, "filter")
    score_frames(store, everyone, None)
    others = [frame_id for frame_id in everyone if frame_id not in ids]
    set_scores(store, [*ids, *others], [1.0, 2, 3, 4, 5, 6, 7, 8], [1.0] * 8)
    keep_top(store, SMALL, RankConfig(keep_fraction=0.5, by_source=False))
    assert left(store, "rank") == sorted(others)
    keep_top(store, SMALL, RankConfig(keep_fraction=0.5))
    assert left(store, "rank") == sorted([*ids[2:], *others[2:]])


def test_exposure_prefers_mid_grey_and_contrast_what_is_not_flat(tmp_path: Path) -> None:
    store, ids = filtered(tmp_path, 3)
    score_frames(store, ids, None)
    with writing(store) as con:
        for frame_id, luminance, flatness in zip(ids, (20.0, 120.0, 250.0), (0.1, 0.2, 0.3), strict=True):
            con.execute(
                "UPDATE measurements SET luminance = ?, flatness = ? WHERE frame_id = ?",
                [luminance, flatness, frame_id],
            )
    only = RankConfig(keep_fraction=0.3, aesthetic_weight=0, sharpness_weight=0, exposure_weight=1)
    keep_top(store, SMALL, only)
    assert left(store, "rank") == [ids[1]]
    keep_top(store, SMALL, only.model_copy(update={"exposure_weight": 0, "contrast_weight": 1}))
    assert left(store, "rank") == [ids[0]]
