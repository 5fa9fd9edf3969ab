"""How charts are drawn, by matplotlib, which takes half a second to read: `charts` does it where a drawing is not there yet."""

import io
import math
import re
from collections.abc import Sequence
from typing import Any, cast

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure

from wmsd_core.pages.charts import SERIES, Band, Limit, Series

# A chart is drawn in placeholder colours, which the SVG then swaps for the page's variables: one drawing, two schemes.
INK, MUTED, RULE, FILL = "#010101", "#020202", "#030303", "#040404"
_VARIABLES = {INK: "--ink", MUTED: "--muted", RULE: "--rule", FILL: "--fill"} | {
    colour: f"--series-{index}" for index, colour in enumerate(SERIES, start=1)
}
_ON_WHITE = {INK: "#1b1d21", MUTED: "#62666e", RULE: "#dedfdc", FILL: "#9aa5b5", SERIES[-1]: "#0a6fb3"}
"""The light colours of the page, for `picture`."""
_STYLE = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 9.5,
    "text.color": INK,
    "axes.edgecolor": RULE,
    "axes.labelcolor": MUTED,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.linewidth": 0.8,
    "axes.formatter.limits": (-3, 5),
    "axes.formatter.use_mathtext": False,
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "xtick.color": RULE,
    "ytick.color": RULE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.major.size": 3,
    "ytick.major.size": 0,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
}
_style: Any = cast(Any, matplotlib).rc_context
SIZE = (4.0, 2.25)  # inches; about the width at which the page shows it, so that text keeps its size
MARGINS = {"left": 0.19, "right": 0.96, "bottom": 0.2, "top": 0.95}
"""Shares of the size, with room for seven digits. To have matplotlib find them takes as long as the drawing."""


def lines(series: Sequence[Series], x_label: str, y_label: str) -> Markup:
    """As `charts.lines`, and so are the others."""
    with _style(_STYLE):
        figure, axes = _axes(x_label, y_label)
        for line in series:
            _draw(axes, line, SERIES[line.colour % len(SERIES)])
        return _svg(figure)


def bands(
    series: Sequence[Band], x_label: str, y_label: str, limits: tuple[float, float], level: float | None
) -> Markup:
    with _style(_STYLE):
        figure, axes = _axes(x_label, y_label)
        for band in series:
            colour = SERIES[band.colour % len(SERIES)]
            axes.fill_between(band.x, band.low, band.high, color=colour, alpha=0.18, linewidth=0)
            dashes = (0, (4, 2)) if band.dashed else "-"
            axes.plot(band.x, band.y, color=colour, linewidth=1.5, linestyle=dashes, marker="o", markersize=2.5)
        if level is not None:
            axes.axhline(level, color=MUTED, linewidth=1.2)
        axes.set_ylim(*limits)
        return _svg(figure)


def histogram(values: Sequence[float], thresholds: Sequence[Limit], x_label: str, log: bool) -> Markup:
    least = 0.1 if log else -math.inf
    marks = [max(threshold.value, least) for threshold in thresholds]
    data = np.maximum(np.asarray(values, float), least)
    low, high = min(float(data.min()), *marks, math.inf), max(float(data.max()), *marks, -math.inf)
    with _style(_STYLE):
        figure, axes = _axes(x_label, "frames")
        if log:
            axes.set_xscale("log")
            bins: Any = np.geomspace(low, max(high, 10 * low), 41)
        else:
            bins = np.linspace(low, high if high > low else low + 1, 41)
        axes.hist(data, bins=bins, color=FILL, linewidth=0)
        for mark in marks:
            axes.axvline(mark, color=INK, linewidth=1.2, linestyle=(0, (4, 2)))
        return _svg(figure)


def picture(panels: Sequence[tuple[str, Series, str]], x_label: str) -> bytes:
    rows = math.ceil(len(panels) / 3)
    style = {name: _ON_WHITE.get(value, value) if isinstance(value, str) else value for name, value in _STYLE.items()}
    with _style(style):
        figure: Any = Figure(figsize=(3 * SIZE[0], rows * SIZE[1]), layout="constrained", facecolor="white")
        for place, (title, series, y_label) in enumerate(panels, start=1):
            axes = figure.add_subplot(rows, 3, place)
            axes.set_title(title, fontsize=10)
            axes.set_xlabel(x_label)
            axes.set_ylabel(y_label)
            _draw(axes, series, _ON_WHITE[SERIES[-1]])
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()


def _draw(axes: Any, line: Series, colour: str) -> None:
    """Thin: every value. Thick: running mean over a tenth of the series, where it is long enough to have one."""
    x, y = np.asarray(line.x, float), np.asarray(line.y, float)
    if len(y) < 20:
        axes.plot(x, y, color=colour, linewidth=1.4, marker="o", markersize=2.5)
    else:
        axes.plot(x, y, color=colour, linewidth=0.7, alpha=0.3)
        axes.plot(x, running_mean(y, len(y) // 10), color=colour, linewidth=1.6)


def running_mean(y: np.ndarray, window: int) -> np.ndarray:
    """Centred mean over `window` values, fewer at the ends; values that are not finite do not count."""
    kernel = np.ones(max(1, window))
    finite = np.isfinite(y)
    total = np.convolve(np.where(finite, y, 0.0), kernel, "same")
    count = np.convolve(finite.astype(float), kernel, "same")
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _axes(x_label: str, y_label: str) -> tuple[Any, Any]:
    """A figure and its axes; matplotlib's own types are too loose to be of use."""
    figure: Any = Figure(figsize=SIZE)
    axes = figure.subplots(gridspec_kw=MARGINS)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    axes.spines["left"].set_visible(False)
    return figure, axes


def _svg(figure: Any) -> Markup:
    """The figure as an SVG element of the page: no prolog, metadata, namespaces or style that would leak out of it."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->|<style[^>]*>.*?</style>", "", text, flags=re.DOTALL)
    text = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", text).replace("xlink:href", "href")
    text = re.sub(r"\n\s*", "\n", text)
    text = re.sub(r'\sid="(?!p[0-9a-f]{6}|m[0-9a-f]{6}|h[0-9a-f]{6})[^"]*"', "", text)
    text = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", text)
    text = re.sub(r"font-family:[^;\"]*;?", "", text)
    for placeholder, variable in _VARIABLES.items():
        text = text.replace(placeholder, f"var({variable})")
    return Markup(re.sub(r'(<svg[^>]*?) width="[^"]*"| height="[\d.]+pt"', r"\1", text, count=2))
