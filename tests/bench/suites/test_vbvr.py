"""Both layouts of VBVR-Bench, and a kit that does what its file says: a program at the outermost edge; all else is real."""

import json
import re
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.bench.suites.clips import clip, picture
from tests.reference import REFERENCE
from wmsd_core.bench.submission import RemarkKind, checked
from wmsd_core.bench.suites.vbvr import layout, scoring, tables
from wmsd_core.bench.suites.vbvr.kit import Kit
from wmsd_core.bench.suites.vbvr.rewriting import rewrite
from wmsd_core.frames.videos import whole
from wmsd_core.vlm import Message

EXAMPLES = REFERENCE.parent / "notes" / "judging_spec"
INSIDE, OUTSIDE = "G-45_key_door_matching_data-generator", "O-9_shape_scaling_data-generator"
TREE = {"In-Domain_50": INSIDE, "Out-of-Domain_50": OUTSIDE}

KIT = """
import json, os, sys, time
from pathlib import Path
here, given = Path(__file__).parent, dict(zip(sys.argv[1::2], sys.argv[2::2]))
with (here / "calls").open("a") as file:
    print("called", file=file)
rows = []
for path in sorted(Path(given["--model_path"]).rglob("*.mp4")):
    truth = Path(given["--gt_base"]) / path.parent.parent.name / path.parent.name / path.stem
    assert (truth / "first_frame.png").is_file() and given["--device"] == "cpu"
    rows.append({"task_name": path.parent.name, "video_file": path.name, "score": 0.5, "error": None})
exec((here / "behaviour").read_text())
out = Path(given["--output_dir"]); out.mkdir()
(out / "model_vbvr_results.json").write_text(text if "text" in globals() else json.dumps({"samples": rows}))
"""


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("vbvr")
    seed = 50
    for split, task in TREE.items():
        for number in ("00000", "00001"):
            truth = root / "truth" / split / task / number
            picture(truth / "first_frame.png", seed)
            picture(truth / "final_frame.png", seed + 100)
            (truth / "prompt.txt").write_text(f"A long instruction {seed}.\n")
            clip(root / "videos" / split / task / f"{number}.mp4", seed)
            seed += 1
    return root


@pytest.fixture
def root(tree: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tree, tmp_path / "copy"))


def kit(folder: Path, behaviour: str = "", *, seconds: float = 20) -> Kit:
    folder.mkdir(exist_ok=True)
    (folder / "run_evaluation.py").write_text(KIT)
    (folder / "behaviour").write_text(behaviour)
    return Kit(folder, sys.executable, seconds=seconds)


def read(root: Path, videos: str = "videos") -> tuple[tuple[int, int, int], list[tuple[RemarkKind, str, str]]]:
    """Expected, found and scorable, and the remarks."""
    known, remarks = layout.samples(root / "truth")
    found = checked(layout.read(root / videos, known), {}, least_frames=1)
    scorable = [sample for sample in known if sample.name in found.scored and not sample.fault]
    told = [(r.kind, r.subject, r.detail) for r in (*remarks, *found.remarks)]
    return (len(found.expected), len(found.found), len(scorable)), told


def test_the_hundred_tasks_are_in_both_schemes_as_published() -> None:
    def sizes(of: Callable[[layout.Task], str]) -> dict[str, int]:
        named = [of(task) for task in layout.tasks().values()]
        return {name: named.count(name) for name in sorted(set(named))}

    assert list(sizes(lambda task: task.old).values()) == [11, 6, 10, 33, 16, 24]
    assert tuple(sizes(lambda task: task.old)) == tables.OLD
    assert list(sizes(lambda task: task.new).values()) == [23, 14, 30, 13, 20]
    assert tuple(sizes(lambda task: task.new)) == tables.NEW
    assert list(sizes(lambda task: task.split).values()) == [50, 50]


def test_the_valid_tree_is_read_whole_and_without_a_remark(root: Path) -> None:
    assert read(root) == ((4, 4, 4), [])
    known, _ = layout.samples(root / "truth")
    assert known[0].name == f"In-Domain_50/{INSIDE}/00000" and known[0].prompt == "A long instruction 50."


def _renamed(old: str, new: str) -> Callable[[Path], object]:
    return lambda root: (root / old).rename(root / new)


def _cut(root: Path) -> None:
    path = root / "videos/In-Domain_50" / INSIDE / "00000.mp4"
    path.write_bytes(path.read_bytes()[:200])


