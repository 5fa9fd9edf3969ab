"""The pictures of a dataset card: kinds of agents and tasks as in the paper's figure 3, and lengths of texts."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import matplotlib
import numpy as np
from matplotlib.figure import Figure

PAPER = {
    "agent_type": {
        "first_person": 0.507,
        "human": 0.390,
        "vehicle": 0.052,
        "object": 0.024,
        "creature": 0.019,
        "animal": 0.006,
        "crowd": 0.001,
    },
    "task_type": {
        "positioning": 0.222,
        "navigation": 0.203,
        "object_interaction": 0.190,
        "perception": 0.143,
        "combat": 0.066,
        "compound": 0.046,
        "vehicle_control": 0.041,
        "ui": 0.037,
        "other": 0.051,
    },
}
"""Shares in the paper's training set (section 4.1.1)."""
UNLABELLED = "unlabelled"
_COLOURS = ("#0a6fb3", "#c8500a", "#14855f", "#8e4fa8", "#9a7b00", "#b3261e", "#5b7f95", "#7b8088", "#a8a29a")
_INK, _MUTED, _RULE = "#1b1d21", "#62666e", "#dedfdc"
_STYLE = {
    "font.family": "sans-serif",
    "font.size": 9.5,
    "text.color": _INK,
    "axes.edgecolor": _RULE,
    "axes.labelcolor": _MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": _RULE,
    "xtick.color": _MUTED,
    "ytick.color": _INK,
    "ytick.major.size": 0,
    "savefig.dpi": 150,
}
_style: Any = cast(Any, matplotlib).rc_context


