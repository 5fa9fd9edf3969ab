"""Histograms of what was measured on frames, with the thresholds of the newest run of the stage that applies them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import cast

import duckdb

from wmsd_core import store
from wmsd_core.filters.thresholds import THRESHOLDS
from wmsd_core.pages import charts
from wmsd_core.pages.charts import Chart, Limit


@dataclass(frozen=True)
class _Shown:
    """A measurement with its column, or the SQL of one, and what its thresholds are called after the prefix."""

    column: str
    title: str
    unit: str
    log: bool = False
    setting: str = ""
    by: str = ""
    """Who measured, where that can differ."""


def distributions(con: duckdb.DuckDBPyConnection) -> list[Chart]:
    """One histogram per measurement that the store holds."""
    found: list[Chart] = []
    for shown in _measured(con):
        # One working width only: that of the configuration which measured most frames.
        values = _column(
            con,
            f"""
            SELECT {shown.column} AS figure FROM measurements WHERE figure IS NOT NULL AND config_hash = (
                SELECT config_hash FROM measurements GROUP BY config_hash ORDER BY count(*) DESC, config_hash LIMIT 1)
            """,
        )
        found += _chart(con, "filter", shown, values)
    for (scorer,) in con.execute("SELECT DISTINCT scorer FROM aesthetics ORDER BY scorer").fetchall():
        scores = _column(con, "SELECT score FROM aesthetics WHERE scorer = ?", scorer)
        found += _chart(con, "rank", _Shown("aesthetic", "Aesthetic score", "score", by=scorer), scores)
    odds = _Shown("log_odds", "Suitability", "log-odds of yes, nats")
    found += _chart(con, "screen", odds, _column(con, "SELECT log_odds FROM screenings WHERE log_odds IS NOT NULL"))
    return found


def _measured(con: duckdb.DuckDBPyConnection) -> Iterator[_Shown]:
    """The columns of `measurements` that thresholds act on, and what filters from outside have left there: by its name, as
    their package may be gone."""
    columns = {row[0] for row in con.execute("SELECT column_name FROM (DESCRIBE measurements)").fetchall()}
    for t in {t.column: t for t in THRESHOLDS}.values():
        if t.column in columns:
            yield _Shown(t.column, t.name[0].upper() + t.name[1:], t.unit, t.log)
    for (name,) in con.execute(
        "SELECT DISTINCT unnest(json_keys(extra)) AS name FROM measurements ORDER BY name"
    ).fetchall():
        yield _Shown(f"(extra ->> '{name}')::DOUBLE", name.replace("_", " ").capitalize(), "", setting=name)


def _column(con: duckdb.DuckDBPyConnection, sql: str, *parameters: str) -> list[float]:
    return [row[0] for row in con.execute(sql, parameters).fetchall()]


def _chart(con: duckdb.DuckDBPyConnection, stage: str, shown: _Shown, values: list[float]) -> list[Chart]:
    if not values:
        return []
    marks = list(_thresholds(con, stage, shown.setting or shown.column))
    chart = charts.histogram(shown.title, values, marks, x_label=shown.unit, log=shown.log)
    notes: list[str] = []
    for mark in marks:
        beyond = sum(value < mark.value if mark.drops_below else value > mark.value for value in values)
        notes.append(f"{mark.label}, which drops {beyond:,} of {len(values):,} frames")
    note = "; ".join(notes) or f"{len(values):,} frames, no threshold"
    return [Chart(chart.title, chart.svg, f"{note}, by {shown.by}" if shown.by else note)]


def _thresholds(con: duckdb.DuckDBPyConnection, stage: str, column: str) -> Iterator[Limit]:
    """Settings called min_<column> and max_<column>, wherever in the stage's configuration they are."""
    rows = store.query(con, "SELECT config FROM stage_runs WHERE stage = ? ORDER BY started DESC LIMIT 1", [stage])
    settings = dict(_leaves(json.loads(rows[0]["config"]))) if rows else {}
    for prefix, word in (("min", "at least"), ("max", "at most")):
        value = settings.get(f"{prefix}_{column}")
        if isinstance(value, int | float):
            yield Limit(float(value), f"{word} {value:g}", prefix == "min")


def _leaves(value: object) -> Iterator[tuple[str, object]]:
    if isinstance(value, dict):
        for key, inner in cast(dict[str, object], value).items():
            yield key, inner
            yield from _leaves(inner)