FILE = f"videos/In-Domain_50/{INSIDE}/0000"
BROKEN: dict[str, tuple[Callable[[Path], object], tuple[int, int, int], RemarkKind, str]] = {
    "a short number": (_renamed(FILE + "0.mp4", FILE[:-4] + "0.mp4"), (4, 3, 3), "reported", "passes over it"),
    "a seed": (_renamed(FILE + "0.mp4", FILE + "0_seed0.mp4"), (4, 3, 3), "reported", "passes over it"),
    "another format": (_renamed(FILE + "0.mp4", FILE + "0.MP4"), (4, 3, 3), "reported", "passes over it"),
    "a task without its ending": (
        _renamed(f"videos/Out-of-Domain_50/{OUTSIDE}", "videos/Out-of-Domain_50/O-9_shape_scaling"),
        (4, 2, 2),
        "refused",
        f"no evaluator has the name O-9_shape_scaling; the nearest is {OUTSIDE}",
    ),
    "another ending": (
        _renamed(f"videos/Out-of-Domain_50/{OUTSIDE}", "videos/Out-of-Domain_50/O-9_shape_scaling_data-pipeline"),
        (4, 2, 2),
        "refused",
        f"the nearest is {OUTSIDE}",
    ),
    "the wrong split": (
        _renamed(f"videos/Out-of-Domain_50/{OUTSIDE}", f"videos/In-Domain_50/{OUTSIDE}"),
        (4, 2, 2),
        "refused",
        "it lies in In-Domain_50, and the task is of Out-of-Domain_50",
    ),
    "no truth": (lambda root: clip(root / f"{FILE}5.mp4", 1), (4, 4, 4), "extra", "has no truth"),
    "a missing video": (lambda root: (root / f"{FILE}0.mp4").unlink(), (4, 3, 3), "missing", "no video"),
    "a cut file": (_cut, (4, 4, 3), "invalid", ""),
    "no final frame": (
        lambda root: (root / f"truth/In-Domain_50/{INSIDE}/00001/final_frame.png").unlink(),
        (4, 4, 3),
        "missing",
        "",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_every_broken_variant_is_named(root: Path, name: str) -> None:
    change, expected, kind, detail = BROKEN[name]
    change(root)
    counts, remarks = read(root)
    assert counts == expected
    if name == "no final frame":
        known, _ = layout.samples(root / "truth")
        assert [sample.fault for sample in known if sample.fault] == ["its truth has no final_frame.png"]
    else:
        assert any(found[0] == kind and detail in found[2] for found in remarks)


@pytest.mark.parametrize("name", ["In_Domain", "In-Domain", "Hidden_40", "Open_60"])
def test_another_version_is_refused_by_its_name(root: Path, name: str) -> None:
    (root / "truth" / "In-Domain_50").rename(root / "truth" / name)
    with pytest.raises(ValueError, match=f"has the folder {name}"):
        layout.samples(root / "truth")
    (root / "videos" / "In-Domain_50").rename(root / "videos" / name)
    with pytest.raises(ValueError, match=f"has the folder {name}"):
        layout.read(root / "videos", [])


def test_tasks_of_another_benchmark_are_refused(root: Path) -> None:
    for split, task in TREE.items():
        (root / "truth" / split / task).rename(root / "truth" / split / "P-1_something_new_data-generator")
    with pytest.raises(ValueError, match="VBVR-Pro-Bench is another benchmark"):
        layout.samples(root / "truth")


def test_any_length_size_and_rate_is_scored_and_recorded(root: Path) -> None:
    clip(root / f"{FILE}0.mp4", 50, frames=1, rate=5)
    known, _ = layout.samples(root / "truth")
    found = checked(layout.read(root / "videos", known), {}, least_frames=1)
    assert len(found.scored) == 4
    assert found.shapes[known[0].name] == (1, 96, 128, pytest.approx(5))


def test_the_old_layout_has_truth_and_videos_in_one(root: Path, tmp_path: Path) -> None:
    for split, task in TREE.items():
        for number in ("00000", "00001"):
            run = tmp_path / "old" / task / "kind_task" / f"kind_000{number}" / "default"
            shutil.copytree(root / "truth" / split / task / number, run / "question")
            (run / "video").mkdir()
            shutil.copy(root / "videos" / split / task / f"{number}.mp4", run / "video" / "output.mp4")
    known, _ = layout.samples(tmp_path / "old")
    assert [sample.name for sample in known] == [sample.name for sample in layout.samples(root / "truth")[0]]
    assert len(layout.read(tmp_path / "old", known).found) == 4
    shutil.copytree(run, run.with_name("again"))
    twice = layout.read(tmp_path / "old", known)
    assert len(twice.found) == 3 and "2 files" in next(r.detail for r in twice.remarks if r.kind == "refused")


def test_every_checkpoint_is_a_model(root: Path) -> None:
    for number in (100, 250):
        shutil.copytree(root / "videos", root / "trained" / f"checkpoint-{number}")
    assert list(layout.models(root / "trained")) == ["checkpoint-100", "checkpoint-250"]
    assert layout.models(root / "videos") == {"": root / "videos"}


MISBEHAVED = {
    "ends": ("sys.exit('no such task')", "the kit wrote no result; the kit ended with status 1: no such task"),
    "dies": ("os.kill(os.getpid(), 9)", "the kit ended with status -9"),
    "hangs": ("time.sleep(60)", "the kit took longer than 1.5 s"),
    "writes garbage": ("text = '{not json'", "the kit's result cannot be read"),
    "writes a list": ("text = '[]'", "the kit's result cannot be read"),
    "writes nothing of it": ("rows = []", "the kit's result does not name it"),
    "fails on it": ("rows[0] |= {'score': 0.0, 'error': 'no contour'}", "the kit failed on it: no contour"),
    "is not a number": ("rows[0]['score'] = float('nan')", "the kit's score is no number in [0, 1]: nan"),
    "is too large": ("rows[0]['score'] = 1.5", "no number in [0, 1]: 1.5"),
    "says true": ("rows[0]['score'] = True", "no number in [0, 1]"),
}


@pytest.mark.parametrize("name", MISBEHAVED)
def test_whatever_a_kit_does_is_a_reason(root: Path, tmp_path: Path, name: str) -> None:
    behaviour, reason = MISBEHAVED[name]
    sample = layout.samples(root / "truth")[0][0]
    start = time.monotonic()
    found = kit(tmp_path / "kit", behaviour, seconds=1.5 if name == "hangs" else 60).score(
        {sample: root / f"{FILE}0.mp4"}
    )
    assert found[sample].score is None and reason in found[sample].reason
    assert time.monotonic() - start < 30


def test_a_folder_that_is_no_kit_and_a_python_that_is_none(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="has neither run_evaluation"):
        Kit(tmp_path).describe()
    kit(tmp_path / "kit")
    sample = layout.samples(root / "truth")[0][0]
    found = Kit(tmp_path / "kit", "/nowhere/python").score({sample: root / f"{FILE}0.mp4"})
    assert "the kit could not be started" in found[sample].reason


def test_models_are_scored_beside_a_still_frame_and_a_second_run_asks_nothing(root: Path, tmp_path: Path) -> None:
    (root / f"{FILE}1.mp4").unlink()
    fails = "for row in rows:\n    if row['video_file'] == '00001.mp4': row |= {'score': 0.0, 'error': 'no contour'}"
    chosen = kit(tmp_path / "kit", fails)
    rows, _ = tables.publish(
        root / "truth", {"base": root / "videos", "rewritten": root / "videos"}, chosen, tmp_path / "out"
    )
    assert [row["model"] for row in rows] == ["base", "rewritten", scoring.STILL]
    base = rows[0]
    assert (base["mean"], base["scored"], base["expected"], base["found"]) == (0.5, 2, 4, 3)
    assert (base["least"], base["most"]) == (0.25, 0.75)
    assert base["as published"] == pytest.approx(
        1 / 3
    )  # two scores of .5, a failure as 0, and nothing for what is missing
    assert base["without a score"] == {"there is no video of it": 1, "the kit failed on it: no contour": 1}
    record = json.loads((tmp_path / "out" / "scores.json").read_text())
    assert record["kit"]["entry point"] == "run_evaluation.py" and re.fullmatch(
        r"[0-9a-f]{64}", record["kit"]["source"]
    )
    assert record["kit"]["scheme"] == "new, five categories" and record["kit"]["commit"] == "not known: no git checkout"
    by_name = {(cell["by"], cell["name"]): cell for cell in record["models"]["base"]["cells"]}
    assert by_name["old", layout.tasks()[INSIDE].old]["expected"] == 2
    assert by_name["split", "In-Domain_50"]["scored"] == 1
    text = (tmp_path / "out" / "scores.md").read_text()
    assert "| LTX-2 + WMSD † | 0.613 | 0.640 |" in text and scoring.STILL in text and "no contour" in text
    calls = (tmp_path / "kit" / "calls").read_text().count("called")
    (tmp_path / "kit" / "behaviour").write_text("")
    with (tmp_path / "out" / "scores.jsonl").open("a") as file:
        file.write('\n{"key": "half a')
    again, _ = tables.publish(root / "truth", {"base": root / "videos"}, chosen, tmp_path / "out")
    assert (
        again[0]["scored"] == 3
    )  # what failed was tried again, the rest is known: one call for each task with a failure
    assert (tmp_path / "kit" / "calls").read_text().count("called") - calls == 1 + 2
    calls += 3
    tables.publish(root / "truth", {"base": root / "videos"}, chosen, tmp_path / "out")
    assert (tmp_path / "kit" / "calls").read_text().count("called") == calls


@pytest.mark.parametrize("name", ["scores.json", "scores.md"])
def test_scores_of_something_else_are_kept_and_the_kit_is_not_asked(root: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("{}")
    with pytest.raises(ValueError, match=f"{name} was written by something else"):
        tables.publish(root / "truth", {"base": root / "videos"}, kit(tmp_path / "kit"), tmp_path / "out")
    assert not (tmp_path / "kit" / "calls").exists()
    assert [file.name for file in (tmp_path / "out").iterdir()] == [name]


def test_a_still_video_is_the_first_frame_to_the_pixel(root: Path, tmp_path: Path) -> None:
    sample = layout.samples(root / "truth")[0][0]
    clip(sample.folder / "ground_truth.mp4", 50, frames=7, rate=8)
    video, rate = whole(scoring._still(sample, tmp_path))  # pyright: ignore[reportPrivateUsage]
    assert (len(video), rate) == (7, pytest.approx(8))
    assert np.array_equal(video, np.repeat(np.asarray(Image.open(sample.folder / "first_frame.png"))[None], 7, 0))


def test_the_old_kit_is_given_the_old_layout(root: Path, tmp_path: Path) -> None:
    script = tmp_path / "kit" / "examples" / "score_videos.py"
    script.parent.mkdir(parents=True)
    script.write_text("""
import json, sys
from pathlib import Path
given = dict(zip(sys.argv[1::2], sys.argv[2::2]))
for video in Path(given["--inference-dir"]).glob("*/*/*/*/*/video/output.mp4"):
    run = video.parent.parent
    assert (run / "question" / "final_frame.png").is_file() and "--full-score" in sys.argv
    out = Path(given["--eval-output-dir"]) / run.parent.relative_to(given["--inference-dir"])
    out.mkdir(parents=True)
    (out / "VBVRBenchEvaluator.json").write_text(json.dumps({"result": {"score": 0.25}}))
""")
    old = Kit(tmp_path / "kit", sys.executable, "five")
    known = [sample for sample in layout.samples(root / "truth")[0] if sample.task == INSIDE]
    found = old.score({sample: root / f"{FILE}{sample.number}.mp4" for sample in known})
    assert [score.score for score in found.values()] == [0.25, 0.25]
    assert old.describe()["scheme"] == "old, six categories"
    assert old.describe()["entry point"] == "examples/score_videos.py --full-score"


class Rewriter:
    """Answers all prompts but the one that it is told to fail at."""

    name, concurrency = "writer/1", 2

    def __init__(self, fails: str = "") -> None:
        self.fails, self.asked = fails, list[str]()

    def complete(self, messages: Sequence[Message], schema: type[Any], *, seed: int) -> Any:
        prompt = messages[-1].text.split("The instruction is:\n")[1].split("\n")[0]
        assert messages[-1].images[0].shape == (96, 128, 3)
        self.asked.append(prompt)
        if prompt == self.fails:
            raise ValueError("no words for it")
        return schema.model_validate({"task": f"[Block]: short\nform of {prompt}"})

    def log_odds(self, *_: Any) -> Any: ...


def test_long_prompts_become_short_tasks_in_the_same_folders(root: Path, tmp_path: Path) -> None:
    first = Rewriter(fails="A long instruction 51.")
    told = rewrite(root / "truth", first, tmp_path / "short", concurrency=2)
    assert (told["rewritten"], told["found"], told["unanswered"]) == (3, 0, 1)
    assert told["reasons"] == {f"In-Domain_50/{INSIDE}/00001": "no words for it"}
    again = Rewriter()
    assert rewrite(root / "truth", again, tmp_path / "short")["found"] == 3
    assert again.asked == ["A long instruction 51."]
    prompts = [sample.prompt for sample in layout.samples(tmp_path / "short")[0]]
    assert prompts == [f"[Block]: short form of A long instruction {number}." for number in range(50, 54)]
    assert (tmp_path / "short" / "In-Domain_50" / INSIDE / "00000" / "first_frame.png").is_file()
    with pytest.raises(ValueError, match="another folder"):
        rewrite(root / "truth", again, root / "truth")


@pytest.mark.skipif(not EXAMPLES.is_dir(), reason="the example trees are not at hand")
def test_the_example_trees_are_read_as_described() -> None:
    assert read(EXAMPLES / "vbvr_ok") == ((4, 4, 4), [])
    counts, remarks = read(EXAMPLES / "vbvr_broken")
    assert counts == (4, 1, 0)  # the one that is found has no final frame to be held against
    assert sorted(kind for kind, _, _ in remarks) == ["extra"] + 3 * ["missing"] + 2 * ["refused"] + ["reported"]
    assert layout.samples(EXAMPLES / "vbvr_broken" / "truth")[0][1].fault == "its truth has no final_frame.png"
