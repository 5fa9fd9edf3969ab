"""Clips side by side: where the Executor failed, worst first, and some of its wins."""

from dataclasses import dataclass
from pathlib import Path

from wmsd_core.bench.benchmark import Arm
from wmsd_core.bench.scores import Outcome
from wmsd_core.pages.images import Strip, strip

FAILURES, WINS = 12, 6
BUDGET = 9_000_000
"""Bytes of clips on a page."""


@dataclass(frozen=True)
class Clip:
    """One arm's video with its verdicts."""

    arm: Arm
    strip: Strip | None
    verdicts: dict[str, bool | None]


@dataclass(frozen=True)
class Row:
    """One task, every arm."""

    task: str
    solution: str
    seed: int
    clips: list[Clip]


@dataclass(frozen=True)
class Gallery:
    """What the section shows, and out of how many."""

    failures: list[Row]
    failed: int
    wins: list[Row]
    won: int

    @property
    def rows(self) -> list[Row]:
        """All that is shown."""
        return [*self.failures, *self.wins]


def gallery(by_arm: dict[Arm, list[Outcome]], seed: int) -> Gallery:
    """Failures: not all criteria fulfilled, ordered by what was lost against the Demonstrator. Wins: all fulfilled
    where the base fails, in the order of the draw, which is random."""
    executor = by_arm.get("executor", [])
    others = by_arm.get("demonstrator", executor)
    base = by_arm.get("base", executor)
    failed = [i for i, outcome in enumerate(executor) if outcome.points("all") == 0]
    failed.sort(key=lambda i: (_gain(executor[i], others[i]), executor[i].item.item_id))
    won = [i for i, outcome in enumerate(executor) if outcome.points("all") == 1 and base[i].points("all") == 0]
    room = BUDGET
    rows: dict[int, Row] = {}
    for i in [*failed[:FAILURES], *won[:WINS]]:
        row = _row([outcomes[i] for outcomes in by_arm.values()], seed)
        room -= sum(len(clip.strip.uri) for clip in row.clips if clip.strip)
        if room < 0:
            break
        rows[i] = row
    return Gallery(
        [rows[i] for i in failed[:FAILURES] if i in rows],
        len(failed),
        [rows[i] for i in won[:WINS] if i in rows],
        len(won),
    )


def _gain(mine: Outcome, other: Outcome) -> tuple[int, float]:
    """Criteria, then nats of the first criterion's log-odds, that the Executor has more than the other."""
    points = (mine.points("average") or 0) - (other.points("average") or 0)
    first = next(iter(mine.log_odds))
    return points, (mine.log_odds[first] or 0.0) - (other.log_odds[first] or 0.0)


def _row(outcomes: list[Outcome], seed: int) -> Row:
    item = outcomes[0].item
    clips = [Clip(o.arm, strip(Path(o.video)) if o.video else None, o.verdicts) for o in outcomes]
    return Row(item.task, item.solution, item.seed(seed), clips)
