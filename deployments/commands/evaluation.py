"""The benchmark and its page."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deployments.options import Existing, Later, Rows, Summary, Told, Work, command, err, note
from deployments.server import orchestration

if TYPE_CHECKING:
    from wmsd_core.bench.evaluation import EvaluateConfig

app = typer.Typer()
bench = typer.Typer(name="bench", help="What a benchmark is made of.", no_args_is_help=True)
app.add_typer(bench)

Bench = Annotated[
    str | None, typer.Option("--bench", help="Benchmark by name, or as package.module:factory.", show_default=False)
]


PICKSCORE = "pickscore"
"""The one measure that is not in per cent."""
MISSING_TOLD = 5
"""Missing clips that are named; of more, the count is said."""


def told(summary: Summary) -> Told:
    """What `flows.evaluate` did: for programs whole, with the evaluation's settings and every clip's checksum; for people its
    scores and counts, an arm a line, and beside them what is to be said of single clips."""
    about = {name: summary[name] for name in summary if name not in ("evaluation", "averages", "videos")}
    of_arms: dict[str, object] = {}
    for arm, found in summary["videos"].items():
        of_arms[f"videos of {arm}"] = {name: found[name] for name in found if name not in ("shapes", "remarks")}
        if "shapes" in found:
            of_arms[f"lengths of {arm}"] = [f"{clips} of {shape}" for shape, clips in found["shapes"].items()]
        missing = [remark for remark in found.get("remarks", ()) if remark.startswith("missing: ")]
        for remark in found.get("remarks", ()):
            if remark not in missing[MISSING_TOLD:]:
                note(arm, remark)
        if len(missing) > MISSING_TOLD:
            note(arm, f"missing: {len(missing) - MISSING_TOLD} more, which --json lists")
    people = {
        "evaluation": about.pop("evaluation_id"),
        "judge": summary["evaluation"]["judge"],
        "items": about.pop("items"),
        **{f"average of {arm}": score for arm, score in summary["averages"].items()},
        **of_arms,
        **about,
    }
    return Told(people, summary)


@command(app)
def evaluate(
    given: Later,
    arms: Annotated[
        str | None, typer.Option(help="Arms to run, such as base,executor; of base, demonstrator, vlm, executor.")
    ] = None,
    bench: Bench = None,
) -> Told:
    """Generate and judge held-out videos of base, Demonstrator and Executor, from the same noise."""
    c, root = given.configuration, given.place.root
    chosen = {"arms": [arm.strip() for arm in arms.split(",")]} if arms else {}
    config = _changed(c.evaluate, bench, **chosen)
    with orchestration("flows.evaluate"):
        from flows.evaluate import evaluate as flow

        return told(flow(root, config, c.train, c.models))


@command(app)
def judge(
    given: Work,
    videos: Annotated[
        Path, typer.Option(help="Folder of clips, named by item id or by number, agent and task.", show_default=False)
    ],
    name: Annotated[str | None, typer.Option(help="What these clips go by; else the folder's name.")] = None,
    bench: Bench = None,
) -> Told:
    """Judge clips that any model made, for a benchmark's items (`wmsd bench export` gives pictures and tasks)."""
    c, root = given.configuration, given.place.root
    folder = videos.resolve()
    config = _changed(c.evaluate, bench, arms=[], videos={name or folder.name: str(folder)})
    with orchestration("flows.evaluate"):
        from flows.evaluate import evaluate as flow

        return told(flow(root, config, c.train, c.models))


