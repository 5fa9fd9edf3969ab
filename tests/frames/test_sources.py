"""What `--frames` can be: each kind is told from its name, and finds what it should, in order."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.frames.clips import view, write_video
from tests.frames.pictures import encode, folder_of, rejections, scene
from wmsd_core.frames import Entry, FramesConfig, register, source_of
from wmsd_core.frames.manifest import LONGEST
from wmsd_core.store import query, reading


def names(source: str | Path) -> list[str]:
    return [found.path.name for found in source_of(source).found() if isinstance(found, Entry)]


def stored(store: Path, *columns: str) -> list[tuple[str, ...]]:
    with reading(store) as con:
        rows = query(con, f"SELECT {', '.join(columns)} FROM frames ORDER BY path")
    return [tuple(row.values()) for row in rows]


def tree(tmp_path: Path) -> Path:
    folder_of(tmp_path / "a", 2)
    folder_of(tmp_path / "a" / "deep", 1, first=10)
    folder_of(tmp_path / "b", 1, first=20)
    (tmp_path / "b" / "x.jpg").write_bytes(encode(scene(30), "JPEG"))
    (tmp_path / "b" / "notes.txt").write_text("ignored")
    (tmp_path / "a" / "circle").symlink_to(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("a/*.png", ["000.png", "001.png"]),
        ("*/*.png", ["000.png", "001.png", "020.png"]),
        ("**/*.png", ["000.png", "001.png", "010.png", "020.png"]),
        ("**", ["000.png", "001.png", "010.png", "020.png", "x.jpg"]),
        ("[ab]/0?0.png", ["000.png", "020.png"]),
        ("a/**/01*.png", ["010.png"]),
        ("b/*", ["020.png", "x.jpg"]),
        ("a/*/*/*.png", []),  # a linked folder is not entered, so this ends
    ],
)
def test_a_pattern_finds_what_it_matches_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pattern: str, found: list[str]
) -> None:
    monkeypatch.chdir(tree(tmp_path))
    assert names(pattern) == names(tmp_path / pattern) == found


def test_several_sources_are_one_stream_and_each_frame_has_its_own(tmp_path: Path) -> None:
    tree(tmp_path)
    (tmp_path / "b" / "again.png").write_bytes((tmp_path / "a" / "000.png").read_bytes())
    sources = [str(tmp_path / "a"), str(tmp_path / "b" / "*.png"), str(tmp_path / "b" / "x.jpg")]
    store = tmp_path / "store.duckdb"
    found = register(store, sources, FramesConfig())
    assert (found.new, found.rejected) == (5, {"duplicate": 1})
    assert [source for (source,) in stored(store, "source")] == [sources[0]] * 3 + sources[1:]


def test_a_folder_may_hold_images_and_videos_and_the_workspace(tmp_path: Path) -> None:
    folder_of(tmp_path, 1)
    write_video(tmp_path / "film.mp4", [view(0)] * 10)
    store = tmp_path / "workspace" / "store.duckdb"
    for known in (0, 2):
        found = register(store, tmp_path, FramesConfig())
        assert (found.files, found.known, found.rejected) == (2, known, {})


LINES: list[object] = [
    {"path": "images/000.png", "licence": "CC0", "source": "photos"},
    {"path": "images/001.png", "license": "CC BY 4.0"},
    {"path": "images/002.png", "licence": None, "more": [1, 2]},
    {"licence": "CC0"},
    {"path": "images/gone.png"},
    {"path": 7},
    {"path": "../outside.png"},
    {"path": "film.mp4", "licence": "CC0", "source": "films"},
    {"path": ""},
]


def manifest_folder(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder_of(folder / "images", 3)
    write_video(folder / "film.mp4", [view(0)] * 10)
    (tmp_path / "outside.png").write_bytes(encode(scene(9)))
    return folder


def test_a_manifest_of_json_lines_gives_licences_and_sources_and_its_bad_lines_are_counted(tmp_path: Path) -> None:
    folder = manifest_folder(tmp_path)
    lines = [json.dumps(line).encode() for line in LINES]
    hostile = [b"not json", b'{"path": "\xff"}', b"[" * 100_000, b"[1]", b"", b'{"path": "' + b"a" * LONGEST + b'"}']
    manifest = folder / "list.jsonl"
    manifest.write_bytes(b"\n".join([*lines, *hostile, b'{"path": "images/002.png"}']))
    store = tmp_path / "store.duckdb"
    found = register(store, manifest, FramesConfig())
    assert (found.new, found.known, found.rejected) == (4, 1, {"incomplete": 10, "outside": 1})
    name = str(manifest)
    assert stored(store, "source", "licence")[:3] == [("photos", "CC0"), (name, "CC BY 4.0"), (name, "")]
    assert stored(store, "source", "licence")[3:] == [("films", "CC0")]
    with reading(store) as con:
        refused = query(con, "SELECT item, detail FROM rejections WHERE reason = 'incomplete' ORDER BY item")
    assert {row["item"] for row in refused} == {f"{name}:{n}" for n in (4, 5, 6, 9, 10, 11, 12, 13, 14, 15)}
    assert f"line {5}: images/gone.png is not there" in {row["detail"] for row in refused}
    manifest.write_bytes(lines[0])
    assert register(store, manifest, FramesConfig()).rejected == {}
    assert rejections(store, "frames") == {}


def test_a_parquet_manifest_says_the_same(tmp_path: Path) -> None:
    folder = manifest_folder(tmp_path)
    rows = [line for line in LINES if isinstance(line, dict) and not isinstance(line.get("path"), int)]
    columns = {name: [row.get(name) for row in rows] for name in ("path", "licence", "source")}
    manifest = folder / "list.parquet"
    pq.write_table(pa.table({**columns, "vectors": [[0.0]] * len(rows)}), manifest)
    store = tmp_path / "store.duckdb"
    found = register(store, manifest, FramesConfig())
    assert (found.new, found.known, found.rejected) == (4, 0, {"incomplete": 3, "outside": 1})
    assert stored(store, "source", "licence")[0] == ("photos", "CC0")


def test_a_licence_that_a_manifest_gives_later_is_added_and_a_plain_walk_does_not_take_it_away(tmp_path: Path) -> None:
    folder = manifest_folder(tmp_path)
    store = tmp_path / "store.duckdb"
    register(store, folder / "images", FramesConfig())
    (folder / "list.jsonl").write_text(json.dumps(LINES[0]))
    for source in (folder / "list.jsonl", folder / "images"):
        register(store, source, FramesConfig())
        assert stored(store, "source", "licence")[0] == ("photos", "CC0")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere", "there is no folder nowhere; give the folder that holds your images"),
        ("film.mp4", "there is no file film.mp4"),
        ("nowhere/*.png", "there is no folder nowhere for the pattern"),
        ("notes.txt", "notes.txt is no source of frames; give a folder, a pattern in quotes, an image, a video"),
        ("*.png", r"there is no image in .*\*.png \(0 other files\)"),
        ("empty.jsonl", "there is no image in .*empty.jsonl"),
        ("bad.parquet", "cannot be read as Parquet"),
        ("other.parquet", "has no column path; its columns are file"),
    ],
)
def test_a_source_that_is_none_is_an_error_that_says_what_to_give(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("notes.txt").touch()
    Path("empty.jsonl").touch()
    Path("bad.parquet").write_bytes(b"PAR1 scrambled PAR1")
    pq.write_table(pa.table({"file": ["a.png"]}), "other.parquet")
    with pytest.raises(ValueError, match=message):
        register(tmp_path / "store.duckdb", source, FramesConfig())
