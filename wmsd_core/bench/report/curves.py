"""Training curves: every metric that was stored, one chart each, one line per run."""

import json
from collections import defaultdict
from dataclasses import dataclass
from itertools import groupby

import duckdb

from wmsd_core import store
from wmsd_core.pages import charts
from wmsd_core.pages.charts import Chart, Series

RUNS_SHOWN, CHARTS_SHOWN = 6, 24
PICTURED = 6
"""Charts of `picture`."""
_TEXT = {  # the last words of a metric's name -> title, unit
    "reward/task": ("Task reward", "log-odds, nats"),
    "reward/consistency": ("Consistency reward", "log-odds, nats"),
    "reward/distillation": ("Distillation reward", "minus squared velocity"),
    "reward_spread/task": ("Spread of task reward in a group", "standard deviation, nats"),
    "reward_spread/consistency": ("Spread of consistency reward", "standard deviation, nats"),
    "reward_spread/distillation": ("Spread of distillation reward", "standard deviation"),
    "anchor": ("Anchor loss", "squared velocity"),
    "policy": ("Policy loss", "loss"),
    "awm": ("AWM loss", "loss"),
    "gradient_norm": ("Gradient norm", "L2 norm before clipping"),
    "grad_norm": ("Gradient norm", "L2 norm before clipping"),
    "learning_rate": ("Learning rate", "step size"),
    "ratio_change": ("Change of the likelihood ratio", "largest |ratio - 1|"),
    "ratio_clipped": ("Clipped ratios", "share"),
    "advantage_size": ("Size of advantages", "mean |advantage|"),
    "unread/task": ("Unread task judgments", "count"),
    "unread/consistency": ("Unread consistency judgments", "count"),
    "unscored": ("Rollouts without a reward", "count"),
    "flat_groups": ("Groups without a spread", "count"),
    "kl": ("Divergence from the base", "nats"),
}
_ORDER = ("eval", "reward", "anchor", "policy", "loss", "reward_spread", "gradient_norm", "grad_norm")
_PARTS = {
    "seconds": ("Time per step", "seconds"),
    "anchor_by_level": ("Anchor loss by noise level", "squared velocity"),
}
"""Metrics that are parts of one thing: one chart, one line per part."""


@dataclass(frozen=True)
class Curves:
    """What the section shows."""

    runs: list[str]
    """Label of each run, in order of its colour."""
    charts: list[Chart]
    left_out: int
    """Metrics beyond what the page shows."""


def curves(con: duckdb.DuckDBPyConnection) -> Curves | None:
    """Charts of all runs that have stored steps; None where there is none."""
    runs = store.query(
        con,
        """
        SELECT run_id, config FROM training_runs JOIN (SELECT DISTINCT run_id FROM training_steps) USING (run_id)
        ORDER BY coalesce(config->>'arm', '') <> 'full', config->>'arm', run_id LIMIT ?
        """,
        [RUNS_SHOWN],
    )
    if not runs:
        return None
    labels = {run["run_id"]: f"{json.loads(run['config']).get('arm', 'run')} ({run['run_id'][:6]})" for run in runs}
    steps = store.query(
        con,
        "SELECT metric, run_id, step, value FROM training_steps WHERE list_contains(?, run_id) AND value IS NOT NULL "
        "ORDER BY metric, run_id, step",
        [list(labels)],
    )
    by_metric: dict[str, dict[str, list[tuple[int, float]]]] = defaultdict(dict)
    for (metric, run_id), rows in groupby(steps, key=lambda row: (row["metric"], row["run_id"])):
        by_metric[metric.replace(".", "/")][run_id] = [(row["step"], row["value"]) for row in rows]
    ordered = sorted((name for name in by_metric if name.partition("/")[0] not in _PARTS), key=_rank)
    shown = [_chart(name, by_metric[name], list(labels)) for name in ordered[:CHARTS_SHOWN]]
    for whole in _PARTS:
        if parts := {name.partition("/")[2]: by_metric[name] for name in by_metric if name.startswith(whole + "/")}:
            shown.append(_parts(whole, parts, labels))
    return Curves(list(labels.values()), shown, max(0, len(ordered) - CHARTS_SHOWN))


def picture(con: duckdb.DuckDBPyConnection, run: str) -> bytes | None:
    """The first curves of one run as a PNG; None where no step is stored."""
    steps = store.query(
        con,
        "SELECT metric, list(step ORDER BY step) AS steps, list(value ORDER BY step) AS found FROM training_steps "
        "WHERE run_id = ? AND value IS NOT NULL GROUP BY metric",
        [run],
    )
    by_metric = {row["metric"].replace(".", "/"): row for row in steps}
    shown = sorted((name for name in by_metric if name.partition("/")[0] not in _PARTS), key=_rank)[:PICTURED]
    panels = [
        (title, Series("", by_metric[name]["steps"], by_metric[name]["found"], 0), unit)
        for name in shown
        for title, unit in [_text(name)]
    ]
    return charts.picture(panels, x_label="training step") if panels else None


def _text(metric: str) -> tuple[str, str]:
    """Title and unit of a metric."""
    return _TEXT.get(metric) or _TEXT.get(metric.rpartition("/")[2]) or (_plain(metric), _unit(metric))


def _rank(metric: str) -> tuple[int, str]:
    first = metric.partition("/")[0]
    return (_ORDER.index(first) if first in _ORDER else len(_ORDER)), metric


def _chart(metric: str, by_run: dict[str, list[tuple[int, float]]], runs: list[str]) -> Chart:
    title, unit = _text(metric)
    series = [
        Series("", [step for step, _ in by_run[run]], [value for _, value in by_run[run]], colour)
        for colour, run in enumerate(runs)
        if run in by_run
    ]
    chart = charts.lines(title, series, x_label="training step", y_label=unit)
    return Chart(title, chart.svg, metric)


def _parts(whole: str, parts: dict[str, dict[str, list[tuple[int, float]]]], labels: dict[str, str]) -> Chart:
    """The largest parts, as colours are few, of the first run that has any."""
    run = next(run for run in labels if any(run in by_run for by_run in parts.values()))
    largest = sorted(
        (part for part in parts if run in parts[part]), key=lambda part: -sum(value for _, value in parts[part][run])
    )[: len(charts.SERIES)]
    series = [
        Series(part, [step for step, _ in parts[part][run]], [value for _, value in parts[part][run]], colour)
        for colour, part in enumerate(largest)
    ]
    title, unit = _PARTS[whole]
    chart = charts.lines(title, series, x_label="training step", y_label=unit)
    return Chart(chart.title, chart.svg, f"{whole}, {labels[run]}", chart.legend)


def _plain(metric: str) -> str:
    return metric.replace("/", ": ").replace("_", " ").capitalize()


def _unit(metric: str) -> str:
    return "score" if metric.startswith("eval/") else "value"
