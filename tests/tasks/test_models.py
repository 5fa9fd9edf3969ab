"""Stages with a model's server: found by the settings, remembered in the workspace, forgotten on request, accounted for."""

import math
from pathlib import Path

from tasks.bookkeeping import stage_run
from tasks.models import writer
from tasks.screen import forget_answers, screen
from tasks.shards import shards
from tests.frames.pictures import folder_of
from tests.vlm import server as scripted
from tests.vlm.server import ScriptedServer
from wmsd_core.frames import FramesConfig, register
from wmsd_core.models import ModelsConfig
from wmsd_core.store import query, reading
from wmsd_core.vlm import prompts
from wmsd_core.vlm.settings import ServerConfig
from wmsd_core.workspace import Workspace

YES = scripted.said("yes", listed={"token_id:11": math.log(0.9), "token_id:13": math.log(0.1)})


def test_a_stage_asks_the_server_once_per_frame_and_says_what_it_took(tmp_path: Path) -> None:
    folder_of(tmp_path / "images", 3)
    place = Workspace(tmp_path / "workspace").prepare()
    register(place.store, tmp_path / "images", FramesConfig())
    with ScriptedServer(lambda asked: YES) as server:
        models = ModelsConfig(
            writer="vllm", server=ServerConfig(base_url=server.base_url, prompt_price=2, completion_price=10)
        )
        asked = writer(place.root, models).name

        def run() -> dict[str, object]:
            with stage_run(place.root, "screen", {"models": models}) as summary:
                (shard,) = shards(place, after="frames", size=10)
                summary |= screen.fn(place.root, shard, models, asked, prompts.version("screen"))
            return summary

        first, again = run(), run()
        forget_answers(place.root, asked)
        refreshed = run()
        assert len(server.asked) == 6
    cost = 3 * (60 * 2 + 10 * 10) / 1e6  # 40 of the 100 prompt tokens were cached, at no price
    tokens = {"prompt_tokens": 300, "cached_tokens": 120, "completion_tokens": 30}
    assert first["requests"] == {"replies": 3, "failures": 0, **tokens, "cost": round(cost, 6)}
    assert (first["answered"], again["before"], refreshed["answered"]) == (3, 3, 3)
    assert "requests" not in again
    with reading(place.store) as con:
        assert {row["model"] for row in query(con, "SELECT model FROM screenings")} == {asked}
