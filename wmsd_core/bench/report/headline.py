"""The result: what was run, every arm's scores, and what the differences amount to."""

from dataclasses import dataclass

import duckdb
from pydantic import JsonValue

from wmsd_core import store
from wmsd_core.bench.benchmark import Arm, Benchmark
from wmsd_core.bench.breakdown import Breakdown, breakdowns
from wmsd_core.bench.comparison import LEVEL, Comparison, compare_arms
from wmsd_core.bench.evaluation import Evaluation
from wmsd_core.bench.examination import MOST_WRONG, Finding, findings
from wmsd_core.bench.picture_scores import PictureScore, picture_scores
from wmsd_core.bench.report.gallery import Gallery, gallery
from wmsd_core.bench.scores import Missing, Outcome, Score, evaluation_id, missing, outcomes, scores, videos_of
from wmsd_core.bench.timing import Seconds, timings

ENOUGH = 300
"""Items below which the page points out that intervals are wide."""
ARM_TEXT: dict[str, tuple[str, str]] = {
    "base": ("Base", "short task, untrained model"),
    "demonstrator": ("Demonstrator", "detailed solution, untrained model"),
    "vlm": ("Base + VLM", "solution written at inference, untrained model"),
    "executor": ("Executor", "short task, trained model"),
}


def arm_text(arm: Arm) -> tuple[str, str]:
    """Name and meaning of an arm, for people."""
    return ARM_TEXT.get(arm, (arm, "clips made elsewhere"))


@dataclass(frozen=True)
class Headline:
    """What the first section shows."""

    evaluation: Evaluation
    benchmark: Benchmark
    name: str
    by_arm: dict[Arm, list[Outcome]]
    scores: dict[str, dict[str, Score]]
    """Measure -> arm -> score."""
    comparisons: dict[tuple[str, str], list[Comparison]]
    """(arm, against) -> one comparison per measure; the Executor's first."""
    controls: list[Finding]
    missing: list[Missing]
    breakdowns: list[Breakdown]
    seconds: dict[Arm, Seconds]
    """Per video, by part."""
    picture_scores: list[PictureScore]
    gallery: Gallery
    sentences: list[str]
    cautions: list[str]


def recorded(con: duckdb.DuckDBPyConnection) -> list[Evaluation]:
    """The evaluation of the newest run on each benchmark, newest first, from the summaries of the stage."""
    rows = store.query(
        con, "SELECT summary->>'evaluation' AS it FROM stage_runs WHERE stage = 'evaluate' ORDER BY started DESC"
    )
    found: list[JsonValue] = [row["it"] for row in rows]
    return [Evaluation.model_validate_json(text) for text in found if isinstance(text, str)]


def headline(con: duckdb.DuckDBPyConnection, evaluation: Evaluation) -> Headline:
    """Counts the verdicts afresh: the page shows what the store holds now.

    Raises:
        ValueError: the benchmark cannot be loaded, or has no item here.
    """
    benchmark = evaluation.benchmark
    by_arm = outcomes(con, evaluation)
    items = [outcome.item for outcome in next(iter(by_arm.values()))]
    name = evaluation_id(items, evaluation)
    counted = scores(by_arm, benchmark.measures)
    by_measure = {m: {score.arm: score for score in counted if score.measure == m} for m in benchmark.measures}
    controls = findings(con, evaluation)
    compared = compare_arms(by_arm, benchmark.measures)
    pairs = sorted({(c.arm, c.against) for c in compared}, key=lambda pair: (pair[0] != "executor", pair))
    return Headline(
        evaluation=evaluation,
        benchmark=benchmark,
        name=name,
        by_arm=by_arm,
        scores=by_measure,
        comparisons={(a, b): [c for c in compared if (c.arm, c.against) == (a, b)] for a, b in pairs},
        controls=controls,
        missing=missing(by_arm),
        breakdowns=breakdowns(con, benchmark, by_arm),
        seconds=timings(con, evaluation, videos_of(by_arm)),
        picture_scores=picture_scores(con, by_arm),
        gallery=gallery(by_arm, evaluation.config.seed),
        sentences=[
            reached(by_measure["average"], len(items)),
            *(in_words(c) for c in compared if c.measure == "average" and c.arm == "executor"),
            *(lost(c, benchmark.describe(c.measure)[0]) for c in compared if c.arm == "executor" and loses(c)),
        ],
        cautions=[
            *_cautions(con, name, counted, evaluation, len(items)),
            *(failing(finding) for finding in controls if finding.fails),
        ],
    )


