"""Scores in the forms that others read: JSON, CSV, Markdown, and LaTeX in the layout of the paper's tables.

Published rows stand beside ours, marked: other pictures, another judge, sometimes another number of items.
"""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wmsd_core.bench import statistics
from wmsd_core.bench.benchmark import Benchmark
from wmsd_core.bench.comparison import ENOUGH_VALID
from wmsd_core.bench.picture_scores import PictureScore, of_run
from wmsd_core.bench.report.headline import arm_text
from wmsd_core.bench.run import EvaluationRun
from wmsd_core.bench.scores import Score, recounted, score
from wmsd_core.bench.statistics import Interval
from wmsd_core.bench.timing import JUDGING, PARTS, WHOLE
from wmsd_core.publication import publishing, write_manifest

MARK = "†"


@dataclass(frozen=True)
class TableRow:
    """A row of the table: a method, and by measure what it scores."""

    method: str
    published: bool
    scores: dict[str, Score | float | None]
    """A score of ours, or the figure that was published."""


def lines(run: EvaluationRun, benchmark: Benchmark) -> list[TableRow]:
    """Our arms, then what has been published."""
    ours = [
        TableRow(
            arm_text(arm)[0],
            False,
            {m: score(arm, m, list(recounted(run, arm).values())) for m in benchmark.measures},
        )
        for arm in run.verdicts
    ]
    rows = benchmark.published.rows if benchmark.published else {}
    return ours + [
        TableRow(method, True, {m: values.get(m) for m in benchmark.measures}) for method, values in rows.items()
    ]


def publish(run: EvaluationRun, benchmark: Benchmark, out: Path) -> list[Path]:
    """Writes run.json, scores.csv, scores.md and scores.tex, with a manifest, to a folder that appears complete or not at all.

    Raises:
        ValueError: the folder holds something else than what was published before.
    """
    table = lines(run, benchmark)
    forms = {
        "run.json": run.model_dump_json(indent=1) + "\n",
        "scores.csv": as_csv(table, run),
        "scores.md": as_markdown(table, benchmark, run),
        "scores.tex": as_latex(table, benchmark, run),
    }
    with publishing(out) as folder:
        for name, text in forms.items():
            (folder / name).write_text(text, encoding="utf-8")
        write_manifest(folder, {"benchmark": run.benchmark, "evaluation": run.evaluation_id})
    return [out / name for name in forms]


