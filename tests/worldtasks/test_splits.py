"""Splits go by image and never move; look-alikes go together; a leak is found wherever it was planted."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.frames.alterations import ALTERATIONS, Alteration, landscape
from tests.frames.pictures import FramesConfig, encode, folder_of, left, register, registered, rejections, scene
from tests.frames.test_look_alikes import all_pairs, looks, stored
from tests.worldtasks.scripted import ScriptedVLM, good_answer
from wmsd_core.bench.evaluation import EvaluateConfig, items_of
from wmsd_core.frames import find, look_alikes
from wmsd_core.frames.likeness import Signed, clusters, sign_frames
from wmsd_core.store import query, reading, writing
from wmsd_core.worldtasks import (
    GenerateConfig,
    SplitConfig,
    assign_splits,
    find_leaks,
    generate_pairs,
    label_tasks,
    split_pairs,
)
from wmsd_core.worldtasks import splits as splitting
from wmsd_core.worldtasks.leaks import Leak, LeakConfig, leaks_in
from wmsd_core.worldtasks.splits import GIVEN, forget_division, own_split

HALF = SplitConfig(bench_fraction=0.5)
GENERATE = GenerateConfig(count=2)


def splits(store: Path) -> dict[str, str]:
    with reading(store) as con:
        return {row["frame_id"]: row["split"] for row in query(con, "SELECT frame_id, split FROM splits")}


def paired(store: Path) -> None:
    """Gives every frame that has none a pair that resembles no other."""
    with writing(store) as con:
        con.execute("""
            INSERT INTO task_pairs BY NAME
            SELECT sha256(frame_id) AS pair_id, frame_id, 0 AS position, 'A' AS agent, frame_id AS instruction,
                   '[A]: ' || frame_id AS task, sha256(sha256(frame_id)) AS solution,
                   '' AS model, '' AS prompt_version, '' AS config_hash
            FROM frames WHERE frame_id NOT IN (SELECT frame_id FROM task_pairs)
        """)


def test_the_share_is_met_and_a_larger_one_only_adds() -> None:
    ids = [hashlib.sha256(str(n).encode()).hexdigest() for n in range(4000)]
    small = {i for i in ids if own_split(i, SplitConfig(bench_fraction=0.1)) == "bench"}
    large = {i for i in ids if own_split(i, SplitConfig(bench_fraction=0.3)) == "bench"}
    assert abs(len(small) - 400) < 4 * np.sqrt(4000 * 0.1 * 0.9)
    assert small < large
    assert {own_split(i, SplitConfig(bench_fraction=0)) for i in ids} == {"train"}
    assert {own_split(i, SplitConfig(bench_fraction=1)) for i in ids} == {"bench"}


def test_a_split_is_the_frames_own_whatever_else_is_there(tmp_path: Path) -> None:
    store, ids = registered(tmp_path, 12)
    found = assign_splits(store, HALF, threads=2)
    assert (found.train + found.bench, found.apart, found.grouped, found.unused) == (0, 0, 0, 12)
    assert splits(store) == {frame_id: own_split(frame_id, HALF) for frame_id in ids}
    folder_of(tmp_path / "images", 6, first=12)
    register(store, tmp_path / "images", FramesConfig())
    with writing(store) as con:  # a later filter that drops much
        con.execute("INSERT INTO rejections SELECT 'filter', frame_id, 'dark', '', path, '' FROM frames LIMIT 9")
    before = splits(store)
    assign_splits(store, HALF)
    after = splits(store)
    assert len(after) == 18
    assert {frame_id: after[frame_id] for frame_id in before} == before


def test_copies_of_a_picture_share_its_split(tmp_path: Path) -> None:
    images, store = tmp_path / "images", tmp_path / "store.duckdb"
    images.mkdir()
    for seed in range(12):
        picture = scene(seed).repeat(4, 0).repeat(4, 1)
        (images / f"{seed}.png").write_bytes(encode(picture))
        (images / f"{seed}.jpg").write_bytes(encode(picture, "JPEG", quality=70))
        half = Image.fromarray(picture).resize((128, 96), Image.Resampling.BICUBIC)
        (images / f"{seed}_small.webp").write_bytes(encode(np.asarray(half), "WEBP"))
    register(store, images, FramesConfig())
    assert (found := assign_splits(store, HALF)).grouped == 0 and found.unused == 36
    paired(store)
    assert (found := assign_splits(store, HALF)).grouped == found.train + found.bench == 36
    by_scene: dict[str, dict[str, str]] = {}
    with reading(store) as con:
        for row in query(con, "SELECT frame_id, path, split FROM frames JOIN splits USING (frame_id)"):
            by_scene.setdefault(Path(row["path"]).stem.split("_")[0], {})[row["frame_id"]] = row["split"]
    assert len(by_scene) == 12
    for copies in by_scene.values():
        assert set(copies.values()) == {own_split(min(copies), HALF)}
    assert {split for copies in by_scene.values() for split in copies.values()} == {"train", "bench"}


@pytest.mark.parametrize("taken", ["train", "bench"])
def test_a_late_copy_follows_the_frame_that_was_there_first(tmp_path: Path, taken: str) -> None:
    images, store = tmp_path / "images", tmp_path / "store.duckdb"
    images.mkdir()
    (images / "first.png").write_bytes(encode(np.full((32, 32, 3), 100, np.uint8)))
    register(store, images, FramesConfig())
    assign_splits(store, HALF)
    with writing(store) as con:
        con.execute("UPDATE splits SET split = ?", [taken])
    (images / "late.png").write_bytes(encode(np.full((32, 32, 3), 101, np.uint8)))
    register(store, images, FramesConfig())
    assign_splits(store, HALF)
    assert list(splits(store).values()) == [taken] * 2


def test_a_late_picture_that_resembles_both_sides_joins_neither(tmp_path: Path) -> None:
    images, store = tmp_path / "images", tmp_path / "store.duckdb"
    images.mkdir()
    shades = [np.full((32, 32, 3), level, np.uint8) for level in (100, 106)]
    for index, shade in enumerate(shades):
        (images / f"{index}.png").write_bytes(encode(shade))
    register(store, images, FramesConfig())
    assign_splits(store, HALF)
    ids = left(store, "frames")
    with writing(store) as con:
        con.execute("UPDATE splits SET split = CASE WHEN frame_id = ? THEN 'train' ELSE 'bench' END", [ids[0]])
    (images / "between.png").write_bytes(encode(np.full((32, 32, 3), 103, np.uint8)))
    register(store, images, FramesConfig())
    paired(store)
    found = assign_splits(store, HALF)
    assert (found.train, found.bench, found.apart, found.unused) == (1, 1, 1, 0)
    assert set(splits(store)) == set(ids)


def test_another_configuration_divides_afresh(tmp_path: Path) -> None:
    store, _ = registered(tmp_path, 6)
    paired(store)
    assign_splits(store, SplitConfig(bench_fraction=1))
    assert assign_splits(store, SplitConfig(bench_fraction=0)).train == 6


def test_one_moved_shape_on_a_plain_board_is_another_picture(tmp_path: Path) -> None:
    images, store = tmp_path / "images", tmp_path / "store.duckdb"
    images.mkdir()
    for column in range(5):
        board = np.full((320, 320, 3), 230, np.uint8)
        board[130:190, 64 * column + 4 : 64 * column + 60] = (220, 40, 40)
        (images / f"{column}.png").write_bytes(encode(board))
        board[130:190, 64 * column + 4 : 64 * column + 60] = (30, 80, 230)
        (images / f"{column}_blue.png").write_bytes(encode(board))
    register(store, images, FramesConfig())
    assert assign_splits(store, HALF).grouped == 0


def test_clusters_are_the_connected_components() -> None:
    assert clusters(7, [(5, 1), (1, 3), (2, 6)]) == [[0], [1, 3, 5], [2, 6], [4]]


def generated(tmp_path: Path, count: int) -> Path:
    store, ids = registered(tmp_path, count)
    generate_pairs(store, ids, ScriptedVLM(lambda call: good_answer()), GENERATE)
    assign_splits(store, HALF)
    return store


def test_examples_are_the_pairs_of_surviving_frames_by_split(tmp_path: Path) -> None:
    store = generated(tmp_path, 8)
    divided = splits(store)
    with reading(store) as con:
        train, bench = split_pairs(con, "train"), split_pairs(con, "bench")
    assert len(train) + len(bench) == 16
    assert {divided[e.frame_id] for e in train} == {"train"}
    assert {divided[e.frame_id] for e in bench} == {"bench"}
    assert train[0].path.is_file()
    assert find_leaks(store, HALF.near, HALF.leaks) == []
    with writing(store) as con:
        con.execute("INSERT INTO rejections VALUES ('filter', ?, 'dark', '', '', '')", [train[0].frame_id])
    with reading(store) as con:
        assert len(split_pairs(con, "train")) == len(train) - 2


def test_frames_of_both_splits_are_counted_by_the_pairs_that_are_left(tmp_path: Path) -> None:
    store, ids = labelled(tmp_path, 12)
    folder_of(tmp_path / "images", 4, first=12)  # without pairs
    register(store, tmp_path / "images", FramesConfig())
    whole = assign_splits(store, HALF)
    assert (whole.train + whole.bench, whole.unused) == (12, 4) and whole.bench > 1
    held_out = [frame_id for frame_id in ids if splits(store)[frame_id] == "bench"]
    with writing(store) as con:  # one by its picture, of another every pair, of a third one pair
        turn_down = "INSERT INTO rejections SELECT 'generate', pair_id, 'agent_absent', '', '', '' FROM task_pairs"
        con.execute("INSERT INTO rejections VALUES ('filter', ?, 'dark', '', '', '')", [held_out[0]])
        con.execute(f"{turn_down} WHERE frame_id = ?", [held_out[1]])
        con.execute(f"{turn_down} WHERE frame_id = ? AND position = 0", [held_out[2]])
    left_over = assign_splits(store, HALF)
    assert (left_over.train, left_over.bench, left_over.unused) == (whole.train, whole.bench - 2, 6)
    assert left_over.examined == len(bench(store)) == 4 * left_over.bench - 1
    assert splits(store).keys() >= set(held_out), "a frame keeps its split for the day that it comes back"


def test_a_benchmark_is_drawn_among_the_pairs_that_are_kept(tmp_path: Path) -> None:
    store, _ = labelled(tmp_path, 20)
    with writing(store) as con:
        con.execute(
            "INSERT INTO rejections SELECT 'generate', pair_id, 'agent_absent', '', '', '' FROM task_pairs WHERE position < 3"
        )
    found = assign_splits(store, DRAWN)
    assert (found.examined, found.bench, found.short) == (6, 6, "") and len(bench(store)) == 6


def test_a_planted_look_alike_is_found(tmp_path: Path) -> None:
    store = generated(tmp_path, 8)
    with reading(store) as con:
        victim = split_pairs(con, "bench")[0]
    copy = tmp_path / "images" / "copy.jpg"
    copy.write_bytes(encode(np.asarray(Image.open(victim.path)), "JPEG", quality=90, subsampling=0))
    register(store, tmp_path / "images", FramesConfig())
    new = next(frame_id for frame_id in left(store, "frames") if frame_id not in splits(store))
    generate_pairs(store, [new], ScriptedVLM(lambda call: good_answer()), GENERATE)
    with writing(store) as con:  # past `assign_splits`, which would not do this
        con.execute("INSERT INTO splits (frame_id, split, config_hash) VALUES (?, 'train', '')", [new])
    leaks = find_leaks(store, HALF.near, HALF.leaks)
    assert [(leak.kind, leak.train, leak.bench) for leak in leaks] == [("picture", new, victim.frame_id)]


def altered_store(tmp_path: Path, change: Alteration) -> tuple[Path, str, str]:
    """A store of six landscapes and an altered copy of one, with pairs; that one's id and the copy's."""
    folder = tmp_path / "images"
    folder.mkdir()
    for seed in range(6):
        (folder / f"{seed}.png").write_bytes(encode(np.asarray(landscape(seed, 180, 320))))
    copy = change(landscape(0, 180, 320), np.random.default_rng(0))
    (folder / "copy.jpg").write_bytes(encode(np.asarray(copy), "JPEG", quality=85))
    store = tmp_path / "store.duckdb"
    register(store, folder, FramesConfig())
    ids = left(store, "frames")
    generate_pairs(store, ids, ScriptedVLM(lambda call: good_answer()), GENERATE)
    with reading(store) as con:
        name = {frame.path.name: frame.frame_id for frame in find(con, ids)}
    return store, name["0.png"], name["copy.jpg"]


@pytest.mark.parametrize("alteration", ["mirrored", "cut to 80 %", "8 % brighter", "cut to 80 %, mirrored"])
@pytest.mark.parametrize("copied", ["train", "bench"])
def test_an_altered_copy_in_the_other_split_is_a_leak(tmp_path: Path, alteration: str, copied: str) -> None:
    store, original, copy = altered_store(tmp_path, ALTERATIONS[alteration])
    sign_frames(store, left(store, "frames"))
    other = {"train": "bench", "bench": "train"}[copied]
    with writing(store) as con:
        given = "INSERT INTO splits (frame_id, split, config_hash) SELECT frame_id, CASE frame_id WHEN ? THEN ? ELSE ? END, ''"
        con.execute(f"{given} FROM frames", [copy, copied, other])

    def found(near: float = HALF.near, **limits: float) -> list[Leak]:
        leaks = find_leaks(store, near, HALF.leaks.model_copy(update=limits), threads=2)
        return [leak for leak in leaks if leak.kind != "text"]  # the brighter one looks somewhat alike

    (leak,) = found()
    assert leak.kind == "altered" and {leak.train, leak.bench} == {original, copy}
    assert leak.figure > 0.8 and "levels apart" in leak.detail
    assert found(altered=1.0) == [] and found(near=0.0) == []
    (tmp_path / "images" / "copy.jpg").unlink()
    assert found() == []


def test_an_altered_copy_is_withheld_when_splits_are_assigned(tmp_path: Path) -> None:
    store, original, copy = altered_store(tmp_path, ALTERATIONS["mirrored"])
    seed = next(
        seed
        for seed in range(99)
        if own_split(original, HALF.model_copy(update={"seed": seed})) == "bench"
        and own_split(copy, HALF.model_copy(update={"seed": seed})) == "train"
    )
    config = HALF.model_copy(update={"seed": seed})
    assert assign_splits(store, config).withheld == 1
    divided = splits(store)
    assert copy not in divided and divided[original] == "bench" and len(divided) == 6
    assert find_leaks(store, config.near, config.leaks) == []


def test_a_leak_check_that_would_be_incomplete_is_an_error(tmp_path: Path) -> None:
    store = generated(tmp_path, 3)
    with writing(store) as con:
        con.execute("DELETE FROM signatures")
    (tmp_path / "images" / "001.png").unlink()
    with pytest.raises(ValueError, match=r"cannot check for leaks: .*001\.png is missing"):
        find_leaks(store, HALF.near, HALF.leaks)


def test_a_picture_is_read_once_for_its_signature(tmp_path: Path) -> None:
    store, ids = registered(tmp_path, 2)
    assert sign_frames(store, ids) == Signed(2, 0, 0)
    for path in (tmp_path / "images").iterdir():
        path.unlink()
    assert sign_frames(store, ids) == Signed(0, 2, 0)
    assert assign_splits(store, HALF).unused == 2


def test_a_frame_that_cannot_be_read_has_no_split(tmp_path: Path) -> None:
    store, ids = registered(tmp_path, 2)
    (tmp_path / "images" / "001.png").unlink()
    assign_splits(store, HALF)
    assert rejections(store, "frames") == {"001.png": {"missing"}}
    assert len(splits(store)) == 1 < len(ids)


def test_clusters_come_from_the_pairs_of_a_comparison_of_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(look_alikes, "BLOCK", 70)  # chains of look-alikes reach over several blocks
    store, levels = tmp_path / "s", looks(300)
    ids = stored(store, levels, [1.0] * 300, [10] * 300)
    assert assign_splits(store, HALF).apart == 0
    groups = [[ids[item] for item in group] for group in clusters(300, all_pairs(levels, HALF.near))]
    assert sum(len(group) > 1 for group in groups) > 20 and max(map(len, groups)) > 2
    assert splits(store) == {frame_id: own_split(group[0], HALF) for group in groups for frame_id in group}


DRAWN = SplitConfig(bench_fraction=0.5, bench_pairs=6)


def labelled(tmp_path: Path, count: int) -> tuple[Path, list[str]]:
    """A store of `count` frames with four pairs each, labelled."""
    store, ids = registered(tmp_path, count)
    generate_pairs(store, ids, ScriptedVLM(lambda call: good_answer(4)), GenerateConfig(count=4))
    label_tasks(store)
    return store, ids


def bench(store: Path) -> dict[str, str]:
    """Pair id -> frame id of the benchmark."""
    with reading(store) as con:
        return {example.pair_id: example.frame_id for example in split_pairs(con, "bench")}


def test_a_benchmark_of_a_wished_number_of_pairs_has_one_of_each_frame(tmp_path: Path) -> None:
    store, ids = labelled(tmp_path, 20)
    found = assign_splits(store, DRAWN)
    assert (found.examined, found.bench, found.train, found.short) == (6, 6, 14, "")
    assert len(set(bench(store).values())) == 6
    with reading(store) as con:
        assert len(split_pairs(con, "train")) == 14 * 4
        assert {item.item_id for item in items_of(con, EvaluateConfig(tasks=100))} == bench(store).keys()
    first = bench(store)
    assign_splits(store, DRAWN.model_copy(update={"seed": 1}))
    assert bench(store) != first
    assign_splits(store, DRAWN)
    assert bench(store) == first
    assert set(splits(store)) == set(ids)


def test_later_images_go_to_training_and_the_benchmark_stays(tmp_path: Path) -> None:
    store, ids = labelled(tmp_path, 12)
    assign_splits(store, DRAWN)
    before = bench(store)
    victim = next(iter(before.values()))
    folder_of(tmp_path / "images", 6, first=12)
    with reading(store) as con:
        (copied,) = find(con, [victim])
    copy = tmp_path / "images" / "copy.png"
    copy.write_bytes(encode(np.asarray(Image.open(copied.path)) + np.uint8(1)))
    register(store, tmp_path / "images", FramesConfig())
    new = sorted(set(left(store, "frames")) - set(ids))
    assert assign_splits(store, DRAWN).train == 6  # without a pair a frame has no split
    generate_pairs(store, new, ScriptedVLM(lambda call: good_answer(4)), GenerateConfig(count=4))
    found = assign_splits(store, DRAWN)
    assert (found.train, found.bench, found.unused, found.examined) == (12, 6, 1, 6)
    assert bench(store) == before


def test_a_benchmark_that_is_too_small_says_why(tmp_path: Path) -> None:
    store, _ = labelled(tmp_path, 8)
    found = assign_splits(store, DRAWN.model_copy(update={"bench_fraction": 0.25}))
    assert (found.examined, found.bench) == (2, 2)
    assert found.short.startswith("2 of 6 pairs: at most 2 frames may be held out")


def test_a_frame_whose_pairs_were_written_anew_stays_in_the_benchmark(tmp_path: Path) -> None:
    store, _ = labelled(tmp_path, 12)
    assign_splits(store, DRAWN)
    before = bench(store)
    with writing(store) as con:
        con.execute("UPDATE task_pairs SET pair_id = sha256(pair_id)")
    assert bench(store) == {}
    found = assign_splits(store, DRAWN)
    assert found.examined == 6 and sorted(bench(store).values()) == sorted(before.values())


def test_a_given_split_outlives_every_configuration(tmp_path: Path) -> None:
    store, ids = labelled(tmp_path, 6)
    with writing(store) as con:
        con.execute("INSERT INTO splits VALUES (?, 'bench', ?, NULL)", [ids[0], GIVEN])
    assert assign_splits(store, SplitConfig(bench_fraction=0)).bench == 1
    assert assign_splits(store, SplitConfig(bench_fraction=0, seed=3)).train == 5
    with writing(store) as con:
        forget_division(con)
    assert splits(store) == {ids[0]: "bench"}


def test_frames_with_like_embeddings_are_kept_apart_and_the_later_one_yields(tmp_path: Path) -> None:
    store, ids = labelled(tmp_path, 6)
    split = SplitConfig(bench_fraction=0.5)
    twins = [next(i for i in ids if own_split(i, split) == side) for side in ("train", "bench")]
    with writing(store) as con:
        vectors = np.eye(6, dtype=np.float32)
        vectors[ids.index(twins[1])] = vectors[ids.index(twins[0])]
        for frame_id, vector in zip(ids, vectors, strict=True):
            con.execute("INSERT INTO embeddings VALUES (?, 'clip', ?)", [frame_id, vector.tolist()])
    assert assign_splits(store, split).withheld == 1
    assert set(splits(store)) == set(ids) - {twins[0]}
    assert find_leaks(store, split.near, split.leaks) == []
    with writing(store) as con:  # the frame for training was there first
        con.execute("DELETE FROM splits WHERE frame_id = ?", [twins[1]])
        con.execute("INSERT INTO splits VALUES (?, 'train', ?, NULL)", [twins[0], split.digest()])
    assert assign_splits(store, split).withheld == 1
    assert set(splits(store)) == set(ids) - {twins[1]}


def test_leaks_are_searched_again_when_what_is_searched_has_changed_and_not_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = generated(tmp_path, 12)
    searches: list[Path] = []

    def counting(path: Path, near: float, config: LeakConfig, *, threads: int = 1) -> list[Leak]:
        searches.append(path)
        return leaks_in(path, near, config, threads=threads)

    monkeypatch.setattr(splitting, "leaks_in", counting)
    changes = [
        "",
        "UPDATE task_pairs SET solution = solution || ' slowly' WHERE pair_id = (SELECT min(pair_id) FROM task_pairs)",
        "INSERT INTO embeddings SELECT frame_id, 'an encoder', [1.0, 0.0] FROM splits WHERE split = 'train' LIMIT 1",
        "INSERT INTO rejections SELECT 'filter', frame_id, 'dark', '', '', '' FROM splits LIMIT 1",
    ]
    for number, change in enumerate(changes):
        with writing(store) as con:
            con.execute(change or "SELECT 1")
        assert assign_splits(store, HALF) == assign_splits(store, HALF)
        assert len(searches) == number
    stricter = HALF.model_copy(update={"leaks": HALF.leaks.model_copy(update={"cosine": 0.99})})
    assign_splits(store, stricter)
    assert len(searches) == len(changes)
