"""Line charts and histograms as inline SVG that takes its colours and its typeface from the page."""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from markupsafe import Markup

from wmsd_core.pages.drawings import Drawings

SERIES = tuple(f"#0505{index:02x}" for index in range(1, 7))
"""Placeholders for the page's colours of series."""


@dataclass(frozen=True)
class Series:
    """One series of a chart."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    colour: int
    """Index into the page's series colours."""


@dataclass(frozen=True)
class Band:
    """A line, and the range around it."""

    label: str
    x: Sequence[float]
    y: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]
    colour: int
    """Index into the page's series colours."""
    dashed: bool = False
    """For what is not our own."""


@dataclass(frozen=True)
class Limit:
    """A vertical line: what is beyond it on the given side is dropped."""

    value: float
    label: str
    drops_below: bool


@dataclass(frozen=True)
class Chart:
    """A finished drawing."""

    title: str
    svg: Markup
    note: str = ""
    legend: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    """Label and series number (from 1) of each line."""


_drawings: ContextVar[Drawings | None] = ContextVar("drawings", default=None)


@contextmanager
def kept(folder: Path) -> Generator[None]:
    """Within the block, charts are taken from `folder` where the same was drawn before, and put there where it was not. Those
    that the block did not ask for are removed at its end."""
    drawings = Drawings(folder)
    token = _drawings.set(drawings)
    try:
        yield
    finally:
        _drawings.reset(token)
    drawings.forget_others()


def lines(title: str, series: Sequence[Series], *, x_label: str, y_label: str) -> Chart:
    """Thin: every value. Thick: running mean over a tenth of the series. The legend is left to the page."""
    return Chart(title, _drawn("lines", series, x_label, y_label), "", _legend(series))


def bands(
    title: str,
    series: Sequence[Band],
    *,
    x_label: str,
    y_label: str,
    limits: tuple[float, float],
    level: float | None = None,
) -> Chart:
    """Lines through the points, each with its range shaded; `limits` of the vertical axis, so that charts can be compared, and
    a level to compare all of them with."""
    return Chart(title, _drawn("bands", series, x_label, y_label, limits, level), "", _legend(series))


def histogram(title: str, values: Sequence[float], thresholds: Sequence[Limit], *, x_label: str, log: bool) -> Chart:
    """Counts of values, with thresholds drawn in. On a log axis, 0 is shown as a tenth."""
    return Chart(title, _drawn("histogram", values, thresholds, x_label, log))


def picture(panels: Sequence[tuple[str, Series, str]], *, x_label: str) -> bytes:
    """Panels (title, series, y label) three beside each other, as a PNG on white for places that show no SVG."""
    from wmsd_core.pages import drawing

    return drawing.picture(panels, x_label)


def _drawn(kind: str, *arguments: Any) -> Markup:
    def draw() -> Markup:
        from wmsd_core.pages import drawing

        return getattr(drawing, kind)(*arguments)

    drawings = _drawings.get()
    return drawings.of((kind, *arguments), draw) if drawings else draw()


def _legend(series: Sequence[Series | Band]) -> list[tuple[str, int]]:
    return [(one.label, one.colour % len(SERIES) + 1) for one in series]