@command(app)
def compare(
    given: Existing,
    one: Annotated[str, typer.Argument(metavar="RUN", help="An evaluation's id, or the run.json that was published.")],
    other: Annotated[str, typer.Argument(metavar="RUN", help="Likewise: it is subtracted.")],
    anyway: Annotated[
        bool, typer.Option("--anyway", help="Compare runs that differ in more than their videos.")
    ] = False,
) -> Told:
    """Compare two evaluations on the same items: first minus second, by picture. Refuses what is not comparable."""
    from wmsd_core import store
    from wmsd_core.bench.run import load
    from wmsd_core.bench.versus import versus

    with store.reading(given.place.store) as con:
        found = versus(load(con, one), load(con, other), anyway=anyway)
    for unlike in found.unlike:
        err.print(f"not comparable, shown anyway: {unlike}", markup=False, highlight=False, soft_wrap=True)
    beside = {"not comparable": "; ".join(found.unlike)} if found.unlike else {}
    whole: Rows = [
        {
            "arm": c.arm,
            "against": c.against,
            "measure": c.measure,
            "points": round(100 * c.difference, 1),
            "low": round(100 * c.low, 1),
            "high": round(100 * c.high, 1),
            "p, Holm": c.p_holm,
            "pairs": c.pairs,
            "dropped": c.dropped,
            "shown": "yes" if c.shown else "no: missing verdicts could undo it" if c.undone else "no",
            **beside,
        }
        for c in found.comparisons
    ]
    whole += [
        {
            "arm": p.arm,
            "against": p.against,
            "measure": PICKSCORE,
            "points": round(p.mean, 3),
            "low": round(p.interval.low, 3) if p.pictures > 1 else None,
            "high": round(p.interval.high, 3) if p.pictures > 1 else None,
            "p, Holm": None,
            "pairs": p.pairs,
            "dropped": p.dropped,
            "shown": "no test: it is no verdict",
            **beside,
        }
        for p in found.pictures
    ]
    return Told(briefly(whole), whole)


def briefly(rows: Rows) -> Rows:
    """Comparisons in lines that a terminal has room for: one name where both arms have it, one cell for the interval."""
    dropped = any(row["dropped"] for row in rows)

    def signed(row: Mapping[str, Any], name: str) -> str:
        if row[name] is None:
            return "?"
        return f"{row[name]:+.2f}" if row["measure"] == PICKSCORE else f"{row[name]:+.1f}"

    def chance(p: float | None) -> str:
        return "" if p is None else "<.001" if p < 0.001 else f"{p:.3f}".removeprefix("0")

    return [
        {
            "arms": row["arm"] if row["arm"] == row["against"] else f"{row['arm']} - {row['against']}",
            "measure": row["measure"],
            "points": signed(row, "points"),
            "95 %": f"[{signed(row, 'low')}, {signed(row, 'high')}]",
            "p, Holm": chance(row["p, Holm"]),
            "pairs": row["pairs"],
            **({"dropped": row["dropped"]} if dropped else {}),
            "shown": row["shown"],
            **({"comparable": "no"} if "not comparable" in row else {}),
        }
        for row in rows
    ]


@command(app)
def publish(
    given: Existing,
    out: Annotated[Path, typer.Argument(help="Folder to write.")],
    run: Annotated[str, typer.Option(help="An evaluation's id; else the newest.")] = "",
) -> Summary:
    """Write an evaluation as JSON, CSV, Markdown and LaTeX, published rows beside ours."""
    from wmsd_core import store
    from wmsd_core.bench.publishing import publish as write
    from wmsd_core.bench.run import load

    with store.reading(given.place.store) as con:
        found = load(con, run)
    files = write(found, found.evaluation.benchmark, out)
    return {"run": found.evaluation_id, "folder": str(out), "files": ", ".join(file.name for file in files)}


@command(bench)
def page(
    given: Existing,
    run: Annotated[str, typer.Argument(help="An evaluation's id, or its beginning; else the newest.")] = "",
    out: Annotated[Path | None, typer.Option(help="Folder to write; else WORKSPACE/evaluations/ID.")] = None,
) -> Summary:
    """Write a page of an evaluation: every item with its clips, verdicts and log-odds, to be filtered and looked through."""
    from wmsd_core import store
    from wmsd_core.bench.run import load
    from wmsd_core.bench.viewer import write_page

    with store.reading(given.place.store) as con:
        found = load(con, run)
    written = write_page(given.place.store, found, out or given.place.evaluations / found.evaluation_id[:12])
    gone = {"items gone since": written.gone} if written.gone else {}
    return {"page": str(written.path), "items": written.items, "clips": written.clips, "no clip": written.lost} | gone


@command(bench)
def export(given: Work, out: Annotated[Path, typer.Argument(help="Folder to write.")], bench: Bench = None) -> Summary:
    """Write first frames and tasks, for clips to be made from by any model and judged by `wmsd judge`."""
    c = given.configuration
    from wmsd_core.bench.handing_out import hand_out

    return hand_out(given.place.store, _changed(c.evaluate, bench), out)


