"""Pictures become a dataset through Prefect, all tasks written by a model server that stumbles now and then."""

import json
import math
import re
from collections import Counter
from pathlib import Path

import pytest

from deployments.recipes import named
from flows.dataset import dataset
from flows.export import export
from tests.frames.pictures import encode, scene
from tests.vlm import server as scripted
from tests.vlm.server import Asked, Behaviour, ScriptedServer
from wmsd_core import overrides
from wmsd_core.recipe import Recipe
from wmsd_core.store import query, reading
from wmsd_core.workspace import Workspace

pytestmark = pytest.mark.usefixtures("server")

YES = scripted.said("yes", listed={"token_id:11": math.log(0.9), "token_id:13": math.log(0.1)})
NO = scripted.said("no", listed={"token_id:11": math.log(0.1), "token_id:13": math.log(0.9)})
FRAMES = 8


WAYS = (
    "walks over the square in even steps",
    "runs along the left wall without looking back",
    "crosses the wet street between two parked vans",
    "climbs the three low stairs one after the other",
    "goes round the fountain in a wide curve",
    "follows the white line on the asphalt",
    "pushes through the tall grass with raised hands",
    "strolls past the market stalls, slowing twice",
)


def written(way: str) -> str:
    """Three tasks of a man who is there, and one of a dog that is not; equal solutions elsewhere would be leaks."""
    pairs = [
        {
            "agent_type": kind,
            "agent_visible": True,
            "task": f"[{agent}]: Walk to the {place}.",
            "task_type": "navigation",
            "end_state": f"The {noun} stands beside the {place}.",
            "solution": f"The {noun} turns towards the {place}, {way}, and at last halts beside the {place}, facing it.",
        }
        for kind, agent, noun, place in (
            ("human", "Man in grey coat", "man in the grey coat", "red door"),
            ("human", "Man in grey coat", "man in the grey coat", "stone bridge"),
            ("human", "Man in grey coat", "man in the grey coat", "old tree"),
            ("animal", "Black dog", "black dog", "blue car"),
        )
    ]
    return json.dumps({"refused": False, "reason": "", "pairs": pairs})


class Model:
    """Fails some questions at first, refuses one picture, and sees no dog anywhere."""

    def __init__(self) -> None:
        self.pictures: list[str] = []

    def __call__(self, asked: Asked) -> Behaviour:
        picture = asked.urls[0]
        if picture not in self.pictures:
            self.pictures.append(picture)
        if not asked.before and self.pictures.index(picture) % 3 == 0:
            return scripted.error(503)
        if "response_format" in asked.body:
            if picture == self.pictures[0]:
                return scripted.said(json.dumps({"refused": True, "reason": "nobody is there", "pairs": []}))
            return scripted.said(written(WAYS[self.pictures.index(picture)]))
        done, dog = "already show the task" in asked.words, "Black dog" in asked.words
        return NO if done or dog else YES


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    settings = ["models.server.backoff=0.01", "measure.working_width=64", "filter.min_side=32", "split.bench_pairs=2"]
    return overrides.apply(named("worldtasks"), [*settings, "split.bench_fraction=0.5", "rank.keep_fraction=1"])


def test_nothing_is_lost_and_nothing_is_asked_twice(tmp_path: Path, recipe: Recipe) -> None:
    place = Workspace(tmp_path / "workspace").prepare()
    frames = tmp_path / "frames"
    frames.mkdir()
    for seed in range(FRAMES):
        (frames / f"{seed}.png").write_bytes(encode(scene(seed)))
    with ScriptedServer(Model()) as server:
        settings = overrides.apply(recipe, [f"models.server.base_url={server.base_url}"])
        summary = dataset(place.root, [str(frames)], settings)
        asked = len(server.asked)
        with reading(place.store) as con:
            refused = query(con, "SELECT detail FROM rejections WHERE stage = 'generate' AND reason = 'refused'")
            reasons = Counter(row["reason"] for row in query(con, "SELECT reason FROM rejections"))
            usable = query(con, "SELECT count(*) AS n FROM usable_pairs")[0]["n"]
        assert summary["files looked at"] == summary["frames in the workspace"] == summary["suitable"] == FRAMES
        assert sum(summary["frames with pairs of train and bench"].values()) == FRAMES - 1
        assert [row["detail"] for row in refused] == ["nobody is there"]
        assert reasons["agent_absent"] == FRAMES - 1  # one pair of each frame that was not refused
        assert usable == summary["pairs kept"] == 3 * (FRAMES - 1)

        again = dataset(place.root, [str(frames)], settings)
        assert again == summary and len(server.asked) == asked
        out = tmp_path / "out"
        exported = export(place.root, out, settings.export, settings.split)
    assert exported["bench"] == 2 and exported["train"] > 0
    assert exported["train"] % 3 == 0, "of four pairs of a frame, the dog's is delivered nowhere"
    card = (out / "README.md").read_text()
    assert re.search(rf"turned down: .*agent.absent.* {FRAMES - 1}\\b|turned down: .*{FRAMES - 1} agent.absent", card)
    wished = [line.split("|")[1:4] for line in card.splitlines() if "(agent)" in line]
    assert wished and any("(1)" in refused for _, _, refused in wished), wished
