"""The draw keeps proportions, takes whole clusters, repeats by seed, and says what it could not reach."""

import hashlib
import random
from collections import Counter

from wmsd_core.worldtasks.balance import Candidate, Drawn, Stratum, balanced_draw

AGENTS = {"first_person": 0.507, "human": 0.39, "vehicle": 0.052, "object": 0.024, "creature": 0.019, "animal": 0.008}
TASKS = {
    "positioning": 0.222,
    "navigation": 0.203,
    "object_interaction": 0.19,
    "perception": 0.143,
    "combat": 0.066,
    "compound": 0.046,
    "vehicle_control": 0.041,
    "ui": 0.037,
    "other": 0.052,
}
"""The paper's figure 3."""


def population(frames: int, pairs: int = 8, seed: int = 0) -> list[Candidate]:
    """Pairs with the proportions of figure 3, of three sources, in an order that a hash gives; clusters of up to 3 frames."""
    rng = random.Random(seed)
    found: list[Candidate] = []
    for frame in range(frames):
        source = rng.choices(["games", "streets", "homes"], [0.6, 0.3, 0.1])[0]
        for pair in range(pairs):
            agent = rng.choices(list(AGENTS), list(AGENTS.values()))[0]
            task = rng.choices(list(TASKS), list(TASKS.values()))[0]
            found.append(
                Candidate(f"{frame}/{pair}", f"{frame}", frame - frame % (1 + frame % 3), (agent, task, source))
            )
    return sorted(found, key=lambda c: hashlib.sha256(f"{seed} {c.pair_id}".encode()).hexdigest())


def drawn(candidates: list[Candidate], wished: int, per_frame: int = 1, most_frames: int = 10**9) -> Drawn:
    frames = {candidate.frame_id: candidate.cluster for candidate in candidates}
    counts = Counter(candidate.cell for candidate in candidates)
    return balanced_draw(
        candidates,
        counts,
        Counter(frames.values()),
        wished=wished,
        per_frame=per_frame,
        most_frames=most_frames,
    )


def apart(whole: list[Stratum], part: list[Stratum], axis: int) -> float:
    """Total variation distance of the proportions of one kind of strata."""
    one, other = Counter(c[axis] for c in whole), Counter(c[axis] for c in part)
    return sum(abs(one[k] / len(whole) - other[k] / len(part)) for k in one) / 2


def test_a_draw_of_200_keeps_the_papers_proportions() -> None:
    candidates = population(2500)
    cell_of = {c.pair_id: c.cell for c in candidates}
    whole = list(cell_of.values())
    part = [cell_of[pair] for pairs in drawn(candidates, 200).pairs.values() for pair in pairs]
    assert len(part) == 200
    plain = [[c.cell for c in random.Random(n).sample(candidates, 200)] for n in range(20)]
    for axis in range(3):
        assert apart(whole, part, axis) <= 2.5 / 200  # two items and a half in the wrong stratum
        assert apart(whole, part, axis) < 0.5 * sum(apart(whole, it, axis) for it in plain) / 20
    cells = Counter(c[:2] for c in whole)
    worst = max(abs(Counter(c[:2] for c in part)[k] - 200 * n / len(whole)) for k, n in cells.items())
    assert worst < 2


def test_a_cluster_gives_one_frame_and_a_frame_what_is_asked_of_it() -> None:
    candidates = population(600)
    cluster = {c.frame_id: c.cluster for c in candidates}
    for per_frame in (1, 3):
        pairs = drawn(candidates, 60, per_frame).pairs
        assert len({cluster[frame] for frame in pairs}) == len(pairs) == 60 / per_frame
        assert {len(set(its)) for its in pairs.values()} == {per_frame}
        assert all(pair.split("/")[0] == frame for frame, its in pairs.items() for pair in its)


def test_the_order_decides_within_a_cell_and_the_draw_repeats() -> None:
    candidates = population(400)
    assert drawn(candidates, 50) == drawn(candidates, 50)
    other = sorted(candidates, key=lambda c: hashlib.sha256(f"1 {c.pair_id}".encode()).hexdigest())
    shared = drawn(candidates, 50).pairs.keys() & drawn(other, 50).pairs.keys()
    assert len(shared) < 25
    counts = Counter(c.cell for c in candidates)
    most = max(counts, key=lambda cell: counts[cell])
    first = next(c for c in candidates if c.cell == most)
    assert first.pair_id in drawn(candidates, 50).pairs[first.frame_id]


def test_a_small_set_says_what_it_could_not_reach() -> None:
    candidates = population(30)
    few = drawn(candidates, 200, most_frames=6)
    assert sum(len(its) for its in few.pairs.values()) <= 6
    assert "at most 6 frames may be held out" in few.short
    everything = drawn(candidates, 200)
    assert len(everything.pairs) == len({c.cluster for c in candidates})
    assert "no further look-alike cluster" in everything.short
    assert drawn(candidates, 10).short == ""
