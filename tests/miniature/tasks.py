"""A workspace with tasks of the miniature in train and bench, made without a command."""

from wmsd_core.frames import FramesConfig, register
from wmsd_core.miniature.pictures import RenderConfig, render
from wmsd_core.miniature.planner_settings import PlannerConfig
from wmsd_core.miniature.vlm import MiniatureVLM
from wmsd_core.store import query, reading
from wmsd_core.workspace import Workspace
from wmsd_core.worldtasks import GenerateConfig, SplitConfig, assign_splits, generate_pairs, label_tasks


def with_tasks(place: Workspace, pictures: int = 24, errors: float = 0.25) -> Workspace:
    """`errors`: the share of solutions that are wrong."""
    place.prepare()
    list(render(place.frames, place.truth, RenderConfig(n=pictures)))
    register(place.store, place.frames, FramesConfig())
    with reading(place.store) as con:
        ids = [row["frame_id"] for row in query(con, "SELECT frame_id FROM frames")]
    generate_pairs(place.store, ids, MiniatureVLM(PlannerConfig(errors=errors)), GenerateConfig())
    label_tasks(place.store)
    assign_splits(place.store, SplitConfig(bench_fraction=0.4))
    return place
