"""A store as a run would leave it, made up: pictures, defects, tasks, videos with their verdicts, training curves.

`python -m tests.bench.synthetic FOLDER` writes a full one with its report, to look at the page.
"""

import hashlib
import json
import math
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from wmsd_core import store
from wmsd_core.bench import scores
from wmsd_core.bench.benchmark import ARMS, Arm, Item
from wmsd_core.bench.evaluation import EvaluateConfig, Evaluation, items_of, video_id
from wmsd_core.filters import DefectScore
from wmsd_core.frames import clips
from wmsd_core.store import insert
from wmsd_core.store.funnel import reject

Until = Literal["frames", "filter", "generate", "train", "evaluate"]
STAGES: tuple[Until, ...] = ("frames", "filter", "generate", "train", "evaluate")

COLOURS = {
    "red": (217, 48, 48),
    "green": (31, 153, 56),
    "blue": (33, 82, 230),
    "yellow": (240, 194, 20),
    "purple": (158, 38, 217),
}
CELL, SIDE, FRAMES = 4, 5, 7
START = datetime(2026, 3, 2, 8, 0)
AGENTS = ("circle", "triangle", "vehicle", "first-person view")
TASKS = ("navigation", "positioning", "object interaction", "perception", "combat action", "menu")
RATES = {  # chance of each criterion
    "base": (0.21, 0.42, 0.66),
    "demonstrator": (0.71, 0.88, 0.86),
    "executor": (0.80, 0.93, 0.84),
}


def board(rng: np.random.Generator) -> np.ndarray:
    """An empty board, uint8 [20, 20, 3]."""
    tone = np.array([237, 232, 222]) + rng.integers(-5, 6, 3)
    picture = np.tile(tone, (CELL * SIDE, CELL * SIDE, 1)) + rng.integers(-3, 4, (CELL * SIDE, CELL * SIDE, 1))
    return picture.clip(0, 255).astype(np.uint8)


def put(picture: np.ndarray, row: float, column: float, colour: str, *, round_: bool) -> None:
    """Draws an object with its upper left corner at (row, column) cells."""
    y, x = round(row * CELL), round(column * CELL)
    patch = picture[y : y + CELL, x : x + CELL]
    mask = np.ones((CELL, CELL), dtype=bool)
    if round_:
        mask[[0, 0, -1, -1], [0, -1, 0, -1]] = False
    mask = mask[: patch.shape[0], : patch.shape[1]]
    patch[mask] = COLOURS[colour]


def scene(index: int) -> tuple[np.ndarray, str, str, np.ndarray, np.ndarray]:
    """Picture, mover, place, and their cells, of scene `index`."""
    rng = np.random.default_rng(index)
    mover, place, bystander = rng.permutation(list(COLOURS))[:3]
    cells = np.array([divmod(int(cell), SIDE) for cell in rng.permutation(SIDE * SIDE)[:3]])
    picture = board(rng)
    put(picture, *cells[1], place, round_=False)
    put(picture, *cells[2], bystander, round_=True)
    still = picture.copy()
    put(picture, *cells[0], mover, round_=True)
    return picture, str(mover), str(place), np.stack([cells[0], cells[1]]), still


def motion(index: int, *, arrives: bool, right_agent: bool, intact: bool, rng: np.random.Generator) -> np.ndarray:
    """A video of scene `index` that does, or fails to do, what its verdicts say."""
    picture, mover, place, cells, still = scene(index)
    end = cells[1] if arrives else np.clip(cells[0] + rng.integers(-1, 2, 2), 0, SIDE - 1)
    frames = [picture]
    for t in range(1, FRAMES):
        frame = still.copy()
        where = cells[0] + (end - cells[0]) * t / (FRAMES - 1)
        put(frame, *where, mover, round_=True)
        if not right_agent:
            put(frame, *rng.integers(0, SIDE, 2), place, round_=True)
        if not intact and 2 <= t <= 4:
            frame = (0.55 * frame + 0.45 * still).astype(np.uint8)
        frames.append(frame)
    return np.stack(frames)


