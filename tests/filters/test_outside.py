"""A filter from outside is one file: this one. It joins measurements, verdicts, preview, report and the nearest thresholds."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.frames.pictures import LENIENT, SMALL, left, registered, rejections
from wmsd_core import store
from wmsd_core.bench.report.distributions import distributions
from wmsd_core.filters import OutsideFilter, decide, measure_frames
from wmsd_core.filters.calibrate import calibrate
from wmsd_core.filters.outside import outside
from wmsd_core.filters.preview import write_preview
from wmsd_core.filters.verdict import nearest

MEASURING = SMALL.model_copy(update={"extra": ("tests.filters.test_outside:sky",)})


def sky() -> OutsideFilter:
    """How bright the upper half is."""
    return OutsideFilter("sky", brightness, 20.0, "night", "sky's brightness", "mean grey level of the upper half")


def brightness(grey: np.ndarray) -> float:
    return float(grey[: len(grey) // 2].mean())


def nothing() -> OutsideFilter:
    return OutsideFilter("silent", lambda grey: float("nan"), 0.5, "loud", "nothing", "none", least=False)


def taken() -> OutsideFilter:
    return OutsideFilter("sharpness", brightness, 1.0, "night", "sharpness", "none")


def unquoted() -> OutsideFilter:
    return OutsideFilter("a'b", brightness, 1.0, "night", "quotes", "none")


def no_filter() -> int:
    return 3


def test_a_filter_from_outside_drops_what_is_beyond_its_limit_and_names_the_figure(tmp_path: Path) -> None:
    path, ids = registered(tmp_path, 3)
    assert measure_frames(path, ids, MEASURING).measured == 3
    with store.writing(path) as con:
        for frame, figure in zip(ids, (19.99, 20.0, 80.0), strict=True):
            con.execute("UPDATE measurements SET extra = ? WHERE frame_id = ?", [json.dumps({"sky": figure}), frame])
    assert decide(path, MEASURING, LENIENT).reasons == {"night": 1}
    assert left(path, "filter") == sorted(ids[1:])
    assert list(rejections(path, "filter").values()) == [{"night"}]
    other = LENIENT.model_copy(update={"extra": {"sky": 81.0}})
    assert decide(path, MEASURING, other).reasons == {"night": 3}
    assert nearest(path, MEASURING, other) == {"min_sky": 80.0}


def test_what_it_measured_is_what_its_function_said(tmp_path: Path) -> None:
    path, ids = registered(tmp_path, 2)
    measure_frames(path, ids, MEASURING)
    with store.reading(path) as con:
        rows = store.query(con, "SELECT luminance, (extra ->> 'sky')::DOUBLE AS sky FROM measurements")
        charts = distributions(con)
    assert all(0 < row["sky"] < 255 and row["sky"] != row["luminance"] for row in rows)
    assert "sky" in {chart.title.lower() for chart in charts}
    write_preview(path, tmp_path / "preview.html", MEASURING, LENIENT)
    assert "ky&#39;s brightness" in (tmp_path / "preview.html").read_text()
    assert calibrate(path, MEASURING, LENIENT, 1.0).kept == 2


def test_a_figure_that_could_not_be_had_drops_nothing(tmp_path: Path) -> None:
    path, ids = registered(tmp_path, 1)
    measuring = SMALL.model_copy(update={"extra": ("tests.filters.test_outside:nothing",)})
    measure_frames(path, ids, measuring)
    assert decide(path, measuring, LENIENT).kept == 1


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["tests.filters.test_outside:missing"], "cannot be loaded"),
        (["tests.filters.test_outside:no_filter"], "not an OutsideFilter"),
        (["tests.filters.test_outside:unquoted"], "small letters"),
        (["tests.filters.test_outside:sky", "tests.filters.test_outside:sky"], "two filters"),
        (["sky"], "package.module:factory"),
    ],
)
def test_what_is_wrong_with_one_is_said(names: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        outside(names)


def test_names_of_the_project_and_limits_of_nobody_are_refused(tmp_path: Path) -> None:
    path, _ = registered(tmp_path, 1)
    with pytest.raises(ValueError, match="takes a name of the project's"):
        decide(path, SMALL.model_copy(update={"extra": ("tests.filters.test_outside:taken",)}), LENIENT)
    with pytest.raises(ValueError, match=r"filter\.extra names fog"):
        decide(path, MEASURING, LENIENT.model_copy(update={"extra": {"fog": 1.0}}))
