"""Proposed thresholds in cases where the answer is known."""

from pathlib import Path

import numpy as np
import pytest

from wmsd_core import store as stores
from wmsd_core.filters import FilterConfig, MeasureConfig, decide
from wmsd_core.filters.calibrate import calibrate
from wmsd_core.overrides import apply
from wmsd_core.recipe import Recipe

SAME = {
    "luminance": 100,
    "near_black": 0.1,
    "near_white": 0.1,
    "flatness": 0.2,
    "bars": 0.0,
    "sharpness": 50,
    "crispness": 0.15,
}


def store_of(tmp_path: Path, n: int, sides: list[int] | None = None, **columns: np.ndarray) -> Path:
    """A store of `n` measured frames; columns that are not given have one value throughout."""
    path = tmp_path / "store.duckdb"
    made_by = {"config_hash": MeasureConfig().digest(), "working_width": 640}
    with stores.writing(path) as con:
        for i in range(n):
            side = sides[i] if sides else 720
            frame = {"frame_id": f"{i:04d}", "path": f"/x/{i}.png", "source": "/x", "format": "PNG"}
            stores.insert(con, "frames", [frame | {"width": side, "height": side, "bytes": 1}])
            figures = SAME | {name: float(values[i]) for name, values in columns.items()}
            stores.insert(con, "measurements", [{"frame_id": f"{i:04d}", **made_by, **figures}])
    return path


def proposed(found: object) -> dict[str, tuple[float, int]]:
    return {p.setting: (p.value, p.drops) for p in found.proposals}  # pyright: ignore


def test_one_measurement_that_varies_does_all_the_dropping(tmp_path: Path) -> None:
    store = store_of(tmp_path, 100, sharpness=np.random.default_rng(0).permutation(100) + 1)
    found = calibrate(store, MeasureConfig(), FilterConfig(), 0.8)
    assert (found.frames, found.kept, found.ruled_out) == (100, 80, 0)
    assert proposed(found)["min_sharpness"] == (21, 20)
    assert proposed(found)["max_flatness"] == (0.2, 0)


def test_two_that_drop_different_frames_share_the_dropping(tmp_path: Path) -> None:
    """Flat at one end, blurred at the other: ten and ten. Luminance has both ends: the same frames as either."""
    order = np.arange(100)
    store = store_of(tmp_path, 100, sharpness=order + 1, flatness=(order + 1) / 200, luminance=order + 101)
    found = proposed(calibrate(store, MeasureConfig(), FilterConfig(), 0.8))
    assert found["min_sharpness"] == (11, 10)
    assert found["max_flatness"] == (0.45, 10)
    assert found["min_luminance"] == (111, 10)
    assert found["max_luminance"] == (190, 10)


def test_what_is_printed_keeps_what_was_promised(tmp_path: Path) -> None:
    """On values of many digits, pasted as settings: at least the share, and at most one step of k more."""
    rng = np.random.default_rng(1)
    columns = {"sharpness": rng.lognormal(5, 2, 400), "luminance": rng.uniform(0, 255, 400)}
    columns |= {name: rng.beta(1, 6, 400) for name in ("near_black", "near_white", "flatness", "crispness")}
    store = store_of(tmp_path, 400, **columns)
    for keep in (0.3, 0.5, 0.8, 0.99, 1):
        found = calibrate(store, MeasureConfig(), FilterConfig(), keep)
        recipe = apply(Recipe(), [f"filter.{p.setting}={p.value}" for p in found.proposals])
        assert decide(store, MeasureConfig(), recipe.filter).kept == found.kept
        assert keep * 400 <= found.kept <= keep * 400 + 6
        drops = [p.drops for p in found.proposals]
        assert max(drops) - min(drops) <= 1  # no threshold does more than its part


def test_rules_stay_and_count(tmp_path: Path) -> None:
    sides = [720] * 90 + [100] * 10  # the sharpest are too small
    store = store_of(tmp_path, 100, sides, sharpness=np.arange(100) + 1)
    found = calibrate(store, MeasureConfig(), FilterConfig(), 0.8)
    assert (found.ruled_out, found.kept) == (10, 80)
    assert proposed(found)["min_sharpness"] == (11, 10)
    with pytest.raises(ValueError, match="alone drop 10 of 100"):
        calibrate(store, MeasureConfig(), FilterConfig(), 0.95)


def test_nonsense_is_refused(tmp_path: Path) -> None:
    store = store_of(tmp_path, 2)
    for keep in (0, -0.5, 1.2):
        with pytest.raises(ValueError, match="share to keep"):
            calibrate(store, MeasureConfig(), FilterConfig(), keep)
    with pytest.raises(ValueError, match="nothing is measured"):
        calibrate(store, MeasureConfig(working_width=64), FilterConfig(), 0.5)
