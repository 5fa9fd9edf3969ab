"""Two runs against each other: what must be the same, and what the difference is on the same items."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from wmsd_core.bench.benchmark import Arm
from wmsd_core.bench.comparison import Comparison, compare, corrected
from wmsd_core.bench.pictures import PictureDifference, difference
from wmsd_core.bench.run import EvaluationRun
from wmsd_core.bench.scores import recounted


@dataclass(frozen=True)
class Versus:
    """`one` minus `other`."""

    one: EvaluationRun
    other: EvaluationRun
    unlike: list[str]
    """What differs though it should not, in sentences; [] where the runs are comparable."""
    comparisons: list[Comparison]
    """By arm and measure; Holm's correction covers all of them."""
    pictures: list[PictureDifference]
    """In PickScore, of arms that one scorer has scored in both runs. No test: it is no verdict."""


def versus(one: EvaluationRun, other: EvaluationRun, *, anyway: bool = False) -> Versus:
    """Compares arms of one name; where there are none, the only arm of one run with each of the other.

    Raises:
        ValueError: the runs differ in what must be the same and `anyway` is not given, or there is nothing to compare.
    """
    unlike = list(differences(one, other))
    if unlike and not anyway:
        raise ValueError(f"these runs are not comparable: {'; '.join(unlike)}. --anyway compares them and says so")
    common = [item for item in one.items if item in set(other.items)]
    measures = [name for name in one.questions if name in other.questions]
    if not common or not measures:
        raise ValueError(
            f"these runs have {len(common)} items and {len(measures)} criteria in common: nothing to compare"
        )
    found: list[Comparison] = []
    arms = _arms(one, other)
    for mine, theirs in arms:
        by_item, of_other = recounted(one, mine), recounted(other, theirs)
        pairs = [by_item[item] for item in common], [of_other[item] for item in common]
        together = ["all", "average"] if one.questions.keys() == other.questions.keys() else []
        made = [compare(*pairs, measure) for measure in [*measures, *together]]
        found += [replace(comparison, arm=mine, against=theirs) for comparison in made if comparison]
    scored = [difference(one, mine, other, theirs) for mine, theirs in arms]
    return Versus(one, other, unlike, corrected(found), [pictures for pictures in scored if pictures])


def differences(one: EvaluationRun, other: EvaluationRun) -> Iterator[str]:
    """What makes two runs incomparable, each as a sentence with both sides."""
    mine, theirs = one.evaluation, other.evaluation
    if one.benchmark != other.benchmark:
        yield f"the benchmark is {one.benchmark} and {other.benchmark}"
    if only := set(one.items) ^ set(other.items):
        yield f"{len(only)} items are in one of them only ({len(one.items)} and {len(other.items)} items)"
    if mine.judge != theirs.judge:
        yield f"the judge is {mine.judge} and {theirs.judge}"
    asked = [name for name in one.questions if one.questions[name] != other.questions.get(name)]
    if asked or one.questions.keys() != other.questions.keys():
        names = asked or sorted(one.questions.keys() ^ other.questions.keys())
        yield f"the question text differs: {', '.join(names)}"
    if mine.config.arms and theirs.config.arms:
        if mine.config.sampler != theirs.config.sampler:
            yield f"the sampler is {mine.config.sampler} and {theirs.config.sampler}"
        if mine.config.seed != theirs.config.seed:
            yield f"the seed of the noise is {mine.config.seed} and {theirs.config.seed}"


def _arms(one: EvaluationRun, other: EvaluationRun) -> list[tuple[Arm, Arm]]:
    common = [(arm, arm) for arm in one.verdicts if arm in other.verdicts]
    if common:
        return common
    if 1 in (len(one.verdicts), len(other.verdicts)):
        return [(mine, theirs) for mine in one.verdicts for theirs in other.verdicts]
    raise ValueError(
        f"no arm is in both runs ({', '.join(one.verdicts)}; {', '.join(other.verdicts)}), and they have more than one each"
    )