def build(folder: Path, *, until: Until = "evaluate", frames: int = 60, tasks: int = 24, task_text: str = "") -> Path:
    """Builds a workspace in `folder` up to a stage; returns the store's path.

    `task_text`, if given, replaces the text of the first benchmark task: the place for something hostile.
    """
    path = folder / "wmsd.duckdb"
    rng = np.random.default_rng(7)
    kept = _frames(path, folder / "images", frames, rng, filtered=until != "frames")
    if STAGES.index(until) >= STAGES.index("generate"):
        _pairs(path, kept, rng, task_text)
    if STAGES.index(until) >= STAGES.index("train"):
        _training(path, rng)
    if until == "evaluate":
        _evaluation(path, folder / "videos", EVALUATION.model_copy(update={"config": EvaluateConfig(tasks=tasks)}), rng)
    return path


EVALUATION = Evaluation(model="5f1d" * 16, adapter="9ac2" * 16, judge="pixel verifier 1")
DEFECTS = [
    DefectScore("blurred", 40, 36, 38, 2),
    DefectScore("dark", 25, 25, 25, 0),
    DefectScore("duplicate", 20, 20, 20, 0),
    DefectScore("truncated", 15, 15, 15, 0),
]


def _frames(path: Path, folder: Path, count: int, rng: np.random.Generator, *, filtered: bool) -> list[tuple[str, int]]:
    folder.mkdir(parents=True)
    rows, measured, rejected, kept = [], [], [], []
    for index in range(count):
        kind = rng.choice(["good", "blurred", "dark", "bright", "flat"], p=[0.7, 0.1, 0.08, 0.06, 0.06])
        picture = scene(index)[0]
        if kind == "blurred":
            picture = np.asarray(Image.fromarray(picture).resize((5, 5)).resize((20, 20), Image.Resampling.BICUBIC))
        elif kind == "dark":
            picture = (picture * 0.06).astype(np.uint8)
        elif kind == "bright":
            picture = (255 - (255 - picture.astype(float)) * 0.08).astype(np.uint8)
        elif kind == "flat":
            picture = board(rng)
        file = folder / f"{index:05}.png"
        Image.fromarray(picture).save(file)
        frame_id = hashlib.sha256(file.read_bytes()).hexdigest()
        rows.append(
            {
                "frame_id": frame_id,
                "path": str(file),
                "source": str(folder),
                "format": "PNG",
                "width": 20,
                "height": 20,
                "bytes": 900,
            }
        )
        grey = picture.mean(2)
        sharpness = float({"blurred": 18, "flat": 5}.get(kind, 900) * np.exp(rng.normal(0, 0.5)))
        measured.append(
            {
                "frame_id": frame_id,
                "config_hash": "m" * 16,
                "working_width": 512,
                "sharpness": sharpness,
                "luminance": float(grey.mean()),
                "near_black": float((grey < 16).mean()),
                "near_white": float((grey >= 240).mean()),
                "flatness": float(np.bincount((grey // 16).astype(int).ravel()).max() / grey.size),
            }
        )
        reason = kind if kind != "good" else "blurred" if sharpness < 30 else ""
        if reason:
            rejected.append(_rejection("filter", frame_id, str(reason), file))
        elif rng.random() < 0.12:
            rejected.append(_rejection("screen", frame_id, "unsuitable", file))
        else:
            kept.append((frame_id, index))
    broken = folder / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n broken")
    unusable = [_rejection("frames", str(broken), "undecodable", broken)]
    stages = [_run("frames", {"max_pixels": 64_000_000}, {"files": count + 1, "new": count}, 0)]
    if filtered:
        thresholds = {
            "measure": {"working_width": 512},
            "filter": {
                "min_sharpness": 30.0,
                "min_luminance": 24.0,
                "max_luminance": 225.0,
                "max_near_black": 0.65,
                "max_near_white": 0.65,
                "max_flatness": 0.85,
            },
        }
        stages.append(_run("filter", thresholds, {"kept": len(kept), "dropped": count - len(kept)}, 1))
    with store.writing(path) as con:
        insert(con, "frames", rows)
        reject(con, unusable + [r for r in rejected if filtered and r["stage"] == "filter"])
        if filtered:
            insert(con, "measurements", measured)
        insert(con, "stage_runs", stages)
    _later_rejections[path] = [r for r in rejected if r["stage"] == "screen"]
    return kept


_later_rejections: dict[Path, list[dict[str, object]]] = {}


def _rejection(stage: str, item: str, reason: str, file: Path) -> dict[str, object]:
    detail = f"{reason}: as the measurement says"
    return {
        "stage": stage,
        "item": item,
        "reason": reason,
        "detail": detail,
        "path": str(file),
        "config_hash": "f" * 16,
    }


def _run(stage: str, config: object, summary: object, hours: float) -> dict[str, object]:
    return {
        "stage": stage,
        "cache_key": hashlib.sha256(stage.encode()).hexdigest(),
        "code_version": "0.1.0",
        "config": json.dumps(config),
        "summary": json.dumps(summary),
        "started": START + timedelta(hours=hours),
        "seconds": 37.2 * (1 + hours),
    }


def _pairs(path: Path, kept: list[tuple[str, int]], rng: np.random.Generator, task_text: str) -> None:
    pairs, labels, splits = [], [], []
    for number, (frame_id, index) in enumerate(kept):
        _, mover, place, cells, _ = scene(index)
        splits.append({"frame_id": frame_id, "split": "bench" if number % 2 else "train", "config_hash": "s" * 16})
        for position, instruction in enumerate((f"go to the {place} square", f"stop beside the {place} square")):
            agent = f"{mover.capitalize()} circle"
            task = f"[{agent}]: {instruction}"
            if task_text and number == 1 and position == 0:
                task = task_text
            pair_id = hashlib.sha256(f"{frame_id}{task}".encode()).hexdigest()
            row, column = cells[1] + 1
            pairs.append(
                {
                    "pair_id": pair_id,
                    "frame_id": frame_id,
                    "position": position,
                    "agent": agent,
                    "instruction": instruction,
                    "task": task,
                    "solution": f"The {mover} circle moves to column {column}, then to row {row}, and stops there. "
                    "Everything else stays where it is.",
                    "model": "planner 1",
                    "prompt_version": "generate/1",
                    "config_hash": "g" * 16,
                }
            )
            labels.append(
                {
                    "pair_id": pair_id,
                    "labeller": "planner 1",
                    "agent_type": str(rng.choice(AGENTS, p=[0.5, 0.36, 0.11, 0.03])),
                    "task_type": str(rng.choice(TASKS, p=[0.3, 0.24, 0.2, 0.14, 0.09, 0.03])),
                }
            )
    with store.writing(path) as con:
        reject(con, _later_rejections.pop(path))
        insert(
            con, "aesthetics", [{"frame_id": f, "scorer": "clip", "score": float(rng.normal(5, 0.4))} for f, _ in kept]
        )
        screened = [
            {
                "frame_id": f,
                "model": "planner 1",
                "prompt_version": "screen/1",
                "log_odds": 4.0,
                "suitable": True,
                "reason": "",
            }
            for f, _ in kept
        ]
        insert(con, "screenings", screened)
        insert(con, "task_pairs", pairs)
        insert(con, "taxonomy", labels)
        insert(con, "splits", splits)
        for hours, stage in ((1.2, "rank"), (1.5, "screen"), (1.8, "generate")):
            insert(con, "stage_runs", [_run(stage, {"seed": 0}, {"frames": len(kept)}, hours)])


def _training(path: Path, rng: np.random.Generator) -> None:
    runs, steps = [], []
    for arm, gain in (("full", 1.0), ("rl", 0.55), ("anchor", 0.8)):
        run_id = hashlib.sha256(arm.encode()).hexdigest()
        adapter = EVALUATION.adapter if arm == "full" else hashlib.sha256(f"adapter {arm}".encode()).hexdigest()
        runs.append(
            {
                "run_id": run_id,
                "config": json.dumps({"arm": arm, "steps": 120, "seed": 0}),
                "config_hash": run_id[:16],
                "base": EVALUATION.model,
                "dataset": "d" * 64,
                "folder": f"training/{run_id[:8]}",
                "status": "finished",
                "adapter": adapter,
            }
        )
        for step in range(1, 121):
            rise = 1 - math.exp(-step / 35)
            metrics = {
                "reward/task": -3 + 5 * gain * rise + rng.normal(0, 0.5),
                "reward/consistency": 0.5 + 2 * gain * rise + rng.normal(0, 0.4),
                "reward/distillation": -0.4 + 0.3 * gain * rise + rng.normal(0, 0.02),
                "reward_spread/task": 1.5 - rise + abs(rng.normal(0, 0.1)),
                "anchor": 0.3 * math.exp(-step / 40) + 0.02 + abs(rng.normal(0, 0.01)),
                "policy": rng.normal(0, 0.02),
                "gradient_norm": abs(rng.normal(0.6, 0.2)),
                "learning_rate": 1e-4,
                "ratio_change": abs(rng.normal(0, 0.01)),
                "unread/task": float(rng.random() < 0.05),
                "seconds/rollout": 1.8 + rng.normal(0, 0.05),
                "seconds/policy": 1.1 + rng.normal(0, 0.05),
                "seconds/reward": 0.2 + abs(rng.normal(0, 0.02)),
            }
            if step % 20 == 0:
                metrics["eval/average"] = 0.4 + 0.35 * gain * rise + rng.normal(0, 0.01)
            steps += [
                {"run_id": run_id, "step": step, "metric": name, "value": value} for name, value in metrics.items()
            ]
    with store.writing(path) as con:
        insert(con, "training_runs", runs)
        insert(con, "training_steps", steps)
        insert(con, "stage_runs", [_run("train", {"arm": "full", "steps": 120}, {"steps": 120}, 2)])


def _evaluation(path: Path, folder: Path, evaluation: Evaluation, rng: np.random.Generator) -> None:
    with store.reading(path) as con:
        items = items_of(con, evaluation.config)
        indices = {f: int(Path(p).stem) for f, p in con.execute("SELECT frame_id, path FROM frames").fetchall()}
    videos, judgments = [], []
    criteria = evaluation.benchmark.criteria
    for item in items:
        for arm in ARMS:
            verdicts = [bool(rng.random() < rate) for rate in RATES[arm]]
            video = motion(
                indices[item.frame.frame_id], arrives=verdicts[0], right_agent=verdicts[1], intact=verdicts[2], rng=rng
            )
            videos.append(_video(item, arm, evaluation, *clips.write(video, folder)))
            for criterion, verdict in zip(criteria, verdicts, strict=True):
                unread = rng.random() < 0.01
                judgments.append(
                    {
                        "video_id": videos[-1]["video_id"],
                        "criterion": criterion.name,
                        "question_version": criterion.question.asked,
                        "question_sha256": criterion.question.about(task=item.task).sha256,
                        "judge": evaluation.judge,
                        "log_odds": None if unread else float((2 * verdict - 1) * rng.gamma(3, 1)),
                        "verdict": None if unread else verdict,
                        "reason": "the answer was neither yes nor no" if unread else "",
                    }
                )
    with store.writing(path) as con:
        insert(con, "videos", videos)
        insert(con, "judgments", judgments)
    summary = scores.count_verdicts(path, evaluation)
    with store.writing(path) as con:
        run = _run("evaluate", evaluation.config.model_dump(mode="json"), summary.model_dump(mode="json"), 3)
        insert(con, "stage_runs", [run | {"benchmark": evaluation.benchmark.name}])


def _video(item: Item, arm: Arm, evaluation: Evaluation, file: Path, sha256: str) -> dict[str, object]:
    return {
        "video_id": video_id(item, arm, evaluation),
        "item_id": item.item_id,
        "arm": arm,
        "model": evaluation.model,
        "adapter": evaluation.adapter_of(arm),
        "seed": item.seed(evaluation.config.seed),
        "sampler": evaluation.config.sampler,
        "path": str(file),
        "sha256": sha256,
    }


if __name__ == "__main__":
    from wmsd_core.bench.report import write_report

    target = Path(sys.argv[1])
    write_report(build(target, frames=900, tasks=400), target / "report.html", defects=DEFECTS)
