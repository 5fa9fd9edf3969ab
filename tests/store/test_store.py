"""The store keeps what was committed, drops what was not, and says what is wrong with it."""

import sqlite3
import subprocess
import sys
import textwrap
import time
from datetime import datetime
from pathlib import Path

import duckdb
import pytest

from wmsd_core import store
from wmsd_core.store import connection, schema
from wmsd_core.store.funnel import reject, replace_rejections, survivors


def frame(name: str, source: str = "photos") -> dict[str, object]:
    return {
        "frame_id": name,
        "path": f"{name}.png",
        "source": source,
        "format": "PNG",
        "width": 4,
        "height": 3,
        "bytes": 9,
    }


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "wmsd.duckdb"


def count(path: Path, table: str = "frames") -> int:
    with store.reading(path) as con:
        return store.query(con, f"SELECT count(*) AS n FROM {table}")[0]["n"]


def test_rows_are_kept_once_per_identity(path: Path) -> None:
    for _ in range(2):
        with store.writing(path) as con:
            store.insert(con, "frames", [frame(f"{i:04}") for i in range(1203)])
    assert count(path) == 1203


def test_a_block_that_raises_leaves_nothing(path: Path) -> None:
    with store.writing(path) as con:
        store.insert(con, "frames", [frame("a")])
    with pytest.raises(KeyError), store.writing(path) as con:
        con.execute("DELETE FROM frames")
        raise KeyError
    assert count(path) == 1


