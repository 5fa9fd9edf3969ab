"""How well defects are found, where it is known which files have which: precision and recall per kind of defect."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from wmsd_core.store import reading

GOOD = "good"
REASONS = {
    "blurred": frozenset({"blurred", "unsharp"}),
    "dark": frozenset({"dark", "near_black"}),
    "bright": frozenset({"bright", "near_white"}),
    "empty": frozenset({"flat"}),
    "truncated": frozenset({"truncated", "undecodable", "not_an_image", "empty"}),
    "misnamed": frozenset({"wrong_extension"}),
    "text": frozenset({"not_an_image"}),
}
"""Kind of defect -> the reasons that name it. A kind that is not here is named by the reason of the same name."""


@dataclass(frozen=True)
class DefectScore:
    """One kind of defect: files that have it, files rejected for it, and both together."""

    defect: str
    planted: int
    named: int
    """Planted files that were rejected for this defect."""
    accused: int
    """Files rejected for this defect, whatever their truth."""
    wronged: int
    """Good files among the accused."""

    @property
    def recall(self) -> float:
        """Share of the planted files that were rejected for this defect; NaN if none was planted."""
        return self.named / self.planted if self.planted else float("nan")

    @property
    def precision(self) -> float:
        """Share of the accused files that are not good; NaN if none was accused.

        A file with another defect counts as rightly accused: a frame darkened to a sixth is also low in contrast, and
        "blurred" is then a second true remark, not an error.
        """
        return 1 - self.wronged / self.accused if self.accused else float("nan")


def score_against(truth: Mapping[Path, str], store: Path) -> list[DefectScore]:
    """Compares the rejections of stages `frames` and `filter` with the truth: path -> kind of defect, or "good".

    Returns a row for each kind of defect in `truth`, in order of name. Files that `truth` does not list are left out.
    """
    with reading(store) as con:
        rows = con.execute("SELECT path, reason FROM rejections WHERE stage IN ('frames', 'filter')").fetchall()
    reasons: dict[Path, set[str]] = defaultdict(set)
    for path, reason in rows:
        reasons[Path(path)].add(reason)
    known = {path.resolve(): defect for path, defect in truth.items()}
    scores: list[DefectScore] = []
    for defect in sorted(set(known.values()) - {GOOD}):
        names = REASONS.get(defect, frozenset({defect}))
        accused = [path for path in known if reasons[path] & names]
        scores.append(
            DefectScore(
                defect=defect,
                planted=sum(kind == defect for kind in known.values()),
                named=sum(known[path] == defect for path in accused),
                accused=len(accused),
                wronged=sum(known[path] == GOOD for path in accused),
            )
        )
    return scores
