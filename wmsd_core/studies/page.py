"""The page and the table of a study, from its file and its results alone."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from wmsd_core.files import replacing
from wmsd_core.pages import charts
from wmsd_core.pages.charts import Band, Chart
from wmsd_core.pages.environment import environment, percent, signed
from wmsd_core.studies import analysis, published
from wmsd_core.studies.analysis import MEASURES, Contrast, Final
from wmsd_core.studies.results import Results, RunLine, load
from wmsd_core.studies.study import Planned, Study

TEMPLATES = Path(__file__).parent / "assets"
TITLES = {"average": "Average", "task": "Task", "agent": "Agent", "consistency": "Consistency"}
_LIMITS = (0.0, 1.0)
T = TypeVar("T", Final, Contrast)


@dataclass(frozen=True)
class ArmCurves:
    """One arm beside the paper's."""

    arm: str
    ours: Chart
    theirs: list[Chart]


@dataclass(frozen=True)
class Cost:
    """What an arm's runs took together."""

    arm: str
    runs: int
    rollouts: int
    """Of one run."""
    sampler: str
    """Of the videos that it was measured on."""
    forwards: int
    cpu_hours: float
    failed: tuple[str, ...]


def rewrite(study: Study, plan: Sequence[Planned], results: Path) -> dict[str, str]:
    """Writes page and table again from the results alone.

    Raises:
        ValueError: there are none, or none of them is of the study as it stands now.
    """
    known, stale = load(results).only(plan)
    if not known.runs:
        why = f"those in {results} are of other settings" if stale else f"there are none in {results}"
        raise ValueError(f"no results of this study: {why}; run `wmsd study` without --page")
    return write(study, known, results) | ({"left out, of other settings": "; ".join(stale)} if stale else {})


def write(study: Study, known: Results, results: Path) -> dict[str, str]:
    """Writes page and table beside the file of results."""
    page, table = results.with_suffix(".html"), results.with_suffix(".md")
    write_page(study, known, page)
    write_table(study, known, table)
    return {"results": str(results), "page": str(page), "table": str(table)}


def write_page(study: Study, results: Results, path: Path) -> None:
    """Writes one self-contained HTML file."""
    finals = analysis.finals(study, results)
    compared = analysis.contrasts(study, results)
    text = (
        environment(TEMPLATES, "study.css")
        .get_template("page.html.j2")
        .render(
            study=study,
            results=results,
            measures=TITLES,
            finals=_by_arm(finals),
            compared=_by_arm(compared),
            curves=[found for arm in study.arms if (found := _curves(study, results, arm))],
            legend=[(TITLES[measure], place) for place, measure in enumerate(MEASURES, start=1)],
            orders=analysis.orders(study, results),
            costs=costs(study, results),
            told=told,
            chance=chance,
        )
    )
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_table(study: Study, results: Results, path: Path) -> None:
    """Writes the final scores and the differences as Markdown."""
    finals, compared = _by_arm(analysis.finals(study, results)), _by_arm(analysis.contrasts(study, results))
    lines = [
        f"# {study.title}",
        "",
        f"{study.half.capitalize()} half, last step; 95 % intervals by picture, for these seeds. "
        f"Made by `wmsd study {path.stem}.yaml --page`.",
        "",
        f"| arm | seeds | {' | '.join(TITLES.values())} |",
        "|---|---|" + "---|" * len(TITLES),
    ]
    for arm, found in finals.items():
        cells = [
            f"{percent(one.pooled.score)} [{percent(one.pooled.low)}, {percent(one.pooled.high)}]" for one in found
        ]
        lines.append(f"| {study.title_of(arm)} | {len(found[0].by_seed)} | {' | '.join(cells)} |")
    lines += [
        "",
        f"Minus {study.title_of(study.baseline)}, in points: over seeds and pictures; each seed, with p of exact sign flips.",
        "",
        "| arm | measure | difference | p, Holm over arms | by seed |",
        "|---|---|---|---|---|",
    ]
    for arm, found in compared.items():
        for one in found:
            seeds = ", ".join(f"{signed(each.difference)} (p {chance(each.p)})" for each in one.within.values())
            lines.append(
                f"| {study.title_of(arm)} | {TITLES[one.measure]} | {told(one)} | {chance(one.p_holm)} | {seeds} |"
            )
    with replacing(path) as partial:
        partial.write_text("\n".join(lines) + "\n", encoding="utf-8")


def told(contrast: Contrast) -> str:
    """A difference with its interval over seeds and pictures, in points; of one pair of runs, with that over pictures."""
    if contrast.low is None or contrast.high is None:
        alone = next(iter(contrast.within.values()))
        return f"{signed(contrast.difference)} [{signed(alone.low)}, {signed(alone.high)}] for this run"
    return f"{signed(contrast.difference)} [{signed(contrast.low)}, {signed(contrast.high)}]"


def costs(study: Study, results: Results) -> list[Cost]:
    """By trained arm."""
    found: list[Cost] = []
    for arm, each in study.arms.items():
        runs = [line for line in results.runs if line.arm == arm]
        if runs and each.role == "executor":
            samplers = {line.sampler for line in results.measurements if line.arm == arm}
            found.append(_cost(arm, runs, ", ".join(sorted(samplers))))
    return found


def _cost(arm: str, runs: Sequence[RunLine], sampler: str) -> Cost:
    return Cost(
        arm,
        len(runs),
        max(line.rollouts for line in runs),
        sampler,
        sum(line.forwards for line in runs),
        sum(line.cpu_seconds for line in runs) / 3600,
        tuple(f"seed {line.seed}: {line.failed}" for line in runs if line.failed),
    )


def _curves(study: Study, results: Results, arm: str) -> ArmCurves | None:
    bands = [
        Band(
            TITLES[measure],
            [point.step for point in points],
            [point.mean for point in points],
            [point.least for point in points],
            [point.most for point in points],
            place,
        )
        for place, measure in enumerate(MEASURES)
        if len(points := analysis.curve(results, arm, measure)) > 1
    ]
    if not bands:
        return None
    level = next((point.mean for point in analysis.curve(results, study.baseline, MEASURES[0])), None)
    ours = charts.bands(
        study.title_of(arm), bands, x_label="training step", y_label="score", limits=_LIMITS, level=level
    )
    return ArmCurves(arm, ours, [_published(name) for name in study.arms[arm].published])


def _published(name: str) -> Chart:
    bands = [
        Band(TITLES[measure], x, y, y, y, MEASURES.index(measure), dashed=True)
        for measure, points in published.curves(name).items()
        for x, y in [tuple(zip(*points, strict=True))]
    ]
    figure = name.partition("/")[0]
    return charts.bands(f"Published: {figure}", bands, x_label="training step", y_label="score", limits=_LIMITS)


def _by_arm(found: Sequence[T]) -> dict[str, list[T]]:
    by_arm: dict[str, list[T]] = {}
    for one in found:
        by_arm.setdefault(one.arm, []).append(one)
    return by_arm


def chance(p: float | None) -> str:
    """A p value."""
    return "–" if p is None else "< .001" if p < 0.001 else f"{p:.3f}"
