"""The dataset card: a README.md that the Hugging Face Hub understands, its pictures, and the same as one HTML page.

All counts come from the store and from what is exported, by SQL; no table is held in memory.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import duckdb
from markupsafe import Markup
from PIL import Image

from wmsd_core import __version__, store
from wmsd_core.store.funnel import DROPPED, STAGES, dropped_at
from wmsd_core.worldtasks.overview import refusal_rates
from wmsd_core.worldtasks.snapshot import SCHEMA
from wmsd_core.worldtasks.taxonomy import LABELLER

ASSETS = Path(__file__).parent / "assets"
EXAMPLES, PAIRS_SHOWN, WIDTH = 6, 2, 480
_SIZES = ((1e3, "n<1K"), (1e4, "1K<n<10K"), (1e5, "10K<n<100K"), (1e6, "100K<n<1M"), (1e7, "1M<n<10M"))
_STAGES = ("filter", "dedup", "rank", "screen", "generate")


@dataclass(frozen=True)
class About:
    """What the card is told: names, where `load_dataset` finds each split, and what the division says of itself."""

    title: str
    licence: str
    files: Mapping[str, str]
    pictures: str
    """How pictures are part of the export, a sentence."""
    inside: bool
    """Whether pictures lie in the export."""
    left_out: Mapping[str, int]
    identity: str
    """Digest of the records, which hold the checksums of their pictures."""


def write_card(path: Path, con: duckdb.DuckDBPyConnection, folder: Path, about: About) -> None:
    """Writes README.md, card.html and card/*.png for the snapshot `con` of the store at `path`."""
    pictures = folder / "card"
    pictures.mkdir()
    types = store.query(
        con, "SELECT split, agent_type, task_type, count(*) AS pairs FROM pairs GROUP BY ALL ORDER BY ALL"
    )
    from wmsd_core.pages.environment import text_environment  # Jinja and matplotlib are slow to read
    from wmsd_core.worldtasks.figures import lengths, taxonomy

    taxonomy(pictures / "taxonomy.png", types)
    lengths(pictures / "lengths.png", _words(con, "prompt"), _words(con, "solution"))
    with store.reading(path) as source:
        facts = _store_facts(source)
    card: Any = text_environment(ASSETS)
    card.filters["md"] = markdown  # every text from outside passes through it, in the template
    card.globals.update(number=number, rate=rate)
    text = card.get_template("card.md.j2").render(_export_facts(con, folder, about) | facts)
    (folder / "README.md").write_text(text, encoding="utf-8")
    (folder / "card.html").write_text(_page(about.title, text), encoding="utf-8")


def _export_facts(con: duckdb.DuckDBPyConnection, folder: Path, about: About) -> dict[str, Any]:
    pairs = _by_split(con, "pairs")
    labellers = [name for (name,) in con.execute("SELECT DISTINCT labeller FROM pairs ORDER BY ALL").fetchall()]
    made_by = store.query(
        con,
        "SELECT model, prompt_version, config_hash, count(*) AS pairs FROM pairs GROUP BY ALL ORDER BY pairs DESC, config_hash",
    )
    licences = store.query(
        con, "SELECT source, licence, count(*) AS images FROM frames GROUP BY ALL ORDER BY images DESC, source, licence"
    )
    limits: list[str] = []
    if unknown := sum(row["images"] for row in licences if not row["licence"]):
        limits.append(f"The licence of {number(unknown)} images is not known: ask their source before you share them.")
    if LABELLER in labellers:
        limits.append(
            "Types were told by rules from the words of a task, and are wrong where a word has another sense."
        )
    if about.left_out:
        limits.append(f"Left out with their pairs, as their files could not be read: {_counts(about.left_out)} images.")
    if "bench" not in pairs["by_split"]:
        limits.append("There is no benchmark: every pair is in train.")
    nested = any(pattern.startswith("data/") for pattern in about.files.values())
    within = (
        "" if nested else f"/{next(iter(about.files), '')}"
    )  # the published layout names pictures from its split on
    return {
        "title": about.title,
        "licence": about.licence,
        "files": about.files,
        "nested": nested,
        "place": f'folder + "{within}/" + ' if about.inside else "",
        "pictures": about.pictures,
        "size": next((name for limit, name in _SIZES if pairs["total"] < limit), "n>10M"),
        "pairs": pairs,
        "frames": _by_split(con, "frames"),
        "writers": sorted({row["model"] for row in made_by}),
        "labellers": [name or "nobody" for name in labellers],
        "made_by": made_by,
        "licences": licences,
        "examples": _examples(con, folder),
        "schema": SCHEMA,
        "version": __version__,
        "limits": limits,
        "identity": about.identity,
    }


def _store_facts(con: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    stages = store.query(
        con,
        "SELECT stage, cache_key, code_version, config, summary FROM stage_runs WHERE list_contains(?, stage) ORDER BY started",
        [list(_STAGES)],
    )
    splits: dict[str, Any] = next(
        (json.loads(row["summary"]).get("splits", {}) for row in stages if row["stage"] == "generate"), {}
    )
    drift: dict[str, float] = splits.get("drift", {})
    rejected = con.execute(
        f"""
        SELECT reason, count(*) FROM (
            SELECT reason FROM rejected_pairs WHERE frame_id NOT IN (
                SELECT item FROM rejections WHERE list_contains($before, stage))
            UNION ALL
            SELECT reason FROM ({DROPPED}) WHERE item NOT IN (SELECT frame_id FROM frames)
        ) GROUP BY reason ORDER BY count(*) DESC, reason
        """,
        dropped_at("generate"),
    ).fetchall()
    generations = con.execute("SELECT DISTINCT config_hash FROM task_pairs ORDER BY config_hash").fetchall()
    refusals = [rate for (made_by,) in generations for rate in refusal_rates(con, made_by) if rate.sort != "source"]
    return {
        "funnel": _funnel(con),
        "rejected_pairs": f"Pairs that were turned down: {_counts(dict(rejected))}." if rejected else "",
        "answers": store.query(con, _ANSWERS),
        "refusals": refusals,
        "embedded": con.execute("SELECT count(*) FROM embeddings").fetchall()[0][0] > 0,
        "drift": ", ".join(f"{value:.3f} in {name.replace('_', ' ')}" for name, value in drift.items()),
        "stages": [row | {"settings": _settings(json.loads(row["config"]))} for row in stages],
    }


def _by_split(con: duckdb.DuckDBPyConnection, table: str) -> dict[str, Any]:
    """Rows in total and by split, train first."""
    rows = con.execute(f"SELECT split, count(*) FROM {table} GROUP BY split ORDER BY split DESC").fetchall()
    return {"by_split": dict(rows), "total": sum(count for _, count in rows)}


def _words(con: duckdb.DuckDBPyConnection, column: str) -> dict[int, int]:
    """Words of a text -> pairs."""
    words = f"len(regexp_split_to_array(trim({column}), '\\s+'))"
    sql = f"SELECT {words} AS words, count(*) FROM pairs GROUP BY words ORDER BY words"
    return dict(con.execute(sql).fetchall())


def _funnel(con: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """Images before and after each stage, and why the others were dropped."""
    entered = con.execute(
        """
        SELECT (SELECT count(*) FROM frames) + (
            SELECT count(DISTINCT item) FROM rejections
            WHERE stage = 'frames' AND item NOT IN (SELECT frame_id FROM frames))
        """
    ).fetchall()[0][0]
    steps: list[dict[str, Any]] = []
    for number_, stage in enumerate(STAGES, start=1):
        sql = "SELECT count(*) FROM frames WHERE frame_id NOT IN (SELECT item FROM rejections WHERE list_contains(?, stage))"
        left = con.execute(sql, [list(STAGES[:number_])]).fetchall()[0][0]
        sql = f"""
            SELECT reason, count(*) FROM ({DROPPED}) WHERE $stage = 'frames' OR item NOT IN (SELECT pair_id FROM task_pairs)
            GROUP BY reason ORDER BY count(*) DESC, reason
        """
        reasons = dict(con.execute(sql, dropped_at(stage)).fetchall())
        steps.append({"stage": stage, "entered": entered, "left": left, "reasons": _counts(reasons)})
        entered = left
    return steps


_ANSWERS = """
    SELECT regexp_extract(source, '([^/]*)/*$', 1) AS source,
           count(s.frame_id) AS screened, count(*) FILTER (s.verdict = false) AS unsuitable,
           count(g.frame_id) AS asked, count(*) FILTER (g.refused) AS refused
    FROM frames
    LEFT JOIN (SELECT frame_id, bool_and(suitable) AS verdict FROM screenings GROUP BY frame_id) s USING (frame_id)
    LEFT JOIN (
        SELECT frame_id, bool_or(refused) AS refused FROM (
            SELECT frame_id, false AS refused FROM task_pairs
            UNION ALL SELECT item, reason = 'refused' FROM rejections WHERE stage = 'generate'
        ) GROUP BY frame_id) g USING (frame_id)
    GROUP BY ALL HAVING screened + asked > 0 ORDER BY asked DESC, source LIMIT 20
"""


def _examples(con: duckdb.DuckDBPyConnection, folder: Path) -> list[dict[str, Any]]:
    """Some images of the training set with their first pairs; the pictures are written to `folder`."""
    found: list[dict[str, Any]] = []
    rows = con.execute("SELECT sha256, path FROM frames ORDER BY split DESC, sha256 LIMIT ?", [EXAMPLES]).fetchall()
    for index, (sha256, path) in enumerate(rows):
        name = f"card/example-{index}.jpg"
        with Image.open(folder / path) as image:  # `folder / path` is `path` where that is absolute
            picture = image.convert("RGB")
        picture.thumbnail((WIDTH, WIDTH))
        picture.save(folder / name, quality=85)
        sql = "SELECT prompt, solution FROM pairs WHERE sha256 = ? ORDER BY position LIMIT ?"
        found.append({"picture": name, "pairs": store.query(con, sql, [sha256, PAIRS_SHOWN])})
    return found


def _settings(config: Mapping[str, Any], prefix: str = "") -> str:
    """A configuration as one line: dotted keys and values."""
    parts: list[str] = []
    for key, value in config.items():
        inner = isinstance(value, dict)
        parts.append(_settings(value, f"{prefix}{key}.") if inner else f"{prefix}{key} = {json.dumps(value)}")  # pyright: ignore[reportUnknownArgumentType]
    return "; ".join(part for part in parts if part)


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{number(count)} {name.replace('_', ' ')}" for name, count in counts.items())


def number(count: int) -> str:
    """A whole number with commas between the thousands."""
    return f"{count:,}"


def rate(part: int, whole: int) -> str:
    """A share in per cent with its count; a dash where nothing was asked."""
    return f"{100 * part / whole:.1f} % ({part:,})" if whole else "–"


def markdown(text: object) -> str:
    """A model's or a user's text as Markdown that shows it as it is: on one line, without markup, links or HTML."""
    line = escape(" ".join(str(text).split()), quote=False)
    return "".join(f"\\{c}" if c in "\\`*_[]()#!|~$" else c for c in line)


def _page(title: str, text: str) -> str:
    """The card without its YAML header as a page of its own; raw HTML in it stays text."""
    from markdown_it import MarkdownIt  # here, as above

    from wmsd_core.pages.environment import environment

    body = MarkdownIt("commonmark", {"html": False}).enable("table").render(text.split("\n---\n", 1)[1])
    page = environment(ASSETS, "card.css").get_template("card.html.j2")
    return page.render(title=title, body=Markup(body)) + "\n"  # what was no markup in `text` is escaped by now
