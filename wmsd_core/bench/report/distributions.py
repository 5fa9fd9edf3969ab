"""Histograms of what was measured on frames, with the thresholds of the newest run of the stage that applies them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import duckdb

from wmsd_core import store
from wmsd_core.pages import charts
from wmsd_core.pages.charts import Chart, Threshold


@dataclass(frozen=True)
class _Measure:
    column: str
    title: str
    unit: str
    log: bool = False
    by: str = ""
    """Who measured, where that can differ."""


_MEASURES = (
    _Measure("sharpness", "Sharpness", "variance of the Laplacian, squared grey levels", log=True),
    _Measure("luminance", "Luminance", "mean grey level, 0 to 255"),
    _Measure("near_black", "Near-black pixels", "fraction of pixels"),
    _Measure("near_white", "Near-white pixels", "fraction of pixels"),
    _Measure("crispness", "Crispness", "fine detail over coarse"),
    _Measure("flatness", "Flatness", "share of the most frequent sixteenth of the grey scale"),
    _Measure("bars", "Bars", "fraction of the picture"),
    _Measure("overlay", "Text over the picture", "fraction of the picture"),
)


def distributions(con: duckdb.DuckDBPyConnection) -> list[Chart]:
    """One histogram per measurement that the store holds."""
    found: list[Chart] = []
    for measure in _MEASURES:
        # One working width only: that of the configuration which measured most frames.
        values = _column(
            con,
            f"""
            SELECT {measure.column} FROM measurements WHERE {measure.column} IS NOT NULL AND config_hash = (
                SELECT config_hash FROM measurements GROUP BY config_hash ORDER BY count(*) DESC, config_hash LIMIT 1)
            """,
        )
        found += _chart(con, "filter", measure, values)
    for (scorer,) in con.execute("SELECT DISTINCT scorer FROM aesthetics ORDER BY scorer").fetchall():
        scores = _column(con, "SELECT score FROM aesthetics WHERE scorer = ?", scorer)
        found += _chart(con, "rank", _Measure("aesthetic", "Aesthetic score", "score", by=scorer), scores)
    odds = _Measure("log_odds", "Suitability", "log-odds of yes, nats")
    found += _chart(con, "screen", odds, _column(con, "SELECT log_odds FROM screenings WHERE log_odds IS NOT NULL"))
    return found


def _column(con: duckdb.DuckDBPyConnection, sql: str, *parameters: str) -> list[float]:
    return [row[0] for row in con.execute(sql, parameters).fetchall()]


def _chart(con: duckdb.DuckDBPyConnection, stage: str, measure: _Measure, values: list[float]) -> list[Chart]:
    if not values:
        return []
    marks = list(_thresholds(con, stage, measure.column))
    chart = charts.histogram(measure.title, values, marks, x_label=measure.unit, log=measure.log)
    notes: list[str] = []
    for mark in marks:
        beyond = sum(value < mark.value if mark.drops_below else value > mark.value for value in values)
        notes.append(f"{mark.label}, which drops {beyond:,} of {len(values):,} frames")
    note = "; ".join(notes) or f"{len(values):,} frames, no threshold"
    return [Chart(chart.title, chart.svg, f"{note}, by {measure.by}" if measure.by else note)]


def _thresholds(con: duckdb.DuckDBPyConnection, stage: str, column: str) -> Iterator[Threshold]:
    """Settings called min_<column> and max_<column>, wherever in the stage's configuration they are."""
    rows = store.query(con, "SELECT config FROM stage_runs WHERE stage = ? ORDER BY started DESC LIMIT 1", [stage])
    settings = dict(_leaves(json.loads(rows[0]["config"]))) if rows else {}
    for prefix, word in (("min", "at least"), ("max", "at most")):
        value = settings.get(f"{prefix}_{column}")
        if isinstance(value, int | float):
            yield Threshold(float(value), f"{word} {value:g}", prefix == "min")


def _leaves(value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for key, inner in cast(dict[str, object], value).items():
            yield key, inner
            yield from _leaves(inner)