def test_a_process_killed_inside_a_transaction_loses_only_that_transaction(path: Path) -> None:
    program = f"""
        import os, signal
        from pathlib import Path
        from wmsd_core import store
        from tests.store.test_store import frame
        with store.writing(Path({str(path)!r})) as con:
            store.insert(con, "frames", [frame("kept")])
        with store.writing(Path({str(path)!r})) as con:
            store.insert(con, "frames", [frame("lost")])
            os.kill(os.getpid(), signal.SIGKILL)
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(program)], cwd=Path(__file__).parents[2])
    with store.reading(path) as con:
        assert survivors(con, "frames") == ["kept"]


def test_a_writer_waits_for_another_process_and_then_says_who_is_to_blame(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with store.writing(path) as con:
        store.insert(con, "frames", [frame("a")])
    hold = f"import duckdb, time; con = duckdb.connect({str(path)!r}); print('held', flush=True); time.sleep(2)"
    with subprocess.Popen([sys.executable, "-c", hold], stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        monkeypatch.setattr(connection, "PATIENCE", 0.2)
        with pytest.raises(store.StoreError, match="another process keeps"), store.writing(path):
            pass
        monkeypatch.setattr(connection, "PATIENCE", 30.0)
        started = time.monotonic()
        with store.writing(path) as con:
            store.insert(con, "frames", [frame("b")])
        assert time.monotonic() - started > 0.2
    assert count(path) == 2


def test_a_missing_or_foreign_file_is_named(path: Path) -> None:
    with pytest.raises(store.StoreError, match="there is no store at"), store.reading(path):
        pass
    path.write_bytes(b"not a database at all" * 100)
    for opening in (store.reading, store.writing):
        with pytest.raises(store.StoreError, match="move it away"), opening(path):
            pass
    assert path.read_bytes() == b"not a database at all" * 100


def test_an_older_store_is_migrated_and_a_newer_one_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with store.writing(path) as con:
        store.insert(con, "frames", [frame("a")])
    later = (*schema.MIGRATIONS, "ALTER TABLE frames ADD COLUMN colour VARCHAR DEFAULT 'unknown'")
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", later)
        patch.setattr(schema, "VERSION", len(later))
        connection._migrated.clear()
        with pytest.raises(store.StoreError, match="any stage that writes"), store.reading(path):
            pass
        with store.writing(path) as con:
            assert store.query(con, "SELECT colour FROM frames") == [{"colour": "unknown"}]
    connection._migrated.clear()
    with pytest.raises(ValueError, match="update the program"), store.writing(path):
        pass


def test_runs_of_stages_before_there_were_benchmarks_are_worldtasks_benchs(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = {
        "cache_key": "",
        "code_version": "",
        "config": "{}",
        "summary": "{}",
        "started": datetime(2026, 3, 2),
        "seconds": 1,
    }
    video = {
        "video_id": "v",
        "pair_id": "p",
        "arm": "base",
        "model": "",
        "adapter": "",
        "seed": 1,
        "sampler": "",
        "path": "",
    }
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:3])
        with duckdb.connect(str(path)) as con:
            schema.migrate(con)
            store.insert(con, "stage_runs", [run | {"stage": stage} for stage in ("train", "evaluate")])
            store.insert(con, "videos", [video | {"sha256": ""}])
    with store.writing(path) as con:
        found = store.query(con, "SELECT stage, benchmark FROM stage_runs ORDER BY ALL")
        assert found == [{"stage": "evaluate", "benchmark": "worldtasks"}, {"stage": "train", "benchmark": ""}]
        assert store.query(con, "SELECT item_id, benchmark FROM videos") == [
            {"item_id": "p", "benchmark": "worldtasks"}
        ]


def test_the_funnel_subtracts_every_stage_up_to_the_one_asked_for(path: Path) -> None:
    with store.writing(path) as con:
        store.insert(con, "frames", [frame("a"), frame("b"), frame("c"), frame("d", "elsewhere")])
        verdict = "SELECT frame_id AS item, 'dark' AS reason, '' AS detail, path FROM frames WHERE frame_id = $id"
        replace_rejections(con, "filter", verdict, {"id": "a"}, "hash")
        replace_rejections(con, "rank", verdict, {"id": "b"}, "hash")
    with store.reading(path) as con:
        assert survivors(con, "frames") == ["a", "b", "c", "d"]
        assert survivors(con, "filter") == ["b", "c", "d"]
        assert survivors(con, "screen") == ["c", "d"]
        assert survivors(con, "rank", source="photos") == ["c"]


def test_new_verdicts_replace_old_ones(path: Path) -> None:
    verdict = "SELECT frame_id AS item, 'dark' AS reason, '' AS detail, path FROM frames WHERE frame_id = $id"
    with store.writing(path) as con:
        store.insert(con, "frames", [frame("a"), frame("b")])
        for name in ("a", "b"):
            replace_rejections(con, "filter", verdict, {"id": name}, "hash")
        assert survivors(con, "filter") == ["a"]


def test_rejections_of_an_older_store_stay_and_each_is_there_once(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def row(stage: str, detail: str) -> dict[str, str]:
        return {"stage": stage, "item": "a", "reason": "dark", "detail": detail, "path": "", "config_hash": ""}

    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:14])
        with duckdb.connect(str(path)) as con:
            schema.migrate(con)
            store.insert(con, "frames", [frame("a"), frame("b")])
            store.insert(con, "rejections", [row("filter", "as it was")])
    with store.writing(path) as con:
        reject(con, [row("filter", "as it is"), row("rank", "first"), row("rank", "again")])
        reject(con, [])
        found = store.query(con, "SELECT stage, item, detail FROM rejections ORDER BY ALL")
        assert [(each["stage"], each["item"]) for each in found] == [("filter", "a"), ("rank", "a")]
        assert found[0]["detail"] == "as it is"
        assert con.execute("SELECT * FROM usable_pairs").fetchall() == []
        assert survivors(con, "filter") == ["b"]


def test_no_time_goes_into_squeezing_ids_of_rejections(path: Path) -> None:
    verdict = "SELECT sha256(i::VARCHAR) AS item, 'dark' AS reason, '' AS detail, '' AS path FROM range(3000) t(i) ORDER BY ALL"
    with store.writing(path) as con:
        replace_rejections(con, "filter", verdict, {}, "hash")
    with store.reading(path) as con:
        sql = """
            SELECT DISTINCT compression FROM pragma_storage_info('rejections')
            WHERE column_name = $column AND segment_type = 'VARCHAR'
        """
        assert con.execute(sql, {"column": "item"}).fetchall() == [("Uncompressed",)]
        assert con.execute(sql, {"column": "stage"}).fetchall() != [("Uncompressed",)]


def test_every_table_of_the_contract_exists(path: Path) -> None:
    contract = """frames measurements aesthetics screenings task_pairs taxonomy splits videos judgments training_runs
        training_steps evaluations stage_runs rejections"""
    with store.writing(path):
        pass
    with duckdb.connect(str(path), read_only=True) as con:
        tables = {row[0] for row in con.execute("SELECT table_name FROM information_schema.tables").fetchall()}
    assert set(contract.split()) <= tables


def test_a_full_disk_is_told_and_loses_only_the_batch_in_flight(path: Path) -> None:
    program = f"""
        import resource
        from pathlib import Path
        from wmsd_core import store
        from tests.store.test_store import frame
        path = Path({str(path)!r})
        with store.writing(path) as con:
            store.insert(con, "frames", [frame("kept")])
        resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, 600_000))  # a disk as full as that
        try:
            with store.writing(path) as con:
                store.insert(con, "frames", [frame(str(i) * 100) for i in range(20_000)])
        except store.StoreError as error:
            print(error)
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], cwd=Path(__file__).parents[2], capture_output=True, text=True
    )
    assert "cannot write the store" in run.stdout and "run the same command again" in run.stdout, run.stderr
    with store.reading(path) as con:
        assert survivors(con, "frames") == ["kept"]


