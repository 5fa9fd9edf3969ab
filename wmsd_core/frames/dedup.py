"""Near-duplicates: of pictures that show the same, one is kept.

Frames are taken in order of preference: more pixels first, then sharper, then the smaller id. A frame is dropped if one
that was kept before it lies within the radius, and the row names it. So each dropped frame has a kept one near it (a long
chain of small changes, as in a video, is thinned out, not dropped as a whole), and the result depends on the set of frames
alone: not on the order in which they came, nor on shards.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pydantic import Field

from wmsd_core.config import Config, digest
from wmsd_core.frames.look_alikes import LookAlikes
from wmsd_core.store import insert, reading, writing
from wmsd_core.store.funnel import LAST, SURVIVORS, replace_rejections, up_to


class DedupConfig(Config):
    """When two frames count as the same picture."""

    radius: float = Field(default=4.0, ge=0)
    """Greatest distance of a near-duplicate: root mean square over 16x16 RGB, in grey levels. Copies of other JPEG quality or
    size lie about 1 apart; 0 drops only pictures that look exactly alike at that size."""


@dataclass(frozen=True)
class Deduplicated:
    """Frames kept and dropped; `unsigned` ones are dropped until they have a signature."""

    kept: int
    near_duplicates: int
    unsigned: int


_CANDIDATES = f"""
    SELECT f.frame_id, f.path, f.width * f.height AS pixels, m.sharpness, s.levels
    FROM frames f JOIN ({SURVIVORS}) USING (frame_id)
    LEFT JOIN signatures s ON s.frame_id = f.frame_id
    LEFT JOIN measurements m ON m.frame_id = f.frame_id AND m.config_hash = $measured_by
"""

_PREFERRED = f"""
    SELECT place, frame_id, levels FROM signatures JOIN (
        SELECT row_number() OVER (ORDER BY pixels DESC, sharpness DESC NULLS LAST, frame_id) AS place, frame_id
        FROM ({_CANDIDATES}) WHERE levels IS NOT NULL
    ) USING (frame_id)
"""

_INPUT = f"""
    SELECT count(*), count(levels), bit_xor(md5_number(concat_ws(' ', frame_id, pixels, sharpness, levels IS NULL)))
    FROM ({_CANDIDATES})
"""

_VERDICTS = f"""
    SELECT frame_id AS item, 'near_duplicate' AS reason,
           printf('%.2f levels from %s, which is kept', distance, kept) AS detail, path
    FROM twins JOIN frames USING (frame_id)
    UNION ALL
    SELECT frame_id, 'unsigned', 'not compared with others yet; run the dedup stage on it', path
    FROM ({_CANDIDATES}) WHERE levels IS NULL
    ORDER BY item
"""


def drop_near_duplicates(store: Path, measured_by: str, config: DedupConfig) -> Deduplicated:
    """Sets the rejections of stage `dedup` for every frame that passed the filter, from stored signatures alone.

    `measured_by` is the digest of the measurements that say which frame is sharper. If neither frames nor settings have
    changed since the stored rejections were made, they stand, and nothing is compared.
    """
    parameters: dict[str, object] = {
        **{"source": None, "stages": up_to("filter"), "first": "", "last": LAST},
        "measured_by": measured_by,
    }
    with reading(store) as con:
        total, signed, members = con.execute(_INPUT, parameters).fetchall()[0]
        made_from = digest([measured_by, config.digest(), total, str(members)])
        before = con.execute("SELECT made_from FROM verdicts WHERE stage = 'dedup'").fetchall()
    if before != [(made_from,)]:
        twins = _twins(store, parameters, config.radius)
        with writing(store) as con:
            con.register("twins", twins)
            replace_rejections(con, "dedup", _VERDICTS, parameters, digest([measured_by, config.digest()]))
            insert(con, "verdicts", [{"stage": "dedup", "made_from": made_from}], replace=True)
    with reading(store) as con:
        sql = "SELECT count(*) FROM rejections WHERE stage = 'dedup' AND reason = 'near_duplicate'"
        dropped = con.execute(sql).fetchall()[0][0]
    return Deduplicated(signed - dropped, dropped, total - signed)


def _twins(store: Path, parameters: dict[str, object], radius: float) -> Any:
    """(frame_id, kept, distance) of every near-duplicate, as an Arrow table (which has no types to name)."""
    known = LookAlikes(radius)
    try:
        with reading(store) as con:
            count = known.copy(con, _PREFERRED, parameters)
        known.con.execute("CREATE TABLE twins (place BIGINT, kept BIGINT, distance DOUBLE)")
        for places, levels in known.blocks(1, count):
            row, kept, distance = _greedy(places, *known.near(places, levels))
            twins = pa.table({"place": places[row], "kept": kept, "distance": distance})
            known.con.register("part", twins)
            known.con.execute("INSERT INTO twins SELECT * FROM part")
            known.con.unregister("part")
            stays = np.ones(len(places), bool)
            stays[row] = False
            known.add(places[stays], levels[stays])
        return known.con.sql("""
            SELECT one.frame_id, other.frame_id AS kept, distance FROM twins
            JOIN copied one ON one.place = twins.place JOIN copied other ON other.place = twins.kept
        """).to_arrow_table()
    finally:
        known.close()


def _greedy(
    places: np.ndarray, row: np.ndarray, other: np.ndarray, distance: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The rows that are dropped, the place of the kept frame that each resembles, and how far that is.

    Pairs name an earlier place, which is in this block or one that was kept before. Of several, the most preferred counts.
    """
    if not len(row):
        return row, other, distance
    order = np.lexsort((other, row))
    row, other, distance = row[order], other[order], distance[order]
    dropped: set[int] = set()
    chosen: list[int] = []
    starts = np.flatnonzero(np.r_[True, row[1:] != row[:-1]])
    for start, stop in zip(starts, [*starts[1:], len(row)], strict=True):
        for pair in range(start, stop):
            if int(other[pair]) not in dropped:
                dropped.add(int(places[row[pair]]))
                chosen.append(pair)
                break
    return row[chosen], other[chosen], distance[chosen]
