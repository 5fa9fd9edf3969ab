"""From good frames to a set of tasks: screening, task-solution pairs, taxonomy, splits, leak check, examples."""

from wmsd_core.worldtasks.generation import GenerateConfig, Written, generate_pairs
from wmsd_core.worldtasks.kinds import Mix
from wmsd_core.worldtasks.labelling import LabelConfig, Labelled, label_by_model
from wmsd_core.worldtasks.leaks import Leak, find_leaks
from wmsd_core.worldtasks.pairs import TaskPair, TaskPairs
from wmsd_core.worldtasks.screening import ScreenConfig, Screened, Suitable, keep_suitable, screen_frames
from wmsd_core.worldtasks.selection import SelectConfig, Selected, keep_pairs
from wmsd_core.worldtasks.split_pairs import SplitPair, split_pairs
from wmsd_core.worldtasks.splits import Split, SplitConfig, assign_splits
from wmsd_core.worldtasks.taxonomy import label_tasks
from wmsd_core.worldtasks.verification import Verified, verify_pairs

__all__ = [
    "GenerateConfig",
    "LabelConfig",
    "Labelled",
    "Leak",
    "Mix",
    "ScreenConfig",
    "Screened",
    "SelectConfig",
    "Selected",
    "Split",
    "SplitConfig",
    "SplitPair",
    "Suitable",
    "TaskPair",
    "TaskPairs",
    "Verified",
    "Written",
    "assign_splits",
    "find_leaks",
    "generate_pairs",
    "keep_pairs",
    "keep_suitable",
    "label_by_model",
    "label_tasks",
    "screen_frames",
    "split_pairs",
    "verify_pairs",
]
