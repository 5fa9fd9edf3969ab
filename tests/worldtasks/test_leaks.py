"""A planted leak of each kind is found with its figure, and none where there is none."""

import hashlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import duckdb
import numpy as np
import pytest

from wmsd_core.store import insert, schema
from wmsd_core.worldtasks.leaks import Leak, LeakConfig, complaint, leaks_among

CFG = LeakConfig()
SENTENCE = (
    "The man in the blue shirt begins walking forward along the center of the road, steps onto the yellow line and {} "
    "until he reaches the white arrow on the asphalt where he stops"
)


Row = tuple[str, str, str, str, str]
"""Pair, frame, task, solution, split."""


def planted(
    extra: Sequence[Row] = (),
    looks: Mapping[str, float] = MappingProxyType({}),
    vectors: Mapping[str, list[float]] = MappingProxyType({}),
) -> list[Leak]:
    """The leaks among 40 unlike pairs of each split and the extra ones. `looks`: frames of one picture, by their brightness."""
    rng = np.random.default_rng(0)
    con = duckdb.connect()
    schema.migrate(con)
    con.execute(
        "CREATE TABLE members (pair_id VARCHAR, frame_id VARCHAR, task VARCHAR, solution VARCHAR, split VARCHAR)"
    )
    rows = list(extra)
    for split in ("train", "bench"):
        for n in range(40):
            name = hashlib.sha256(f"{split}{n}".encode()).hexdigest()[:8]
            solution = " ".join(rng.choice([f"w{k}" for k in range(300)], 30))
            rows.append((f"p{name}", f"f{name}", "[First-person view]: Move forward.", solution, split))
    con.executemany("INSERT INTO members VALUES (?, ?, ?, ?, ?)", rows)
    base = rng.integers(20, 236, 768)
    for frame in sorted({row[1] for row in rows}):
        levels = base + looks[frame] if frame in looks else rng.integers(0, 256, 768)
        insert(con, "signatures", [{"frame_id": frame, "levels": np.clip(levels, 0, 255).astype(np.uint8).tobytes()}])
        vector = np.array(vectors.get(frame, rng.normal(size=16)), float)
        vector /= np.linalg.norm(vector)
        insert(con, "embeddings", [{"frame_id": frame, "encoder": "clip", "vector": vector.tolist()}])
    return leaks_among(con, 4.0, CFG)


def one(found: list[Leak]) -> tuple[str, str, str]:
    (leak,) = found
    return leak.kind, leak.train, leak.bench


def test_clean_data_has_none_though_all_its_tasks_are_equal() -> None:
    assert planted() == []


def test_the_same_image_and_the_same_pair_in_both() -> None:
    rows = [("p1", "f1", "[A]: Go.", "He goes.", "train"), ("p1", "f1", "[A]: Go.", "He goes.", "bench")]
    found = planted(rows)
    assert {(leak.kind, leak.train) for leak in found} >= {("frame", "f1"), ("pair", "p1")}


def test_look_alikes_with_their_distance_and_not_beyond_it() -> None:
    rows = [("p1", "f1", "[A]: Go.", "He goes.", "train"), ("p2", "f2", "[B]: Sit.", "She sits.", "bench")]
    found = planted(rows, {"f1": 0.0, "f2": 3.0})
    assert one(found) == ("picture", "f1", "f2")
    assert found[0].figure == pytest.approx(3.0)
    assert planted(rows, {"f1": 0.0, "f2": 5.0}) == []


def test_look_alikes_on_the_same_side_are_no_leak() -> None:
    for split in ("train", "bench"):
        rows = [("p1", "f1", "[A]: Go.", "He goes.", split), ("p2", "f2", "[B]: Sit.", "She sits.", split)]
        assert planted(rows, {"f1": 0.0, "f2": 1.0}) == []


def test_embeddings_by_their_cosine() -> None:
    rows = [("p1", "f1", "[A]: Go.", "He goes.", "train"), ("p2", "f2", "[B]: Sit.", "She sits.", "bench")]
    near, far = [1.0, *[0.0] * 15], [0.96, 0.28, *[0.0] * 14]  # a cosine of .96 exactly
    found = planted(rows, vectors={"f1": near, "f2": far})
    assert one(found) == ("embedding", "f1", "f2")
    assert found[0].figure == pytest.approx(0.96, abs=1e-6)
    assert planted(rows, vectors={"f1": near, "f2": [0.94, 0.3412, *[0.0] * 14]}) == []


def test_a_copied_solution_on_an_unlike_picture() -> None:
    rows = [
        ("p1", "f1", "[Man]: Walk to the arrow.", SENTENCE.format("keeps going"), "train"),
        ("p2", "f2", "[Person]: Reach the tip.", SENTENCE.format("Keeps  walking").upper() + "!", "bench"),
    ]
    found = planted(rows)
    assert one(found) == ("text", "p1", "p2")
    assert found[0].figure == pytest.approx(2 * 33 / 68, abs=0.02)
    short = [
        (pair, frame, task, "He walks to the arrow and stops there.", split) for pair, frame, task, _, split in rows
    ]
    assert planted(short) == []


def test_nearly_the_same_task_where_pictures_look_somewhat_alike() -> None:
    rows = [
        ("p1", "f1", "[Man]: Walk to the red door and open it.", "He walks and opens.", "train"),
        ("p2", "f2", "[Man]: Walk to the door and open it.", "He goes there and pulls.", "bench"),
    ]
    assert one(planted(rows, {"f1": 0.0, "f2": 8.0})) == ("text", "p1", "p2")
    assert planted(rows, {"f1": 0.0, "f2": 16.0}) == []
    assert planted([rows[0], ("p2", "f2", "[Dog]: Fetch a ball.", "It runs.", "bench")], {"f1": 0.0, "f2": 8.0}) == []


def test_a_complaint_counts_kinds_and_names_the_cure() -> None:
    rows = [("p1", "f1", "[A]: Go.", "He goes.", "train"), ("p2", "f2", "[B]: Sit.", "She sits.", "bench")]
    said = complaint(planted(rows, {"f1": 0.0, "f2": 1.0}))
    assert "1 of kind picture; the first is picture f1 in train and f2 in bench" in said
    assert "split.seed" in said
