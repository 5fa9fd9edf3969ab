"""Whether a workspace is what its store says, file by file: what is wrong, and what can be mended.

Nothing is invented: mending takes back what is no longer true, so that the stage concerned does it again.
"""

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from wmsd_core import store
from wmsd_core.files import sha256
from wmsd_core.frames import Refusal, clips
from wmsd_core.frames.refusal import record
from wmsd_core.leftovers import of_killed, remove
from wmsd_core.store.place import renew, repoint
from wmsd_core.training import sealing
from wmsd_core.training.deliveries import intact
from wmsd_core.workspace import Workspace

PAGE = 10_000


@dataclass(frozen=True)
class Discrepancy:
    """One thing that is not as the store says."""

    what: str
    where: str
    fault: str
    cure: str
    """What mending does, or has done."""


def verify(place: Workspace, *, mend: bool = False, moved: tuple[Path, Path] | None = None) -> list[Discrepancy]:
    """Looks at every file that the store names: pictures and videos by their SHA-256, adapters, checkpoints, the request log.

    `moved` says that a folder outside the workspace lies elsewhere now; paths below it are re-pointed first.

    Raises:
        StoreError: there is no store, or it cannot be read.
    """
    with store.reading(place.store):
        pass  # says so where there is none
    if moved:
        with store.writing(place.store) as con:
            repoint(con, *moved)
    found = [
        *_frames(place, mend),
        *_videos(place),
        *_runs(place, mend),
        *_leftovers(place, mend),
        *_requests(place, mend),
    ]
    if found and mend:
        with store.writing(place.store) as con:
            renew(con)
    return found


def _frames(place: Workspace, mend: bool) -> Iterator[Discrepancy]:
    known = "SELECT item FROM rejections WHERE stage = 'frames' AND reason IN ('missing', 'changed')"
    last = ""
    while True:
        with store.reading(place.store) as con:
            rows = con.execute(
                f"""
                SELECT frame_id, path FROM frames WHERE frame_id > ? AND frame_id NOT IN ({known})
                ORDER BY frame_id LIMIT {PAGE}
                """,
                [last],
            ).fetchall()
        if not rows:
            return
        last = rows[-1][0]
        wrong = [(frame_id, Path(path), fault) for frame_id, path in rows if (fault := _picture(Path(path), frame_id))]
        if mend:
            with store.writing(place.store) as con:
                record(con, wrong, "verify")
        for _, path, fault in wrong:
            yield Discrepancy("picture", str(path), fault.detail, "rejected until a filter run finds its content again")


def _picture(path: Path, frame_id: str) -> Refusal | None:
    try:
        same = sha256(path) == frame_id
    except OSError as error:
        return Refusal("missing", f"cannot be read: {error.strerror}")
    return None if same else Refusal("changed", "has other content than when it was registered")


def _videos(place: Workspace) -> Iterator[Discrepancy]:
    with store.reading(place.store) as con:
        rows = con.execute("SELECT path, sha256 FROM videos ORDER BY path").fetchall()
    for path, checksum in rows:
        if not clips.intact(Path(path), checksum):
            yield Discrepancy("video", path, "is missing or damaged", "made again by the next evaluation that needs it")


def _runs(place: Workspace, mend: bool) -> Iterator[Discrepancy]:
    with store.reading(place.store) as con:
        rows = con.execute("SELECT run_id, folder, adapter FROM training_runs ORDER BY run_id").fetchall()
    for run_id, folder, adapter in rows:
        whole = {intact(path) for path in Path(folder).glob("adapter*")}
        if adapter and adapter not in whole:
            yield Discrepancy(
                "adapter", f"{folder}/adapter", "is missing or damaged", "delivered again by `wmsd train`"
            )
            if mend:
                with store.writing(place.store) as con:
                    sql = "UPDATE training_runs SET status = 'running', adapter = '' WHERE run_id = ?"
                    con.execute(sql, [run_id])
        for path in sorted((Path(folder) / "checkpoints").glob("step-*")):
            if fault := sealing.fault(path):
                yield Discrepancy("checkpoint", str(path), fault, "deleted; training goes on from the one before it")
                if mend:
                    shutil.rmtree(path)


def _leftovers(place: Workspace, mend: bool) -> Iterator[Discrepancy]:
    for path in of_killed(place.training):
        yield Discrepancy("leftover", str(path), "a killed process left it half written", "deleted")
        if mend:
            remove(path)


def _requests(place: Workspace, mend: bool) -> Iterator[Discrepancy]:
    if not place.requests.is_file():
        return
    try:
        with closing(sqlite3.connect(place.requests)) as log:
            said = str(log.execute("PRAGMA quick_check(1)").fetchone()[0])
    except sqlite3.DatabaseError as error:
        said = str(error)
    if said != "ok":
        aside = place.requests.with_suffix(".damaged")
        yield Discrepancy(
            "request log", str(place.requests), said, f"moved to {aside.name}; unfinished questions are asked again"
        )
        if mend:
            place.requests.replace(aside)
