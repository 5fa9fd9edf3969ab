"""Verdicts are thresholds on stored measurements: exact at the limit, and no image is read for them."""

import shutil
from pathlib import Path

import pytest

from tests.frames.pictures import LENIENT, SMALL, count, encode, left, registered, rejections, scene
from tests.reference import REFERENCE
from wmsd_core.filters import FilterConfig, MeasureConfig, decide, measure_frames
from wmsd_core.filters.measuring import forget_measurements
from wmsd_core.filters.verdict import Unmeasured, decide_again
from wmsd_core.frames import Frame, FramesConfig, register
from wmsd_core.frames.decode import grey_at_width
from wmsd_core.store import query, reading, writing

CASES = [
    ("min_sharpness", "sharpness", "blurred", 40.0, 39.999),
    ("min_crispness", "crispness", "unsharp", 0.09, 0.0899),
    ("min_luminance", "luminance", "dark", 40.0, 39.999),
    ("max_luminance", "luminance", "bright", 200.0, 200.001),
    ("max_near_black", "near_black", "near_black", 0.5, 0.5001),
    ("max_near_white", "near_white", "near_white", 0.5, 0.5001),
    ("max_flatness", "flatness", "flat", 0.75, 0.7501),
    ("max_bars", "bars", "bars", 0.125, 0.12501),
    ("max_overlay", "overlay", "overlay", 0.125, 0.12501),
]


@pytest.mark.parametrize(("setting", "column", "reason", "limit", "beyond"), CASES)
def test_a_frame_at_the_threshold_is_kept_and_one_beyond_it_dropped(
    tmp_path: Path, setting: str, column: str, reason: str, limit: float, beyond: float
) -> None:
    store, ids = registered(tmp_path, 2)
    measure_frames(store, ids, SMALL)
    with writing(store) as con:
        con.execute(f"UPDATE measurements SET {column} = ? WHERE frame_id = ?", [limit, ids[0]])
        con.execute(f"UPDATE measurements SET {column} = ? WHERE frame_id = ?", [beyond, ids[1]])
    found = decide(store, SMALL, LENIENT.model_copy(update={setting: limit}))
    assert (found.kept, found.dropped, found.reasons) == (1, 1, {reason: 1})
    assert left(store, "filter") == ids[:1]
    with reading(store) as con:
        row = query(con, "SELECT detail FROM rejections WHERE stage = 'filter'")[0]
    assert f"{beyond:.4g}" in row["detail"]
    assert f"{limit:.4g}" in row["detail"]


def test_the_shorter_side_counts_for_size(tmp_path: Path) -> None:
    store, ids = registered(tmp_path, 1)  # 64x48
    measure_frames(store, ids, SMALL)
    assert decide(store, SMALL, FilterConfig(min_side=48)).kept == 1
    assert decide(store, SMALL, FilterConfig(min_side=49)).reasons == {"too_small": 1}


