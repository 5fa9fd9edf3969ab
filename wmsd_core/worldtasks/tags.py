"""What people say of frames and pairs: a word for each, taken in from a file, and the word that turns down.

A file has one mark a line, as the page of `wmsd browse` writes it:

    {"item": ID, "kind": "frame" or "pair", "tag": "drop", "note": "two doors"}

An item has one tag. A pair's id is made of its frame and its text, so a tag outlives pairs that are written again and holds
for the same text when it comes back.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import duckdb
from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError

from wmsd_core.store import insert, query, writing

DROP = "drop"
"""What is tagged with this word is turned down, and a frame with all its pairs. Every other word is a person's own."""
TAGGED = "tagged"
"""The reason of those rejections."""


class Mark(BaseModel):
    """One line of a file of tags."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    item: str
    """Frame id or pair id."""
    kind: Literal["frame", "pair"]
    tag: Annotated[str, StringConstraints(strip_whitespace=True, max_length=100)]
    """Empty: whatever was said of it is forgotten."""
    note: Annotated[str, StringConstraints(strip_whitespace=True, max_length=2000)] = ""


@dataclass(frozen=True)
class Taken:
    """What came of a file of tags."""

    new: int
    changed: int
    forgotten: int
    as_before: int
    wrong: tuple[str, ...]
    """A sentence for each line that was not taken, with its number."""


def take_in(store: Path, file: Path) -> Taken:
    """Stores the marks of `file`; of several about one item the last counts. A line that is wrong costs no other.

    Raises:
        ValueError: the file cannot be read.
        StoreError: there is no store.
    """
    try:
        lines = file.read_bytes().splitlines()
    except OSError as error:
        raise ValueError(f"cannot read {file}: {error.strerror}; give the file that the page has written") from error
    marks, wrong = dict[str, Mark](), list[str]()
    with writing(store) as con:
        known = _known(con)
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                mark = Mark.model_validate_json(line)
            except ValidationError as error:
                wrong.append(f"line {number} is no mark: {_first(error)}")
                continue
            if (mark.item, mark.kind) in known:
                marks[mark.item] = mark
            else:
                wrong.append(f"line {number}: there is no {mark.kind} {mark.item[:64]} in this store")
        before = {row["item"]: Mark(**row) for row in query(con, "SELECT item, kind, tag, note FROM tags")}
        tagged = {item: mark for item, mark in marks.items() if mark.tag}
        gone = [item for item in marks if item in before and item not in tagged]
        changed = [item for item, mark in tagged.items() if item in before and mark != before[item]]
        new = [item for item in tagged if item not in before]
        con.execute("DELETE FROM tags WHERE item IN (SELECT unnest(?::VARCHAR[]))", [gone])
        insert(con, "tags", [tagged[item].model_dump() for item in [*new, *changed]], replace=True)
    return Taken(
        new=len(new),
        changed=len(changed),
        forgotten=len(gone),
        as_before=len(marks) - len(new) - len(changed) - len(gone),
        wrong=tuple(wrong),
    )


def _known(con: duckdb.DuckDBPyConnection) -> set[tuple[str, str]]:
    """What can be tagged, and what was tagged before it went: it can be forgotten."""
    return set(
        con.execute(
            """
            SELECT frame_id, 'frame' FROM frames UNION SELECT pair_id, 'pair' FROM task_pairs
            UNION SELECT item, kind FROM tags
            """
        ).fetchall()
    )


def _first(error: ValidationError) -> str:
    found = error.errors(include_url=False)[0]
    return ": ".join([*map(str, found["loc"]), found["msg"]])


_DROPS = f"SELECT item, tag || if(note = '', '', ': ' || note) AS detail FROM tags WHERE tag = '{DROP}'"
_WANTED = f"""
    SELECT frame_id AS item, drops.detail, path FROM frames JOIN ({_DROPS}) drops ON item = frame_id
    UNION ALL
    SELECT pair_id, coalesce(own.detail, whole.detail || ' (its frame)'), path
    FROM task_pairs JOIN frames USING (frame_id)
    LEFT JOIN ({_DROPS}) own ON own.item = pair_id LEFT JOIN ({_DROPS}) whole ON whole.item = frame_id
    WHERE coalesce(own.item, whole.item) IS NOT NULL
"""
"""SQL: frames and pairs that the tags turn down: item, detail, path."""
_TOLD = f"SELECT item, detail, path FROM rejections WHERE stage = 'generate' AND reason = '{TAGGED}'"


def drop_tagged(con: duckdb.DuckDBPyConnection) -> int:
    """Sets which frames and pairs are turned down by their tags, as rejections of stage `generate`. Returns the pairs."""
    con.execute(f"DELETE FROM rejections WHERE stage = 'generate' AND reason = '{TAGGED}'")
    con.execute(
        f"""
        INSERT INTO rejections BY NAME
        SELECT 'generate' AS stage, item, '{TAGGED}' AS reason, detail, path, '' AS config_hash FROM ({_WANTED}) ORDER BY item
        """
    )
    return con.execute(f"SELECT count(*) FROM ({_TOLD}) JOIN task_pairs ON item = pair_id").fetchall()[0][0]


def waiting(con: duckdb.DuckDBPyConnection) -> int:
    """How many frames and pairs the tags turn down or bring back, once the selection runs again."""
    return con.execute(
        f"""
        SELECT count(DISTINCT item) FROM (
            (SELECT * FROM ({_WANTED}) EXCEPT SELECT * FROM ({_TOLD}))
            UNION ALL (SELECT * FROM ({_TOLD}) EXCEPT SELECT * FROM ({_WANTED})))
        """
    ).fetchall()[0][0]
