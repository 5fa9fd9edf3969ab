"""What is published, as a small DuckDB file of its own: two tables, `frames` and `pairs`, and the records made of them.

The store is read once, in one pass, and then left alone: an export of millions of pairs holds nobody up, and everything
in it is of one moment. All other forms are written from this file, in order, with memory that does not grow.
"""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from wmsd_core.store import reading
from wmsd_core.store.attached import SEALED
from wmsd_core.worldtasks.members import chosen, labels

SCHEMA = "worldtask/1"
MEMORY = "1GB"
"""DuckDB sorts in this much memory and spills the rest to disk."""

# A folder's name is enough to tell sources apart; where somebody keeps it is nobody's business.
_NAME = "regexp_extract({0}, '([^/]*)/*$', 1)"
_FRAMES = f"""
    SELECT frame_id AS sha256, any_value(split) AS split,
           {_NAME.format("any_value(source)")} AS source, coalesce(any_value(licence), '') AS licence,
           {_NAME.format("coalesce(any_value(video), '')")} AS video, any_value(moment) AS moment,
           any_value(width) AS width, any_value(height) AS height, any_value(bytes) AS bytes,
           any_value(path) AS origin, '' AS path,
           'images/' || frame_id[:2] || '/' || frame_id || CASE any_value(format)
               WHEN 'JPEG' THEN '.jpg' WHEN 'TIFF' THEN '.tif' ELSE '.' || lower(any_value(format)) END AS file
    FROM chosen JOIN frames USING (frame_id) GROUP BY frame_id ORDER BY frame_id
"""
_PAIRS = """
    SELECT p.pair_id AS id, p.frame_id AS sha256, m.split, p.position, p.agent, p.instruction, p.task AS prompt, p.solution,
           coalesce(agent_type, '') AS agent_type, coalesce(task_type, '') AS task_type, coalesce(labeller, '') AS labeller,
           p.model, p.prompt_version, p.config_hash
    FROM task_pairs p JOIN chosen m USING (pair_id) LEFT JOIN labels USING (pair_id)
    ORDER BY m.split, p.frame_id, p.position, p.pair_id
"""
RECORD = f"""
    SELECT '{SCHEMA}' AS "schema", id,
           {{'path': path, 'sha256': sha256, 'source': source, 'licence': licence, 'width': width, 'height': height,
            'video': video, 'moment': moment}} AS image,
           agent, instruction AS task, {{'agent': agent_type, 'task': task_type, 'labeller': labeller}} AS types,
           prompt, solution, position,
           {{'model': model, 'prompt_version': prompt_version, 'config_hash': config_hash}} AS gen, p.split
    FROM pairs p JOIN frames f USING (sha256)
"""
"""One record of an export; `image.path` is relative to the folder of the export."""
FLAT = """
    SELECT id, {path} AS image, prompt AS task, solution, agent, agent_type, task_type, labeller, position,
           sha256, source, licence, width, height, video, moment, model, prompt_version, config_hash, p.split
    FROM pairs p JOIN frames f USING (sha256)
"""
"""One line of the published layout, as we write it; `image` is relative to the folder of the split."""


@contextmanager
def snapshot(store: Path, path: Path) -> Generator[duckdb.DuckDBPyConnection]:
    """Writes the pairs and frames of `store` that belong to a split to a new file at `path`, and leaves it open.

    Raises:
        StoreError: there is no store.
        ValueError: no pair belongs to a split.
    """
    con = duckdb.connect(str(path), config=SEALED)
    try:
        con.execute(f"SET memory_limit = '{MEMORY}'; SET temp_directory = '{_quoted(path.with_suffix('.spill'))}'")
        with reading(store) as source:
            chosen(source)
            labels(source)
            for table, sql in (("frames", _FRAMES), ("pairs", _PAIRS)):
                rows: Any = source.sql(sql).to_arrow_reader(50_000)
                con.register("rows", rows)
                con.execute(f"CREATE TABLE {table} AS SELECT * FROM rows")
                con.unregister("rows")
        if not con.execute("SELECT count(*) FROM pairs").fetchall()[0][0]:
            raise ValueError("there is no task-solution pair in train or bench to export: run `wmsd generate` first")
        yield con
    finally:
        con.close()


def copy(con: duckdb.DuckDBPyConnection, records: str, where: str, path: Path, options: str) -> None:
    """Writes the records that `where` selects to a file, in the order of the table."""
    path.parent.mkdir(parents=True, exist_ok=True)
    con.execute(f"COPY ({records} WHERE {where} ORDER BY p.rowid) TO '{_quoted(path)}' ({options})")


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")
