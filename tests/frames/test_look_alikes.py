"""The search for near signatures against all pairs, and the greedy choice against its definition."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.frames.pictures import LENIENT, SMALL, encode, left, scene
from wmsd_core.filters import decide, measure_frames
from wmsd_core.frames import FramesConfig, dedup, look_alikes, register
from wmsd_core.frames.dedup import DedupConfig, drop_near_duplicates
from wmsd_core.frames.likeness import forget_signatures, sign_frames
from wmsd_core.frames.look_alikes import LookAlikes
from wmsd_core.store import insert, query, reading, writing
from wmsd_core.store.funnel import LAST, up_to

MEASURED_BY = SMALL.digest()


def looks(count: int, seed: int = 0) -> np.ndarray:
    """Signatures of smooth pictures, a quarter of them noisy copies of others."""
    rng = np.random.default_rng(seed)
    coarse = rng.normal(120, 50, (count, 4, 4, 3))
    smooth = coarse.repeat(4, 1).repeat(4, 2).reshape(count, 768)
    copies = rng.integers(0, count, (2, count // 4))
    smooth[copies[0]] = smooth[copies[1]] + rng.normal(0, 1, (count // 4, 768)) * rng.uniform(
        -1, 9, (count // 4, 1)
    ).clip(0)
    return np.rint(smooth.clip(0, 255)).astype(np.uint8)


def all_pairs(levels: np.ndarray, radius: float) -> list[tuple[int, int]]:
    """Every i < j at most `radius` apart, by comparing each with each in whole numbers."""
    exact = levels.astype(np.int64)
    squared = np.array([np.square(exact - row).sum(1) for row in exact])
    return [(i, j) for i, j in np.argwhere(squared <= radius**2 * 768).tolist() if i < j]


@pytest.mark.parametrize("radius", [0.0, 4.0, 30.0])
def test_the_search_finds_exactly_the_pairs_of_a_comparison_of_all(radius: float) -> None:
    levels = looks(600)
    known, found = LookAlikes(radius), dict[tuple[int, int], float]()
    for start in range(0, 600, 250):
        places = np.arange(start, min(start + 250, 600))
        row, other, distance = known.near(places, levels[places])
        found |= {(int(o), start + int(r)): float(d) for r, o, d in zip(row, other, distance, strict=True)}
        known.add(places, levels[places])
    known.close()
    assert sorted(found) == sorted(all_pairs(levels, radius))
    assert len(found) > (5 if radius == 0 else 40)
    for (one, other), distance in found.items():
        difference = levels[one].astype(float) - levels[other]
        assert distance == pytest.approx(np.sqrt(np.mean(difference**2)))


def test_a_pair_at_the_radius_is_found_and_one_beyond_is_not() -> None:
    levels = np.full((3, 768), 100, np.uint8)
    levels[1] += 4
    levels[2] += 8
    levels[2, 0] += 1
    known = LookAlikes(4.0)
    row, other, distance = known.near(np.arange(3), levels)
    known.close()
    assert (row.tolist(), other.tolist(), distance.tolist()) == ([1], [0], [4.0])


def stored(path: Path, levels: np.ndarray, sharpness: list[float], width: list[int]) -> list[str]:
    ids = [f"{index:064x}" for index in range(len(levels))]
    with writing(path) as con:
        frame = {"source": "", "format": "PNG", "height": 10, "bytes": 1}
        insert(
            con, "frames", [{"frame_id": i, "path": i, **frame, "width": w} for i, w in zip(ids, width, strict=True)]
        )
        figures = {"config_hash": MEASURED_BY, "working_width": 64}
        figures |= dict.fromkeys(("luminance", "near_black", "near_white", "flatness"), 0.0)
        measured = [{"frame_id": i, **figures, "sharpness": s} for i, s in zip(ids, sharpness, strict=True)]
        insert(con, "measurements", measured)
        signed = [{"frame_id": i, "levels": look.tobytes()} for i, look in zip(ids, levels, strict=True)]
        insert(con, "signatures", signed)
    return ids


def test_of_near_duplicates_the_larger_then_the_sharper_is_kept(tmp_path: Path) -> None:
    levels = np.full((4, 768), 100, np.uint8)
    levels[3] = 200
    ids = stored(tmp_path / "s", levels, sharpness=[1.0, 5.0, 9.0, 1.0], width=[20, 20, 10, 10])
    found = drop_near_duplicates(tmp_path / "s", MEASURED_BY, DedupConfig())
    assert (found.kept, found.near_duplicates, found.unsigned) == (2, 2, 0)
    assert left(tmp_path / "s", "dedup") == [ids[1], ids[3]]
    with reading(tmp_path / "s") as con:
        rows = query(con, "SELECT item, reason, detail FROM rejections WHERE stage = 'dedup' ORDER BY item")
    assert rows == [
        {"item": frame, "reason": "near_duplicate", "detail": f"0.00 levels from {ids[1]}, which is kept"}
        for frame in (ids[0], ids[2])
    ]


def test_a_chain_is_thinned_out(tmp_path: Path) -> None:
    levels = np.repeat(
        np.arange(100, 130, 3, dtype=np.uint8)[:, None], 768, axis=1
    )  # neighbours 3 apart, the radius is 4
    ids = stored(tmp_path / "s", levels, sharpness=[float(10 - n) for n in range(10)], width=[10] * 10)
    assert drop_near_duplicates(tmp_path / "s", MEASURED_BY, DedupConfig()).kept == 5
    assert left(tmp_path / "s", "dedup") == ids[::2]


def test_the_choice_is_the_greedy_one_however_it_is_cut_into_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    levels, rng = looks(400, seed=1), np.random.default_rng(2)
    sharpness = rng.uniform(0, 1, 400).round(1).tolist()
    ids = stored(tmp_path / "s", levels, sharpness, [10] * 400)
    order = sorted(range(400), key=lambda index: (-sharpness[index], ids[index]))
    kept: list[int] = []
    for index in order:
        differences = [levels[index].astype(float) - levels[other] for other in kept]
        if all(np.mean(difference**2) > 36 for difference in differences):
            kept.append(index)
    expected = sorted(ids[index] for index in kept)
    assert 200 < len(expected) < 390
    for block in (4096, 37):
        monkeypatch.setattr(look_alikes, "BLOCK", block)
        with writing(tmp_path / "s") as con:
            con.execute("DELETE FROM verdicts")
        drop_near_duplicates(tmp_path / "s", MEASURED_BY, DedupConfig(radius=6))
        assert left(tmp_path / "s", "dedup") == expected


def test_ranking_signatures_holds_none_of_them_in_the_memory_of_the_store(tmp_path: Path) -> None:
    path, number = tmp_path / "s", 20_000
    stored(path, looks(1), [1.0], [1])
    with writing(path) as con:  # 15 MB of signatures
        others = "SELECT * EXCLUDE i REPLACE (printf('%x', i) AS frame_id) FROM frames, range($n) t(i)"
        con.execute(f"INSERT INTO frames BY NAME {others}", {"n": number - 1})
        con.execute(
            "INSERT OR IGNORE INTO signatures SELECT frame_id, repeat(lpad(frame_id, 64, '0'), 12)::BLOB FROM frames"
        )
    parameters: dict[str, object] = {"source": None, "stages": up_to("filter"), "first": "", "last": LAST}
    known = LookAlikes(4.0)
    with reading(path) as con:
        con.execute("SET memory_limit = '25MB'; SET threads = 1")
        assert known.copy(con, dedup._PREFERRED, parameters | {"measured_by": MEASURED_BY}) == number
    places = np.concatenate([places for places, _ in known.blocks(1, number)])
    known.close()
    assert places.tolist() == list(range(1, number + 1))


def test_nothing_is_compared_again_until_frames_or_settings_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, levels = tmp_path / "s", looks(50)
    stored(path, levels, [1.0] * 50, [10] * 50)
    first = drop_near_duplicates(path, MEASURED_BY, DedupConfig())
    with monkeypatch.context() as patch:
        patch.setattr(dedup, "LookAlikes", None)
        assert drop_near_duplicates(path, MEASURED_BY, DedupConfig()) == first
        with pytest.raises(TypeError):
            drop_near_duplicates(path, MEASURED_BY, DedupConfig(radius=5))
    none = drop_near_duplicates(path, MEASURED_BY, DedupConfig(radius=0))
    assert none.near_duplicates < first.near_duplicates
    assert drop_near_duplicates(path, MEASURED_BY, DedupConfig()) == first
    with writing(path) as con:
        con.execute("INSERT INTO rejections SELECT 'filter', frame_id, 'dark', '', path, '' FROM frames LIMIT 20")
    changed = drop_near_duplicates(path, MEASURED_BY, DedupConfig())
    assert changed.kept + changed.near_duplicates == 30


def test_copies_of_other_sizes_and_qualities_are_dropped_and_other_scenes_kept(tmp_path: Path) -> None:
    images, store = tmp_path / "images", tmp_path / "store.duckdb"
    images.mkdir()
    for seed in range(12):
        picture = scene(seed).repeat(4, 0).repeat(4, 1)
        (images / f"{seed}.png").write_bytes(encode(picture))
        (images / f"{seed}_again.jpg").write_bytes(encode(picture, "JPEG", quality=70))
        half = Image.fromarray(picture).resize((128, 96), Image.Resampling.BICUBIC)
        (images / f"{seed}_small.webp").write_bytes(encode(np.asarray(half), "WEBP"))
    register(store, images, FramesConfig())
    ids = left(store, "frames")
    measure_frames(store, ids, SMALL)
    decide(store, SMALL, LENIENT)
    unsigned = drop_near_duplicates(store, MEASURED_BY, DedupConfig())
    assert (unsigned.kept, unsigned.unsigned) == (0, 36)
    assert sign_frames(store, ids[:20]).signed == 20
    signed = sign_frames(store, ids, threads=2)
    assert (signed.signed, signed.before, signed.unusable) == (16, 20, 0)
    assert drop_near_duplicates(store, MEASURED_BY, DedupConfig()).near_duplicates == 24
    with reading(store) as con:
        paths = {row["frame_id"]: row["path"] for row in query(con, "SELECT frame_id, path FROM frames")}
    kept = [Path(paths[frame_id]).stem for frame_id in left(store, "dedup")]
    assert len({stem.split("_")[0] for stem in kept}) == 12
    assert not any("_small" in stem for stem in kept)
    forget_signatures(store)
    assert sign_frames(store, ids).signed == 36


def test_a_frame_that_cannot_be_read_any_more_is_refused(tmp_path: Path) -> None:
    images, store = tmp_path / "images", tmp_path / "store.duckdb"
    images.mkdir()
    (images / "a.png").write_bytes(encode(scene(1)))
    register(store, images, FramesConfig())
    (images / "a.png").unlink()
    assert sign_frames(store, left(store, "frames")).unusable == 1
    assert left(store, "frames") == []
