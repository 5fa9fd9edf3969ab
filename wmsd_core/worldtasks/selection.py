"""Which of the written pairs are kept: thresholds on what the verifier said, and a cap on each kind of pair.

Verdicts in SQL over stored answers and labels: another threshold or another cap asks no model. A pair is turned down under
its own id, as a rejection of stage `generate`, and `usable_pairs` leaves it out; a frame that keeps no pair is turned
down too. What a person has tagged to be dropped is turned down before all of this, and takes no place in a cell.
"""

from dataclasses import dataclass
from pathlib import Path

import duckdb
from pydantic import Field

from wmsd_core.config import Config, digest
from wmsd_core.store import reading, writing
from wmsd_core.vlm import prompts
from wmsd_core.worldtasks.kinds import Mix
from wmsd_core.worldtasks.tags import TAGGED, drop_tagged
from wmsd_core.worldtasks.verification import AGENT, OPEN


class SelectConfig(Config):
    """Which pairs are kept. As it is, all of them: nothing more is asked and nothing is capped."""

    min_agent_log_odds: float | None = None
    """Nats; asks for each pair whether its agent is in the picture, and keeps it if log p(yes) - log p(no) is greater. 0 is
    the model's own verdict. None: not asked."""
    min_open_log_odds: float | None = None
    """Nats; asks for each pair whether the picture shows its task as done already, and keeps it if log p(no) - log p(yes)
    is greater. 0 is the model's own verdict. None: not asked."""
    max_cell_share: float = Field(default=1.0, gt=0, le=1)
    """Largest share of the pairs that one cell of agent type x task type may keep; pairs beyond it are set aside, in order
    of their ids, which is a random one. The share is of the pairs that pass the thresholds. 1: no cap."""
    mix: Mix = Mix()
    """The shares that the achieved ones are reported beside."""

    def questions(self) -> tuple[str, ...]:
        """The questions whose answers these settings need."""
        wanted = ((AGENT, self.min_agent_log_odds), (OPEN, self.min_open_log_odds))
        return tuple(name for name, threshold in wanted if threshold is not None)


@dataclass(frozen=True)
class Selected:
    """Pairs kept, pairs turned down by reason, and frames that keep none."""

    kept: int
    dropped: dict[str, int]
    frames_without: int


VERDICTS = ("agent_absent", "already_satisfied", "unread", "over_quota", "no_pair_kept")
"""The reasons that this file gives to pairs and, the last one, to frames."""
_TAGGED = f"SELECT item FROM rejections WHERE stage = 'generate' AND reason = '{TAGGED}'"

_CANDIDATES = f"""
    SELECT p.pair_id, p.frame_id, f.path, t.agent_type, t.task_type, p.pair_id IN ({_TAGGED}) AS tagged,
           a.log_odds AS agent, o.log_odds AS open,
           coalesce(nullif(a.reason, ''), nullif(o.reason, ''), 'not asked yet') AS why
    FROM task_pairs p JOIN frames f USING (frame_id)
    LEFT JOIN taxonomy t ON t.pair_id = p.pair_id AND t.labeller = $labeller
    LEFT JOIN verifications a ON a.pair_id = p.pair_id AND a.model = $model AND a.question_version = $agent_question
    LEFT JOIN verifications o ON o.pair_id = p.pair_id AND o.model = $model AND o.question_version = $open_question
    WHERE p.frame_id NOT IN (SELECT item FROM rejections WHERE stage <> 'generate' OR NOT list_contains($own, reason))
"""
_DOUBTED = """
    CREATE TEMP TABLE doubted AS
    SELECT pair_id, CASE
        WHEN agent <= $min_agent THEN 'agent_absent'
        WHEN open <= $min_open THEN 'already_satisfied'
        ELSE 'unread' END AS reason, CASE
        WHEN agent <= $min_agent
            THEN printf('log-odds %.2f that the agent is in the picture, more than %.2f are needed', agent, $min_agent)
        WHEN open <= $min_open
            THEN printf('log-odds %.2f that the goal is still open, more than %.2f are needed', open, $min_open)
        ELSE why END AS detail, path
    FROM candidates
    WHERE NOT tagged AND (agent <= $min_agent OR open <= $min_open
        OR ($min_agent IS NOT NULL AND agent IS NULL) OR ($min_open IS NOT NULL AND open IS NULL))
"""
_OVER = """
    WITH passed AS (SELECT * FROM candidates WHERE NOT tagged AND pair_id NOT IN (SELECT pair_id FROM doubted)),
    ranked AS (
        SELECT *, row_number() OVER (PARTITION BY agent_type, task_type ORDER BY pair_id) AS place,
               ceil($share * (SELECT count(*) FROM passed)) AS cap
        FROM passed WHERE agent_type IS NOT NULL
    )
    SELECT pair_id AS item, 'over_quota' AS reason, path,
           printf('place %d among %s with %s, of which %d are kept', place, agent_type, task_type, cap::BIGINT) AS detail
    FROM ranked WHERE place > cap
"""


