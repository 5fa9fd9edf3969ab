"""A recipe: the full settings of every stage, as one value. Named ones are functions in `deployments/recipes.py`."""

from wmsd_core.bench.evaluation import EvaluateConfig
from wmsd_core.config import Config
from wmsd_core.filters import FilterConfig, MeasureConfig
from wmsd_core.frames import FramesConfig
from wmsd_core.frames.dedup import DedupConfig
from wmsd_core.miniature.pictures import RenderConfig
from wmsd_core.models import ModelsConfig
from wmsd_core.ranking import RankConfig
from wmsd_core.training.config import TrainConfig
from wmsd_core.training.launch import LaunchConfig
from wmsd_core.training.recordings import RecordingConfig
from wmsd_core.worldtasks import GenerateConfig, LabelConfig, ScreenConfig, SelectConfig, SplitConfig
from wmsd_core.worldtasks.export import ExportConfig
from wmsd_core.worldtasks.layout import ImportConfig


class Recipe(Config):
    """Settings of the whole pipeline, stage by stage."""

    render: RenderConfig | None = None
    """Images of the miniature, where no folder of images is given. None: a folder must be given."""
    scan: FramesConfig = FramesConfig()
    """Which files count as images, and which frames are taken of videos."""
    measure: MeasureConfig = MeasureConfig()
    """How images are measured."""
    filter: FilterConfig = FilterConfig()
    """Which measurements are good enough."""
    dedup: DedupConfig = DedupConfig()
    """Which images count as the same."""
    rank: RankConfig = RankConfig()
    """How images are ranked, and which share is kept."""
    screen: ScreenConfig = ScreenConfig()
    """How sure the vision-language model must be that an image is suitable."""
    generate: GenerateConfig = GenerateConfig()
    """Task-solution pairs."""
    label: LabelConfig = LabelConfig()
    """Kinds of agents and tasks."""
    select: SelectConfig = SelectConfig()
    """Which pairs are kept."""
    split: SplitConfig = SplitConfig()
    """Train and benchmark."""
    export: ExportConfig = ExportConfig()
    """The dataset as files for others."""
    importing: ImportConfig = ImportConfig()
    """Files and fields of a dataset that is taken in."""
    models: ModelsConfig = ModelsConfig()
    """Generator, writer and judge."""
    recordings: RecordingConfig = RecordingConfig()
    """Recorded videos, for supervised fine-tuning."""
    train: TrainConfig = TrainConfig()
    """Training of the Executor."""
    launch: LaunchConfig = LaunchConfig()
    """Processes of the training."""
    evaluate: EvaluateConfig = EvaluateConfig()
    """The benchmark."""