def taxonomy(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Draws rows of (split, agent_type, task_type, pairs): rings of the training set, and bars of both splits."""
    with _style(_STYLE):
        figure: Any = Figure(figsize=(9, 5.8), layout="constrained")
        left, right = figure.subfigures(1, 2, width_ratios=(1.15, 1))
        _rings(left.subplots(), [row for row in rows if row["split"] == "train"] or rows)
        top, bottom = right.subplots(2, 1, height_ratios=(8, 10))
        _bars(top, rows, "agent_type", "Agent types")
        _bars(bottom, rows, "task_type", "Task types")
        figure.savefig(path, metadata={"Software": None})


def lengths(path: Path, tasks: Mapping[int, int], solutions: Mapping[int, int]) -> None:
    """Draws how many pairs have a task, and a solution, of so many words."""
    with _style(_STYLE):
        figure: Any = Figure(figsize=(9, 2.6), layout="constrained")
        for axes, counts, name in zip(figure.subplots(1, 2), (tasks, solutions), ("task", "solution"), strict=True):
            words = np.repeat(list(counts), 1)
            weights = np.array(list(counts.values()), float)
            width = max(1, -(-int(words.max()) // 40))
            axes.hist(
                words, np.arange(0.5, words.max() + width + 0.5, width), weights=weights, color="#9aa5b5", linewidth=0
            )
            middle = int(words[np.searchsorted(weights.cumsum(), weights.sum() / 2)])
            axes.set_title(f"Words per {name}: median {middle}, longest {words.max()}", loc="left", fontsize=9.5)
            axes.set_xlabel("words")
            axes.set_ylabel("pairs")
            axes.set_xlim(0)
            axes.spines["left"].set_visible(False)
            axes.grid(axis="y", linewidth=0.6)
        figure.savefig(path, metadata={"Software": None})


def _rings(axes: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    """Inner ring: agent types. Outer ring: the task types of each, in lighter tones of its colour."""
    agents = _totals(rows, "agent_type")
    total = sum(agents.values())
    inner, outer, shades, labels = list(agents.values()), list[int](), list[Any](), list[str]()
    colours = [_COLOURS[index % len(_COLOURS)] for index in range(len(agents))]
    for agent, colour in zip(agents, colours, strict=True):
        tasks = _totals([row for row in rows if (row["agent_type"] or UNLABELLED) == agent], "task_type")
        for index, (task, pairs) in enumerate(tasks.items()):
            outer.append(pairs)
            shades.append(_lighter(colour, 0.25 + 0.5 * index / max(1, len(tasks) - 1)))
            labels.append(_name(task).replace(" ", "\n") if pairs >= 0.025 * total else "")
    edge = {"edgecolor": "white", "linewidth": 0.8}
    options: dict[str, Any] = {"startangle": 90, "counterclock": False}
    wedges, _ = axes.pie(inner, radius=0.68, colors=colours, wedgeprops={"width": 0.34, **edge}, **options)
    rim, _ = axes.pie(outer, radius=1.0, colors=shades, wedgeprops={"width": 0.31, **edge}, **options)
    for wedge, label in zip(rim, labels, strict=True):
        _write(axes, wedge, 0.845, label, _INK, 7)
    for wedge, (agent, pairs) in zip(wedges, agents.items(), strict=True):
        if pairs >= 0.06 * total:
            _write(axes, wedge, 0.51, f"{_name(agent)}\n{100 * pairs / total:.1f} %", "white", 7.6)
    axes.legend(
        wedges,
        [f"{_name(agent)}, {100 * pairs / total:.1f} %" for agent, pairs in agents.items()],
        loc="upper center",
        bbox_to_anchor=(0.5, 0.02),
        ncols=2,
        frameon=False,
    )
    axes.set_title("Training tasks by agent (inner) and kind (outer)", fontsize=9.5)


def _write(axes: Any, wedge: Any, radius: float, text: str, colour: str, size: float) -> None:
    """Text in the middle of a wedge, along its radius."""
    angle = np.deg2rad((wedge.theta1 + wedge.theta2) / 2)
    degrees = np.rad2deg(angle) % 360
    turn = 0 if size > 7.5 else degrees - 180 if 90 < degrees < 270 else degrees
    axes.text(
        radius * np.cos(angle),
        radius * np.sin(angle),
        text,
        ha="center",
        va="center",
        color=colour,
        fontsize=size,
        rotation=turn,
    )


def _bars(axes: Any, rows: Sequence[Mapping[str, Any]], column: str, title: str) -> None:
    """Shares of each split as bars, and the paper's as ticks, the commonest kind at the top."""
    splits = {name: [row for row in rows if row["split"] == name] for name in ("train", "bench")}
    kinds = list(_totals(rows, column) | dict.fromkeys(PAPER[column], 0))[::-1]
    places = np.arange(len(kinds))
    for (name, mine), colour, shift in zip(splits.items(), ("#5b7f95", "#c8500a"), (0.19, -0.19), strict=True):
        if mine:
            counts = _totals(mine, column)
            shares = np.array([counts.get(kind, 0) for kind in kinds]) / sum(counts.values())
            axes.barh(places + shift, 100 * shares, 0.36, color=colour, label=f"{name}, {sum(counts.values()):,}")
    paper = [100 * PAPER[column].get(kind, 0) for kind in kinds]
    axes.plot(paper, places, "|", color=_INK, markersize=11, markeredgewidth=1.4, label="paper, 146,440")
    axes.set_yticks(places, [_name(kind) for kind in kinds])
    axes.set_xlabel("% of pairs")
    axes.set_title(title, loc="left", fontsize=9.5)
    axes.grid(axis="x", linewidth=0.6)
    axes.legend(frameon=False, loc="lower right")


def _totals(rows: Sequence[Mapping[str, Any]], column: str) -> dict[str, int]:
    """Pairs of each kind, the commonest first."""
    counts: Counter[str] = Counter()
    for row in rows:
        counts[row[column] or UNLABELLED] += row["pairs"]
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))


def _name(kind: str) -> str:
    return {"ui": "UI", "first_person": "first person"}.get(kind, kind.replace("_", " "))


def _lighter(colour: str, share: float) -> tuple[float, ...]:
    rgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return tuple(rgb + (1 - rgb) * share)
