"""What the scores of VBVR-Bench come to: means by category of both schemes and by split, as others would count, and bounds.

A category's mean is over its samples, as published. Categories and splits are confounded (all of abstraction is in-domain by
the older scheme): compare categories of one split only.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from wmsd_core.bench import statistics
from wmsd_core.bench.suites.vbvr import layout
from wmsd_core.bench.suites.vbvr.kit import Kit, Scored
from wmsd_core.bench.suites.vbvr.layout import Sample
from wmsd_core.bench.suites.vbvr.scoring import Model, score
from wmsd_core.files import replacing
from wmsd_core.publication import refuse_other

OLD = ("Abstraction", "Categorization", "Navigation", "Perception", "Physics", "Transformation")
NEW = ("Abstraction", "Knowledge", "Perception", "Spatiality", "Transformation")
PUBLISHED = {
    "LTX-2": (0.599, 0.619, 0.623, 0.596, 0.611, 0.574, 0.573),
    "LTX-2 + WMSD": (0.613, 0.640, 0.620, 0.603, 0.630, 0.580, 0.619),
    "LTX-2 + WMSD, prompt rewritten": (0.622, 0.658, 0.621, 0.603, 0.662, 0.579, 0.621),
}
"""Table 5 of the paper: the mean, then `OLD`. By which kit and entry point is not said."""
TITLE = "# VBVR-Bench"
CELLS: dict[str, Callable[[str], str]] = {
    "split": lambda task: layout.tasks()[task].split,
    "old": lambda task: layout.tasks()[task].old,
    "new": lambda task: layout.tasks()[task].new,
}
"""How samples are grouped."""


@dataclass(frozen=True)
class Cell:
    """One mean."""

    model: str
    by: str
    """all, split, old or new."""
    name: str
    mean: float | None
    """Over scored samples; None without one."""
    low: float | None
    high: float | None
    """95 % interval by task, whose samples are alike."""
    scored: int
    expected: int
    least: float
    most: float
    """The mean if every sample without a score had 0, and 1."""
    as_published: float | None
    """As the kit counts: a sample that it failed on is 0, a missing video none; None without one of either."""


def cells(known: Sequence[Sample], model: Model) -> list[Cell]:
    """All means of a model, over everything first."""
    groups: dict[tuple[str, str], list[Sample]] = {("all", "all"): list(known)}
    for by, of in CELLS.items():
        for sample in known:
            groups.setdefault((by, of(sample.task)), []).append(sample)
    ordered = sorted(groups, key=lambda group: (["all", *CELLS].index(group[0]), group[1]))
    return [_cell(model, *group, groups[group]) for group in ordered]


def publish(
    truth: Path, videos: Mapping[str, Path], kit: Kit, out: Path
) -> tuple[list[dict[str, object]], list[tuple[str, str]]]:
    """Scores every model, writes scores.json and scores.md; returns a row for each model, and remarks on files.

    Raises:
        ValueError: as `score`; or the folder has scores of something else under these names.
    """
    refuse_other(out / "scores.json", f'"published": {layout.SAMPLES}')
    refuse_other(out / "scores.md", TITLE)
    described = kit.describe()
    known, models = score(truth, videos, kit, out)
    found = {model.name: cells(known, model) for model in models}
    remarks = [
        (f"{model.name}, {remark.kind}", f"{remark.subject}: {remark.detail}")
        for model in models
        for remark in model.submission.remarks
        if remark.kind not in ("missing", "ignored")
    ]
    record = {
        "kit": described,
        "expected": len(known),
        "published": layout.SAMPLES,
        "models": {
            model.name: {
                "found": len(model.submission.found),
                "cells": [asdict(cell) for cell in found[model.name]],
                "scores": {name: scored._asdict() for name, scored in model.scores.items()},
                "shapes": model.submission.shapes,
                "remarks": [asdict(remark) for remark in model.submission.remarks],
            }
            for model in models
        },
    }
    forms = {"scores.json": json.dumps(record, indent=1) + "\n", "scores.md": as_markdown(described, known, models)}
    for name, text in forms.items():
        with replacing(out / name) as partial:
            partial.write_text(text, encoding="utf-8")
    return [_summary(model, found[model.name], "old" if kit.old else "new") for model in models], remarks


def _summary(model: Model, found: Sequence[Cell], scheme: str) -> dict[str, object]:
    whole = found[0]
    return {
        "model": model.name,
        "mean": whole.mean,
        "low": whole.low,
        "high": whole.high,
        "found": len(model.submission.found),
        "scored": whole.scored,
        "expected": whole.expected,
        "least": whole.least,
        "most": whole.most,
        "as published": whole.as_published,
        **{cell.name: cell.mean for cell in found if cell.by == scheme},
        "without a score": reasons(model),
    }


def _cell(model: Model, by: str, name: str, members: Sequence[Sample]) -> Cell:
    by_task: defaultdict[str, list[float]] = defaultdict(list)
    for sample in members:
        value = model.scores[sample.name].score
        if value is not None:
            by_task[sample.task].append(value)
    values = [value for group in by_task.values() for value in group]
    interval = None
    if values:
        interval = statistics.mean_interval([sum(g) for g in by_task.values()], [len(g) for g in by_task.values()])
    failed = sum(_failed(model.scores[sample.name]) for sample in members)
    counted = len(values) + failed
    return Cell(
        model.name,
        by,
        name,
        sum(values) / len(values) if values else None,
        interval.low if interval else None,
        interval.high if interval else None,
        len(values),
        len(members),
        sum(values) / len(members),
        (sum(values) + len(members) - len(values)) / len(members),
        sum(values) / counted if counted else None,
    )


def _failed(scored: Scored) -> bool:
    return scored.score is None and scored.reason.startswith("the kit failed on it")


def reasons(model: Model) -> Mapping[str, int]:
    """Why samples have no score, the most frequent first."""
    return dict(Counter(found.reason for found in model.scores.values() if found.score is None).most_common())


def as_markdown(described: Mapping[str, str], known: Sequence[Sample], models: Sequence[Model]) -> str:
    """The tables of both schemes, what they were scored by, and the published rows beside the older one."""
    found = {(cell.model, cell.by, cell.name): cell for model in models for cell in cells(known, model)}
    lines = [
        TITLE,
        "",
        f"{len(known)} samples (the published set has {layout.SAMPLES}). "
        + "; ".join(f"{name}: {value}" for name, value in described.items())
        + ".",
        "",
    ]
    for by, names, title in (("old", OLD, "Six categories, as in the paper"), ("new", NEW, "Five categories")):
        lines += [f"## {title}", "", _row("", "Mean", *names, "Scored"), "|---|" + "---|" * (len(names) + 2)]
        for model in models:
            row = [found[model.name, "all", "all"], *(found.get((model.name, by, name)) for name in names)]
            lines.append(
                _row(model.name, *map(_figure, row), f"{row[0].scored} / {row[0].expected}" if row[0] else "--")
            )
        if by == "old":
            lines += [
                _row(f"{name} †", *(f"{value:.3f}" for value in values), "--") for name, values in PUBLISHED.items()
            ]
        lines.append("")
    lines += ["## Splits", "", _row("", *layout.SPLITS), "|---|---|---|"]
    lines += [
        _row(model.name, *(_figure(found.get((model.name, "split", split))) for split in layout.SPLITS))
        for model in models
    ]
    lines += [
        "",
        "In brackets: 95 % interval by task. † as published (table 5 of the paper); kit and entry point not said.",
        "",
    ]
    for model in models:
        lost = [f"- {model.name}: {count} without a score: {reason}" for reason, count in reasons(model).items()]
        lines += lost
        lines += [
            f"- {model.name}: {r.kind}: {r.subject}: {r.detail}"
            for r in model.submission.remarks
            if r.kind != "missing"
        ]
    return "\n".join(lines) + "\n"


def _figure(cell: Cell | None) -> str:
    if cell is None or cell.mean is None or cell.low is None or cell.high is None:
        return "--"
    return f"{cell.mean:.3f} [{cell.low:.3f}, {cell.high:.3f}]"


def _row(*texts: str) -> str:
    return f"| {' | '.join(text.replace('|', '/') for text in texts)} |"