def keep_pairs(store: Path, model: str, config: SelectConfig) -> Selected:
    """Sets which pairs are turned down, from people's tags, the stored answers of `model` and the labels of whoever labelled
    most."""
    with writing(store) as con:
        tagged = drop_tagged(con)
        con.execute("DELETE FROM rejections WHERE stage = 'generate' AND list_contains(?, reason)", [list(VERDICTS)])
        named = _named(con, model)
        con.execute(f"CREATE TEMP TABLE candidates AS {_CANDIDATES}", {**named, "own": list(VERDICTS)})
        con.execute(_DOUBTED, {"min_agent": config.min_agent_log_odds, "min_open": config.min_open_log_odds})
        made_by = digest([named, config.digest()])
        into = "INSERT INTO rejections BY NAME SELECT *, 'generate' AS stage, $made_by AS config_hash FROM"
        con.execute(
            f"{into} (SELECT pair_id AS item, reason, detail, path FROM doubted)",
            {"made_by": made_by},
        )
        if config.max_cell_share < 1:
            con.execute(f"{into} ({_OVER})", {"made_by": made_by, "share": config.max_cell_share})
        con.execute(
            f"""
            {into} (
                SELECT frame_id AS item, 'no_pair_kept' AS reason, any_value(path) AS path,
                       printf('none of %d pairs is kept', count(*)) AS detail
                FROM candidates GROUP BY frame_id
                HAVING bool_and(pair_id IN (SELECT item FROM rejections WHERE stage = 'generate'))
            )
            """,
            {"made_by": made_by},
        )
        rows = con.execute(
            "SELECT reason, count(*) FROM rejections WHERE list_contains(?, reason) AND stage = 'generate' GROUP BY ALL",
            [list(VERDICTS)],
        ).fetchall()
        counts: dict[str, int] = dict(rows)
        frames = counts.pop("no_pair_kept", 0)
        counts |= {TAGGED: tagged} if tagged else {}
        kept = con.execute("SELECT count(*) FROM usable_pairs").fetchall()[0][0]
        con.execute("DROP TABLE candidates")
        con.execute("DROP TABLE doubted")
    return Selected(kept, dict(sorted(counts.items())), frames)


def nearest(store: Path, model: str, config: SelectConfig) -> dict[str, float]:
    """What the thresholds must be below for one pair to be kept, where none is: of the pair that misses them by the least.

    Empty where they are not what keeps none.
    """
    limits = {"min_agent": config.min_agent_log_odds, "min_open": config.min_open_log_odds}
    with reading(store) as con:
        rows = con.execute(
            f"""
            SELECT CASE WHEN agent <= $min_agent THEN agent END, CASE WHEN open <= $min_open THEN open END
            FROM ({_CANDIDATES})
            WHERE NOT tagged AND ($min_agent IS NULL OR isfinite(agent)) AND ($min_open IS NULL OR isfinite(open))
            ORDER BY coalesce(greatest($min_agent - agent, 0), 0) + coalesce(greatest($min_open - open, 0), 0), pair_id
            LIMIT 1
            """,
            {**_named(con, model), **limits, "own": list(VERDICTS)},
        ).fetchall()
    names = ("min_agent_log_odds", "min_open_log_odds")
    return {name: value for row in rows for name, value in zip(names, row, strict=True) if value is not None}


def _named(con: duckdb.DuckDBPyConnection, model: str) -> dict[str, str]:
    """Whose labels and answers count."""
    versions = {"agent_question": prompts.version(AGENT), "open_question": prompts.version(OPEN)}
    return {"labeller": labeller(con), "model": model, **versions}


def labeller(con: duckdb.DuckDBPyConnection) -> str:
    """Whoever labelled most pairs; of several, the last by name, which is a model asked for it before the rules. "" if none."""
    rows = con.execute(
        "SELECT labeller FROM taxonomy GROUP BY labeller ORDER BY count(*) DESC, labeller DESC LIMIT 1"
    ).fetchall()
    return rows[0][0] if rows else ""
