"""The published scripts of DreamGen Bench with a judge of ours: their files, their texts, their frames, their way of counting.

Their judges and words are their own. Here any judge is asked, in our words or in theirs, if a file holds them; a yes is
their 1, everything else their 0. The strict count is the benchmark `dreamgen` itself.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from wmsd_core.bench.suites.dreamgen import official
from wmsd_core.bench.suites.dreamgen.official import Script
from wmsd_core.files import replacing
from wmsd_core.frames.videos import whole
from wmsd_core.publication import refuse_other
from wmsd_core.vlm import Question, VisionLanguageModel, prompts

PLACE = "{task}"
"""What stands for the text in a wording."""


def question(script: Script, *, zero_shot: bool, wording: str = "") -> Question:
    """What is asked about each video, as a template.

    Args:
        zero_shot: whether the question for untrained models is asked (`official.zero_shot`).
        wording: other words, with {task} where the text goes; '' takes ours.

    Raises:
        ValueError: the wording has no place for the text, which all scripts but `physics` ask about.
    """
    if script == "physics":
        ours = prompts.template("judge_dreamgen_physics")
    else:
        ours = prompts.template("judge_dreamgen_zero_shot" if zero_shot else "judge_dreamgen")
    if wording and script != "physics" and PLACE not in wording:
        raise ValueError(f"the wording has no {PLACE}, where the text of a video goes")
    return replace(ours, text=wording, version="given") if wording else ours


def recount(folder: Path, script: Script, judge: VisionLanguageModel, asked: Question, out: Path) -> dict[str, object]:
    """Counts the videos of a folder as a script would, and writes the file that it writes.

    The path is taken as it is given, because the scripts cut their texts from it.

    Raises:
        ValueError: the script ends on one of the names, or finds no video; or `out` is a file of something else.
    """
    refuse_other(out, official.table([]))
    try:
        rows = official.run(str(folder), script, _ask(judge, script, asked))
    except (IndexError, NameError) as error:
        raise ValueError(f"the script '{script}' ends on these names: {error}") from error
    if not rows:
        raise ValueError(f"the script finds no *.mp4 below {folder}")
    with replacing(out) as partial:
        partial.write_text(official.table(rows), encoding="utf-8")
    return {
        "script": script,
        "found": len(rows),
        "ones": sum(row.prediction for row in rows),
        "average": official.average(rows),
        "question": asked.asked,
        "file": str(out),
    }


def _ask(judge: VisionLanguageModel, script: Script, asked: Question) -> Callable[[str, str], str | None]:
    def ask(path: str, text: str) -> str | None:
        try:
            video, rate = whole(Path(path))
        except Exception:  # the scripts count a file that cannot be read as 0, like a request that failed
            return None
        shown = video if script == "physics" else official.shown(video, script)
        filled = replace(asked, text=asked.text.replace(PLACE, text), fps=rate if script == "physics" else None)
        return "1" if judge.log_odds([filled], [shown])[0].verdict else "0"

    return ask