@command(bench)
def dreamgen(
    given: Work,
    videos: Annotated[Path, typer.Argument(help="Folder of videos; the scripts read meaning into its whole path.")],
    out: Annotated[Path, typer.Argument(help="The .csv to write.")],
    script: Annotated[str, typer.Option(help="qwen, gpt-4o or physics.")] = "qwen",
    zeroshot: Annotated[str | None, typer.Option(help="As given to the script, which may not use it.")] = None,
    wording: Annotated[
        Path | None, typer.Option(help="File with the words to ask, {task} for the text; else ours.")
    ] = None,
) -> Summary:
    """Count videos of DreamGen Bench as its published scripts do, faults included; the strict count is `wmsd judge`."""
    from tasks.models import judge as judge_of
    from wmsd_core.bench.suites.dreamgen import official
    from wmsd_core.bench.suites.dreamgen.recount import question, recount

    known: dict[str, official.Script] = {name: name for name in official.SCRIPTS}
    chosen = known.get(script)
    if chosen is None:
        raise ValueError(f"--script is {', '.join(official.SCRIPTS)}, not '{script}'")
    words = wording.read_text(encoding="utf-8") if wording else ""
    asked = question(chosen, zero_shot=official.zero_shot(chosen, zeroshot), wording=words)
    return recount(videos, chosen, judge_of(given.place.root, given.configuration.models), asked, out)


@command(bench, "vbvr-prompts")
def vbvr_prompts(
    given: Work,
    truth: Annotated[Path, typer.Argument(help="VBVR-Bench: pictures and prompts, in either public layout.")],
    out: Annotated[Path, typer.Argument(help="Folder to write; a second run asks for what is missing.")],
) -> Summary:
    """Have models.writer turn the long prompts of VBVR-Bench into short tasks, to make videos of."""
    from tasks.models import writer as writer_of
    from wmsd_core.bench.suites.vbvr.rewriting import rewrite

    vlm = writer_of(given.place.root, given.configuration.models)
    return rewrite(truth, vlm, out, concurrency=vlm.concurrency)


@command(bench)
def vbvr(
    out: Annotated[Path, typer.Argument(help="Folder to write; a second run scores what is missing.")],
    kit: Annotated[Path, typer.Option(help="Your checkout of Video-Reason/VBVR-EvalKit, of either version.")],
    truth: Annotated[Path, typer.Option(help="VBVR-Bench: pictures and prompts, in either public layout.")],
    videos: Annotated[
        list[str], typer.Option(help="A model's videos, in either layout. May be repeated.", metavar="NAME=FOLDER")
    ],
    python: Annotated[str | None, typer.Option(help="The Python that has what the kit needs; else this one.")] = None,
    entry: Annotated[
        str, typer.Option(help="task: the task's own part, as its run_evaluation; five: five parts, as its evaluate.")
    ] = "task",
    device: Annotated[str, typer.Option(help="What the kit is told to use: cpu or cuda.")] = "cpu",
    timeout: Annotated[float, typer.Option(help="Seconds that a task's videos may take.", min=0.1)] = 600.0,
) -> Rows:
    """Score videos of VBVR-Bench by the rules of your own kit, with a still first frame beside every model."""
    import sys
    from typing import get_args

    from wmsd_core.bench.suites.vbvr.kit import Entry, Kit
    from wmsd_core.bench.suites.vbvr.tables import publish as write

    if entry not in get_args(Entry):
        raise ValueError(f"--entry is {' or '.join(get_args(Entry))}, not '{entry}'")
    if unnamed := [given for given in videos if not all(given.partition("="))]:
        raise ValueError(f"--videos is NAME=FOLDER, such as base=clips/base, not '{unnamed[0]}'")
    named = {name: Path(folder) for name, _, folder in (given.partition("=") for given in videos)}
    chosen = Kit(kit, python or sys.executable, "five" if entry == "five" else "task", device, timeout)
    rows, remarks = write(truth, named, chosen, out)
    for subject, remark in remarks:
        note(subject, remark)
    return rows


def _changed(config: "EvaluateConfig", bench: str | None, **changed: object) -> "EvaluateConfig":
    from wmsd_core.bench.evaluation import EvaluateConfig

    named = {"benchmark": bench} if bench else {}
    return EvaluateConfig.model_validate(config.model_dump() | named | changed)


@command(app)
def report(given: Existing) -> Summary:
    """Write the HTML report of whatever the workspace holds."""
    root = given.place.root
    with orchestration("flows.report"):
        from flows.report import report as flow

        return flow(root)
