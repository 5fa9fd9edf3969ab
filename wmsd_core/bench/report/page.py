"""Puts the page together: reads the store once, renders the template, writes one file."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
from jinja2 import Environment
from markupsafe import Markup

from wmsd_core import store
from wmsd_core.bench.evaluation import Evaluation
from wmsd_core.bench.report.curves import curves
from wmsd_core.bench.report.distributions import distributions
from wmsd_core.bench.report.funnel import STAGE_TEXT, funnel, sources
from wmsd_core.bench.report.headline import Headline, arm_text, headline, p_text, recorded
from wmsd_core.bench.report.provenance import provenance
from wmsd_core.bench.report.samples import samples
from wmsd_core.bench.timing import JUDGING, PARTS, WHOLE
from wmsd_core.files import replacing
from wmsd_core.filters import DefectScore
from wmsd_core.pages import charts
from wmsd_core.pages.environment import environment

ASSETS = Path(__file__).parent / "assets"
SECTIONS = {
    "funnel": "frames",
    "distributions": "filter",
    "tasks": "generate",
    "training": "train",
    "results": "evaluate",
}
"""Section -> the stage that fills it."""


@dataclass(frozen=True)
class Written:
    """What `write_report` wrote."""

    path: Path
    bytes: int
    missing: list[str]
    """Stages whose results are not in the store."""


def write_report(
    path: Path,
    out: Path,
    *,
    evaluation: Evaluation | None = None,
    defects: Sequence[DefectScore] = (),
    drawings: Path | None = None,
) -> Written:
    """Writes the report of the store at `path` to `out`, one self-contained HTML file.

    Args:
        path: the store; it may be as incomplete as it likes.
        out: the file to write; it appears complete or not at all.
        evaluation: which evaluation to show; by default the newest on each benchmark.
        defects: how well planted defects were found (`filters.score_against`), where the truth is known.
        drawings: folder that charts are kept in, so that the next report draws only what has changed; None: none is kept.

    Raises:
        StoreError: there is no store at `path`.
        ValueError: `evaluation` is given, but its benchmark cannot be loaded or has no item here.
    """
    with store.reading(path) as con, charts.kept(drawings) if drawings else nullcontext():
        results, lost = ([headline(con, evaluation)], list[str]()) if evaluation else _recorded(con)
        page: dict[str, Any] = {
            "results": results,
            "lost": lost,
            "funnel": funnel(con),
            "sources": sources(con),
            "distributions": distributions(con),
            "tasks": samples(con),
            "training": curves(con),
            "provenance": provenance(con),
        }
    missing = [stage for section, stage in SECTIONS.items() if not page[section]]
    text = _environment().get_template("page.html.j2").render(page, defects=defects, missing=missing)
    with replacing(out) as partial:
        partial.write_text(text, encoding="utf-8")
    return Written(out, out.stat().st_size, missing)


def _recorded(con: duckdb.DuckDBPyConnection) -> tuple[list[Headline], list[str]]:
    """The results that can be shown, and why others cannot: a package is gone that a benchmark came from, or its items are."""
    results: list[Headline] = []
    lost: list[str] = []
    for evaluation in recorded(con):
        try:
            results.append(headline(con, evaluation))
        except ValueError as error:
            lost.append(f"Scores on {evaluation.config.benchmark} are in the store, but cannot be shown: {error}")
    return results, lost


def _environment() -> Environment:
    made: Any = environment(ASSETS)
    made.filters["p"] = p_text
    made.globals.update(
        {
            "script": Markup((ASSETS / "script.js").read_text(encoding="utf-8")),
            "arm_text": arm_text,
            "time_parts": (WHOLE, *PARTS, JUDGING),
            "stage_text": STAGE_TEXT,
        }
    )
    return made