def test_a_strip_is_told_by_its_shape_whichever_way_it_lies(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for name, height, width in (("lies", 40, 120), ("stands", 120, 40), ("less", 40, 112)):
        (tmp_path / "images" / f"{name}.png").write_bytes(encode(scene(1, height, width)))
    store = tmp_path / "store.duckdb"
    register(store, tmp_path / "images", FramesConfig())
    measure_frames(store, left(store, "frames"), SMALL)
    decide(store, SMALL, FilterConfig(min_side=16, max_aspect=2.9))
    assert rejections(store, "filter") == {"lies.png": {"aspect"}, "stands.png": {"aspect"}}
    assert decide(store, SMALL, FilterConfig(min_side=16, max_aspect=3)).kept == 3


def test_another_threshold_reads_no_image(tmp_path: Path) -> None:
    store, ids = registered(tmp_path, 5)
    measure_frames(store, ids, SMALL)
    decide(store, SMALL, LENIENT)
    shutil.rmtree(tmp_path / "images")
    assert measure_frames(store, ids, SMALL).before == 5
    assert decide(store, SMALL, FilterConfig(min_side=16, max_luminance=0)).dropped == 5
    assert decide(store, SMALL, LENIENT).kept == 5
    assert rejections(store, "frames") == rejections(store, "filter") == {}


def test_measurements_of_another_configuration_are_not_used(tmp_path: Path) -> None:
    store, ids = registered(tmp_path, 3)
    measure_frames(store, ids, SMALL)
    wide = MeasureConfig(working_width=32)
    assert decide(store, wide, LENIENT).reasons == {"unmeasured": 3}
    assert measure_frames(store, ids[:2], wide).measured == 2
    assert decide(store, wide, LENIENT).reasons == {"unmeasured": 1}
    assert decide(store, SMALL, LENIENT).kept == 3
    assert count(store, "measurements") == 5


def test_verdicts_are_made_again_only_where_all_is_measured(tmp_path: Path) -> None:
    store, ids = registered(tmp_path, 3)
    measure_frames(store, ids[:2], SMALL)
    with pytest.raises(Unmeasured):
        decide_again(store, SMALL, LENIENT)
    assert rejections(store, "filter") == {}
    measure_frames(store, ids, SMALL)
    assert decide_again(store, SMALL, LENIENT).kept == 3


def test_a_measurement_of_a_frame_that_is_gone_hides_none_that_is_lacking(tmp_path: Path) -> None:
    store, ids = registered(tmp_path, 3)
    measure_frames(store, ids, SMALL)
    with writing(store) as con:
        con.execute("DELETE FROM frames WHERE frame_id = ?", [ids[0]])
    assert decide_again(store, SMALL, LENIENT).kept == 2
    with writing(store) as con:  # as many measurements as frames, but of others
        con.execute("DELETE FROM measurements WHERE frame_id = ?", [ids[1]])
    assert decide(store, SMALL, LENIENT).reasons == {"unmeasured": 1}


def test_rejections_that_are_made_at_once_lie_in_order_of_frame_each_with_all_its_reasons(tmp_path: Path) -> None:
    store, ids = registered(tmp_path, 5)
    measure_frames(store, ids, SMALL)
    decide(store, SMALL, LENIENT.model_copy(update={"min_sharpness": 1e6, "max_luminance": 0}))
    with reading(store) as con:
        rows = query(con, "SELECT item, reason FROM rejections WHERE stage = 'filter' ORDER BY rowid")
    assert [(row["item"], row["reason"]) for row in rows] == [(i, why) for i in ids for why in ("blurred", "bright")]


def told(store: Path) -> list[tuple[str, str, str]]:
    with reading(store) as con:
        return con.execute("SELECT item, reason, detail FROM rejections WHERE stage = 'filter' ORDER BY ALL").fetchall()


def written_with(store: Path) -> dict[str, set[str]]:
    """Reason -> the digests of the settings that its verdicts were written with."""
    with reading(store) as con:
        rows = query(con, "SELECT reason, config_hash FROM rejections WHERE stage = 'filter'")
    return {row["reason"]: {other["config_hash"] for other in rows if other["reason"] == row["reason"]} for row in rows}


def test_only_verdicts_of_a_threshold_that_changed_are_made_again_and_all_are_as_if_all_were(tmp_path: Path) -> None:
    store, ids = registered(tmp_path, 8)
    measure_frames(store, ids, SMALL)
    with reading(store) as con:
        sharp, bright = con.execute(
            "SELECT quantile_disc(sharpness, .5), quantile_disc(luminance, .5) FROM measurements"
        ).fetchall()[0]
    limits = [
        {"min_sharpness": sharp},
        {"max_luminance": bright},
        {"min_sharpness": sharp, "max_luminance": bright},
        {},
    ]
    limits += [{"min_side": 49}, {"min_sharpness": sharp * 1.01, "min_side": 49}, {"min_sharpness": sharp}]
    for changed in limits:
        config = LENIENT.model_copy(update=changed)
        found = decide(store, SMALL, config)
        after = told(store)
        with writing(store) as con:
            con.execute("DELETE FROM verdicts")
        assert decide(store, SMALL, config) == found and told(store) == after
    config = LENIENT.model_copy(update={"min_sharpness": sharp, "max_luminance": bright})
    decide(store, SMALL, config)
    first = written_with(store)
    decide_again(store, SMALL, config.model_copy(update={"max_luminance": bright - 1}))
    second = written_with(store)
    assert set(first) == {"blurred", "bright"} and first["blurred"] == second["blurred"] != second["bright"]


def test_verdicts_that_somebody_took_away_or_whose_frames_are_others_are_made_again(tmp_path: Path) -> None:
    store, ids = registered(tmp_path, 4)
    measure_frames(store, ids, SMALL)
    config = LENIENT.model_copy(update={"min_sharpness": 1e6, "max_luminance": 0})
    assert decide(store, SMALL, config).reasons == {"blurred": 4, "bright": 4}
    with writing(store) as con:
        con.execute("DELETE FROM rejections WHERE stage = 'filter' AND item = ? AND reason = 'bright'", [ids[1]])
    assert decide(store, SMALL, config).reasons == {"blurred": 4, "bright": 4}
    with writing(store) as con:
        con.execute("INSERT INTO rejections VALUES ('frames', ?, 'truncated', '', '', '')", [ids[0]])
    assert decide(store, SMALL, config).reasons == {"blurred": 3, "bright": 3}
    forget_measurements(store, SMALL)
    measure_frames(store, ids, SMALL)
    with writing(store) as con:  # measured anew, and as it happens with another figure
        con.execute("UPDATE measurements SET sharpness = 2e6")
    assert decide(store, SMALL, config).reasons == {"bright": 3}


def test_measuring_again_measures_what_is_missing_only(tmp_path: Path) -> None:
    store, ids = registered(tmp_path, 4)
    assert measure_frames(store, ids[:3], SMALL, threads=2).measured == 3
    again = measure_frames(store, ids, SMALL)
    assert (again.measured, again.before) == (1, 3)


def test_a_file_that_cannot_be_decoded_leaves_the_funnel_with_its_reason(tmp_path: Path) -> None:
    store, ids = registered(tmp_path, 3)
    path = sorted((tmp_path / "images").iterdir())[1]
    path.write_bytes(path.read_bytes()[:-30])
    register(store, tmp_path / "images", FramesConfig())  # the header is still good
    ids = left(store, "frames")
    found = measure_frames(store, ids, SMALL)
    # the intact content of that file is gone, which was seen when it was registered again
    assert (found.measured, found.unusable) == (2, 1)
    assert rejections(store, "frames") == {"001.png": {"truncated", "missing"}}
    assert len(left(store, "frames")) == 2


@pytest.mark.parametrize("path", sorted((REFERENCE / "frames").glob("*")), ids=lambda path: path.name)
def test_published_frames_pass_the_default_filter(path: Path, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    shutil.copy(path, tmp_path / "images" / path.name)
    store = tmp_path / "store.duckdb"
    register(store, tmp_path / "images", FramesConfig())
    measure_frames(store, left(store, "frames"), MeasureConfig())
    assert decide(store, MeasureConfig(), FilterConfig()).reasons == {}


def test_measurements_are_stored_as_measured(tmp_path: Path) -> None:
    store, ids = registered(tmp_path, 1)
    measure_frames(store, ids, SMALL)
    with reading(store) as con:
        row = query(con, "SELECT * FROM measurements JOIN frames USING (frame_id)")[0]
    grey = grey_at_width(Frame(row["frame_id"], Path(row["path"]), "PNG", 64, 48), 64)
    assert (row["working_width"], row["config_hash"]) == (64, SMALL.digest())
    assert row["luminance"] == pytest.approx(grey.mean())