@pytest.mark.parametrize("part", [0.0, 0.0001, 0.02, 0.1])
def test_a_truncated_store_is_one_line(path: Path, part: float) -> None:
    with store.writing(path) as con:
        con.execute("INSERT INTO signatures SELECT md5(i::VARCHAR), repeat('x', 100)::BLOB FROM range(50_000) t(i)")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * part)])
    for use in (store.reading, store.writing):
        with (
            pytest.raises(store.StoreError, match=r"(damaged|cannot be opened).*move it away") as told,
            use(path) as con,
        ):
            con.execute("SELECT sum(octet_length(levels)) FROM signatures").fetchall()
        assert "\n" not in str(told.value)


def test_a_store_overwritten_in_the_middle_is_one_line(path: Path) -> None:
    with store.writing(path) as con:
        con.execute("INSERT INTO signatures SELECT md5(i::VARCHAR), repeat('x', 100)::BLOB FROM range(50_000) t(i)")
    content = bytearray(path.read_bytes())
    for place in range(300_000, len(content), 20_000):
        content[place : place + 100] = bytes(range(100))
    path.write_bytes(content)
    for use in (store.reading, store.writing):
        with pytest.raises(store.StoreError, match=r"is damaged: .*checksum.*move it away"), use(path) as con:
            con.execute("SELECT sum(octet_length(levels)), max(frame_id) FROM signatures").fetchall()


def test_a_name_that_the_database_would_cut_off_is_told(tmp_path: Path) -> None:
    with pytest.raises(store.StoreError, match="question mark"), store.writing(tmp_path / "a?b" / "wmsd.duckdb"):
        pass


def test_a_file_of_another_database_loads_no_extension(path: Path) -> None:
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE t (a)")
    other.commit()
    other.close()
    with pytest.raises(store.StoreError, match="is a SQLite file and no store"), store.writing(path):
        pass
    path.unlink()
    with store.writing(path) as con:
        settings = "SELECT name, value FROM duckdb_settings() WHERE name LIKE 'auto%known_extensions' ORDER BY name"
        assert {value for _, value in con.execute(settings).fetchall()} == {"false"}
