"""The paper's curves (arXiv 2606.12072), read off its figures; one run each.

They stand beside a study's for the order and the shape of arms. Their scores are of real videos and a VLM as the judge.
"""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path

Curve = Sequence[tuple[float, float]]
"""Step (or the anchor's weight) and score in [0, 1]."""


@cache
def figures() -> Mapping[str, Mapping[str, Mapping[str, Curve]]]:
    """Figure -> curve -> measure -> points."""
    return json.loads((Path(__file__).parent / "published.json").read_text(encoding="utf-8"))


def curves(name: str) -> Mapping[str, Curve]:
    """The curves by measure of "FIGURE/CURVE".

    Raises:
        ValueError: there is none of this name.
    """
    figure, _, curve = name.partition("/")
    found = figures().get(figure, {}).get(curve)
    if found is None:
        known = [f"{one}/{other}" for one, known in figures().items() for other in known]
        raise ValueError(f"there is no published curve '{name}'; there are {', '.join(known)}")
    return found