def in_words(comparison: Comparison) -> str:
    """A comparison of averages as a sentence that follows `reached`."""
    points = 100 * comparison.difference
    interval = f"95 % interval {_signed(comparison.low)} to {_signed(comparison.high)}"
    against = arm_text(comparison.against)[0]
    if comparison.p_holm >= LEVEL:
        return (
            f"Between it and the {against} no difference is shown: {_signed(comparison.difference)} points "
            f"({interval}), which chance alone could produce ({p_text(comparison.p_holm)})."
        )
    if comparison.undone:
        return (
            f"Whether it is better than the {against} is not shown: only {100 * comparison.valid:.0f} % of the tasks have "
            f"valid verdicts on both, and the missing ones could undo the {_signed(comparison.difference)} points."
        )
    how = "better" if points > 0 else "worse"
    chance = "far from anything chance would produce" if comparison.p_holm < 0.001 else "unlikely to be chance"
    return (
        f"It is {how} than the {against} by {abs(points):.1f} points ({interval}), "
        f"{chance} ({p_text(comparison.p_holm)})."
    )


def loses(comparison: Comparison) -> bool:
    """Whether a criterion is shown to be worse, verdicts that are missing allowed for."""
    return comparison.shown and comparison.difference < 0 and comparison.measure not in ("all", "average")


def lost(comparison: Comparison, title: str) -> str:
    """The sentence about a criterion that an arm loses."""
    interval = f"95 % interval {_signed(comparison.low)} to {_signed(comparison.high)}"
    return (
        f"On {title.lower()} alone it is worse than the {arm_text(comparison.against)[0]}, by "
        f"{-100 * comparison.difference:.1f} points ({interval}; {p_text(comparison.p_holm)})."
    )


def failing(finding: Finding) -> str:
    """The sentence about a question that a control shows to be blind."""
    title, control = finding.criterion.title, finding.control.title
    wrong, said = (finding.valid - finding.good, "no") if finding.expected else (finding.good, "yes")
    return (
        f"The question “{title}” does not see what it should: of {finding.valid} controls ({control}) {wrong} were answered "
        f"with a wrong {said}, more than {100 * MOST_WRONG:.0f} %."
    )


def reached(averages: dict[str, Score], items: int) -> str:
    """The first sentence: what the Executor, or else every arm, scores on average."""
    values = {
        arm_text(arm)[0]: f"{100 * score.score:.1f} %" for arm, score in averages.items() if score.score is not None
    }
    if not values:
        return f"No video of the {items} held-out tasks has a full set of valid verdicts: there is no score to show."
    own = values.pop("Executor", None)
    rest = ", ".join(f"the {arm} {value}" for arm, value in values.items())
    if own is None:
        return f"On {items} held-out tasks: {rest}, on average over the three criteria."
    return f"On {items} held-out tasks the Executor scores {own} on average over the three criteria ({rest})."


def _signed(difference: float) -> str:
    return f"{100 * difference:+.1f}".replace("-", "−")


def p_text(p: float) -> str:
    """A p value to two digits, never as 0; with no-break spaces."""
    return "p\u00a0<\u00a00.001" if p < 0.001 else f"p\u00a0=\u00a0{p:.2g}" if p < 0.995 else "p\u00a0=\u00a01"


def _cautions(
    con: duckdb.DuckDBPyConnection, name: str, counted: list[Score], evaluation: Evaluation, items: int
) -> list[str]:
    found: list[str] = []
    expected = evaluation.benchmark.expected
    if expected and items < expected:
        found.append(f"The published benchmark has {expected} items; these are {items}, and their scores not its own.")
    elif items < evaluation.config.tasks and not expected:
        found.append(f"{evaluation.config.tasks} tasks were asked for, the bench split holds {items}.")
    if items < ENOUGH:
        found.append(f"With {items} tasks the intervals are wide; {ENOUGH} or more are recommended.")
    if not store.query(con, "SELECT 1 FROM evaluations WHERE evaluation_id = ? LIMIT 1", [name]):
        found.append("Tasks or questions have changed since the evaluation; run the evaluate stage again.")
    for criterion in evaluation.benchmark.criteria:
        rows = [score for score in counted if score.measure == criterion.name and score.valid]
        if rows and len({score.score for score in rows}) == 1 and rows[0].score in (0, 1):
            said = "fulfilled" if rows[0].score else "not fulfilled"
            found.append(f"{criterion.title}: every verdict is “{said}”; the judge did not tell videos apart.")
    lost = max(score.failure_rate for score in counted)
    if lost > 0.05:
        found.append(f"Up to {100 * lost:.0f} % of the videos of an arm have no valid verdict on some measure.")
    return found
