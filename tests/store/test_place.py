"""A workspace that is moved or copied keeps its meaning."""

import shutil
from pathlib import Path

from tests.store.test_store import frame
from wmsd_core import store
from wmsd_core.store import connection
from wmsd_core.store.place import PATHS, repoint


def filled(root: Path) -> Path:
    path = root / "wmsd.duckdb"
    inside, outside = f"{root.resolve()}/frames/a'b.png", f"{root.resolve()}2/b.png"
    with store.writing(path) as con:
        store.insert(con, "frames", [frame("a") | {"path": inside, "source": str(root.resolve() / "frames")}])
        store.insert(con, "frames", [frame("b") | {"path": outside, "source": f"{root.resolve()}2"}])
        for item in (inside, f"{root.resolve()}/list.jsonl:3", "c" * 64):
            con.execute("INSERT INTO rejections VALUES ('frames', ?, 'r', '', ?, '')", [item, inside])
    return path


def paths(path: Path) -> set[str]:
    with store.reading(path) as con:
        return {row[0] for table, column in PATHS for row in con.execute(f"SELECT {column} FROM {table}").fetchall()}


def identity(path: Path) -> str:
    with store.reading(path) as con:
        return con.execute("SELECT store_id FROM workspace").fetchall()[0][0]


def test_a_moved_workspace_finds_its_files_and_is_the_same_one(tmp_path: Path) -> None:
    path = filled(tmp_path / "here")
    before, who = paths(path), identity(path)
    moved = Path(shutil.move(tmp_path / "here", tmp_path / "there")) / path.name
    with store.writing(moved):
        pass
    here, there = str((tmp_path / "here").resolve()), str((tmp_path / "there").resolve())
    assert paths(moved) == {p.replace(f"{here}/", f"{there}/") for p in before}
    assert f"{here}2/b.png" in paths(moved) and identity(moved) == who


def test_a_copied_workspace_has_files_and_an_id_of_its_own(tmp_path: Path) -> None:
    path = filled(tmp_path / "here")
    shutil.copytree(tmp_path / "here", tmp_path / "there")
    copy = tmp_path / "there" / path.name
    with store.writing(copy):
        pass
    assert identity(copy) != identity(path)
    assert not any(p.startswith(f"{(tmp_path / 'here').resolve()}/") for p in paths(copy))


def test_a_folder_outside_is_re_pointed_when_asked(tmp_path: Path) -> None:
    path = filled(tmp_path / "here")
    with store.writing(path) as con:
        assert repoint(con, (tmp_path / "here2").resolve(), Path("/elsewhere")) == 2
    assert "/elsewhere/b.png" in paths(path)


def test_relative_paths_of_earlier_programs_are_found_again(tmp_path: Path) -> None:
    path = filled(tmp_path / "here")
    with store.writing(path) as con:
        con.execute(
            "INSERT INTO videos BY NAME SELECT 'v' AS video_id, 'p' AS item_id, 'base' AS arm, 'm' AS model, '' AS adapter, "
            "0 AS seed, 's' AS sampler, 'workspace/videos/v.png' AS path, 'x' AS sha256"
        )
        con.execute("UPDATE workspace SET root = NULL")
    connection._migrated.clear()
    with store.writing(path):
        pass
    assert f"{path.resolve().parent}/videos/v.png" in paths(path)