def as_csv(table: Sequence[TableRow], run: EvaluationRun) -> str:
    """One line per method and measure, all figures in full; shares are in [0, 1], PickScore is as published."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["method", "published", "measure", "score", "low", "high", "successes", "valid", "expected", "pictures"]
    )
    for line in table:
        for measure, found in line.scores.items():
            figures = (
                [found.score, found.low, found.high, found.successes, found.valid, found.expected, found.pictures]
                if isinstance(found, Score)
                else [found, "", "", "", "", "", ""]
            )
            writer.writerow([line.method, line.published, measure, *figures])
    for one in of_run(run):
        counts = ["", one.videos, len(run.items), one.pictures]
        for measure, value, interval in (
            ("pickscore", one.mean, one.interval),
            ("pickscore of the first frame", one.first, None),
            ("pickscore, difference", one.difference, one.of_difference),
        ):
            ends = [interval.low, interval.high] if interval else ["", ""]
            writer.writerow([arm_text(one.arm)[0], False, measure, value, *ends, *counts])
    return text.getvalue()


def as_markdown(table: Sequence[TableRow], benchmark: Benchmark, run: EvaluationRun) -> str:
    """A table with the intervals, and what it rests on."""
    measures = _shown(benchmark)
    titles = [benchmark.describe(measure)[0] for measure in measures]
    rows = [f"| {' | '.join(['per cent', *titles, 'valid / items'])} |", f"|{'---|' * (len(titles) + 2)}"]
    for line in table:
        cells = [_cell(line.scores[measure], "{:.1f} [{:.1f}, {:.1f}]") for measure in measures]
        method = line.method.replace("|", "\\|") + (f" {MARK}" if line.published else "")
        rows.append(f"| {' | '.join([method, *cells, _counts(line)])} |")
    return "\n".join([*rows, "", "\n\n".join(_notes(table, benchmark, run)), *_pictures(run), *_times(run), ""])


_PICTURES = ("PickScore", "mean over frames", "first frame alone", "difference", "videos")
_ON_PICTURES = (
    "for the short task. A still copy of the first frame scores like the first frame alone: look at the difference."
)


def _pictures(run: EvaluationRun) -> list[str]:
    """A table of PickScore by arm; nothing where none was asked for."""
    found = of_run(run)
    if not found:
        return []
    rows = [f"| {' | '.join([arm_text(one.arm)[0], *_picture_cells(one, run)])} |" for one in found]
    note = f"PickScore by {found[0].scorer}, {_ON_PICTURES}"
    return ["", f"| {' | '.join(_PICTURES)} |", f"|{'---|' * len(_PICTURES)}", *rows, "", note]


def _picture_cells(one: PictureScore, run: EvaluationRun, form: str = " [{}, {}]") -> list[str]:
    """Mean, first frame, difference, with intervals where there is more than one picture, and the number of videos."""

    def ends(interval: Interval, figure: str) -> str:
        known = math.isfinite(interval.low) and math.isfinite(interval.high)
        return form.format(format(interval.low, figure), format(interval.high, figure)) if known else ""

    mean, difference = f"{one.mean:.2f}{ends(one.interval, '.2f')}", ends(one.of_difference, "+.2f")
    return [mean, f"{one.first:.2f}", f"{one.difference:+.2f}{difference}", f"{one.videos} / {len(run.items)}"]


def _times(run: EvaluationRun) -> list[str]:
    """A table of seconds per video by arm; nothing where none was measured."""
    measured = {arm: seconds for arm, seconds in run.seconds.items() if seconds}
    if not measured:
        return []
    parts = [part for part in (WHOLE, *PARTS, JUDGING) if any(part in seconds for seconds in measured.values())]
    return [
        "",
        f"| seconds per video | {' | '.join(parts)} |",
        f"|{'---|' * (len(parts) + 1)}",
        *(
            f"| {arm_text(arm)[0]} | {' | '.join(f'{seconds[p]:.3g}' if p in seconds else '--' for p in parts)} |"
            for arm, seconds in measured.items()
        ),
        "",
        f"{WHOLE.capitalize()}: from the task to the file, without judging. Videos are made one by one.",
    ]


def as_latex(table: Sequence[TableRow], benchmark: Benchmark, run: EvaluationRun) -> str:
    """The layout of the paper's tables: methods down, measures across, the average last; for booktabs."""
    measures = _shown(benchmark)
    heads = " & ".join(_tex(benchmark.describe(measure)[0]) for measure in measures)
    rows: list[str] = []
    for before, line in zip([None, *table], table, strict=False):
        if before and line.published and not before.published:
            rows.append("\\midrule")
        cells = [_cell(line.scores[measure], "{:.1f} {{\\scriptsize [{:.1f}, {:.1f}]}}") for measure in measures]
        method = _tex(line.method) + ("$^\\dagger$" if line.published else "")
        rows.append(f"{method} & {' & '.join(cells)} \\\\")
    notes = [f"% {note}" for note in _notes(table, benchmark, run)]
    whole = [*notes, *_tabular(f"Method & {heads}", len(measures), rows)]
    if found := of_run(run):
        form = " {{\\scriptsize [{}, {}]}}"
        rows = [f"{' & '.join([_tex(arm_text(o.arm)[0]), *_picture_cells(o, run, form)])} \\\\" for o in found]
        note = f"% PickScore by {found[0].scorer}, {_ON_PICTURES}"
        whole += ["", note, *_tabular(" & ".join(_PICTURES), len(_PICTURES) - 1, rows)]
    return "\n".join([*whole, ""])


def _tabular(heads: str, columns: int, rows: Sequence[str]) -> list[str]:
    begin = f"\\begin{{tabular}}{{l{'c' * columns}}}"
    return [begin, "\\toprule", f"{heads} \\\\", "\\midrule", *rows, "\\bottomrule", "\\end{tabular}"]


def _shown(benchmark: Benchmark) -> list[str]:
    return [measure for measure in benchmark.measures if measure != "all"]


def _cell(found: Score | float | None, form: str) -> str:
    if isinstance(found, Score):
        ends = (found.score, found.low, found.high)
        return "--" if None in ends else form.format(*(100 * end for end in ends if end is not None))
    return "--" if found is None else f"{100 * found:.1f}"


def _counts(line: TableRow) -> str:
    found = [score for score in line.scores.values() if isinstance(score, Score)]
    return f"{min(score.valid for score in found)} / {found[0].expected}" if found else "--"


def _notes(table: Sequence[TableRow], benchmark: Benchmark, run: EvaluationRun) -> list[str]:
    pictures = len(set(run.pictures))
    notes = [
        f"{benchmark.title}, {len(run.items)} items of {pictures} pictures, 95 % intervals by picture; evaluation "
        f"{run.evaluation_id}, judged by {run.evaluation.judge}."
    ]
    for line in table:
        average = line.scores.get("average")
        if isinstance(average, Score) and average.valid < ENOUGH_VALID * average.expected:
            bounds = statistics.missing_bounds(average.successes, average.valid, average.expected)
            notes.append(
                f"{line.method}: {average.expected - average.valid} of {average.expected} items lack a verdict; with theirs "
                f"the average is something from {100 * bounds.low:.1f} to {100 * bounds.high:.1f}."
            )
    if benchmark.published:
        notes.append(f"{MARK} as published: {benchmark.published.title}. Other pictures and another judge.")
    return notes


def _tex(text: str) -> str:
    for sign in "\\&%$#_{}~^":
        text = text.replace(sign, {"\\": "/", "~": "-", "^": ""}.get(sign, f"\\{sign}"))
    return text
