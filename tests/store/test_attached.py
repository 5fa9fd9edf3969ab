"""A store is closed when nobody uses it, however long the DuckDB that it was attached to stays."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.store.test_store import count, frame
from wmsd_core import store
from wmsd_core.store import attached, query, reading, writing


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "it's here" / "wmsd.duckdb"
    with writing(path) as con:
        store.insert(con, "frames", [frame("a")])
    return path


def opened(path: Path) -> list[str]:
    links = Path("/proc/self/fd").iterdir()
    return [name for link in links if (name := os.path.realpath(link)).startswith(str(path))]


def test_a_store_is_closed_after_use_and_another_process_may_have_it(path: Path) -> None:
    with reading(path):
        assert opened(path)
    assert not opened(path)
    subprocess.run([sys.executable, "-c", f"import duckdb; duckdb.connect({str(path)!r}).close()"], check=True)


def test_it_is_closed_as_well_after_a_block_that_raised_with_rows_unread(path: Path) -> None:
    with pytest.raises(ZeroDivisionError), writing(path) as con:
        con.execute("INSERT INTO verdicts SELECT range::VARCHAR, '' FROM range(100000)")
        assert con.execute("SELECT * FROM verdicts").fetchone() and 1 / 0
    assert not opened(path)
    with reading(path) as con:
        assert query(con, "SELECT * FROM verdicts") == []


def databases() -> dict[str, object]:
    """By store."""
    return {name: con for (_, name), con in attached._databases.items()}


def spill(path: Path) -> str:
    with reading(path) as con:
        return query(con, "SELECT current_setting('temp_directory') AS folder")[0]["folder"]


def test_the_same_database_serves_again_and_the_next_store_too(path: Path) -> None:
    other = path.with_name("other.duckdb")
    first = databases()[str(path)]
    assert count(path) == 1 and databases() == {str(path): first} and spill(path) == f"{path}.tmp"
    with writing(other):
        pass
    assert databases() == {str(other): first} and spill(other) == f"{other}.tmp"


def test_a_database_that_is_in_use_or_has_spilled_serves_no_other_store(path: Path) -> None:
    first = databases()[str(path)]
    with reading(path) as con:
        with writing(path.with_name("beside.duckdb")):
            assert len(set(databases().values())) == 2 and databases()[str(path)] == first
        con.execute("SET memory_limit = '20MB'")
        con.execute("CREATE TEMP TABLE large AS SELECT range, random() FROM range(3_000_000)")
    for name in ("other", "another"):
        with writing(path.with_name(f"{name}.duckdb")):
            assert first not in databases().values() and spilled(path) == []


def spilled(path: Path) -> list[Path]:
    return list(Path(f"{path}.tmp").glob("*"))


def test_looked_at_twice_at_once_it_is_open_until_the_last_has_looked(path: Path) -> None:
    with reading(path) as con:
        assert count(path) == 1
        assert query(con, "SELECT count(*) AS n FROM frames") == [{"n": 1}]
    assert not opened(path)


@pytest.mark.parametrize(("outer", "inner"), [(reading, writing), (writing, reading), (writing, writing)])
def test_a_store_that_is_written_is_open_once_and_keeps_its_lock_and_what_is_kept(
    path: Path, outer: Callable[..., Any], inner: Callable[..., Any]
) -> None:
    other = f"import duckdb; duckdb.connect({str(path)!r})"
    kept = path.with_name(f"{path.name}.undo")
    with outer(path):
        with pytest.raises(RuntimeError, match="open here already"), inner(path):
            pass
        assert kept.exists() == (outer is writing)
        assert subprocess.run([sys.executable, "-c", other], capture_output=True).returncode, "its lock is gone"
    assert not opened(path)


def test_what_a_connection_made_for_itself_is_gone_with_it(path: Path) -> None:
    bounds = "SELECT current_setting('memory_limit') AS memory, current_setting('threads') AS threads"
    with reading(path) as con:
        before = query(con, bounds)
        con.execute("CREATE TEMP TABLE given AS SELECT 1; SET memory_limit = '25MB'; SET threads = 7")
        assert query(con, bounds) != before
    with reading(path) as con:
        assert query(con, bounds) == before
        with pytest.raises(Exception, match="given"):
            con.execute("FROM given")


FORKED = """
import os, sys
from pathlib import Path
from wmsd_core.store import reading, writing
path = Path(sys.argv[1])
with reading(path):
    pass
if child := os.fork():
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
with writing(path.with_name("of the child.duckdb")), reading(path) as con:
    os._exit(con.execute("SELECT count(*) FROM frames").fetchall()[0][0])
"""


def test_a_forked_process_has_databases_of_its_own(path: Path) -> None:
    run = subprocess.run([sys.executable, "-c", FORKED, str(path)], capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stderr) == (1, "")  # one frame
