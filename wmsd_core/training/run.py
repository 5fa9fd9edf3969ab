"""What a training run is given: the content of its `run.json`."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import ValidationError

from wmsd_core.config import Config
from wmsd_core.models import ModelsConfig
from wmsd_core.training.config import TrainConfig

if TYPE_CHECKING:
    from wmsd_core.rewards.pickscore import PickScore

_SHAPING = ("generator", "judge", "pickscore", "pickscore_processor", "server", "local")


class Run(Config):
    """Settings and models of one run."""

    renamed: ClassVar[Mapping[str, str]] = {"generator": "models.generator"}

    config: TrainConfig
    """Settings of the training."""
    models: ModelsConfig = ModelsConfig()
    """The generator that is trained, and the judge of its videos where they are judged. There is no writer."""
    adapter: Path | None = None
    """Folder of a finished run's adapter to start from. None: start from the base."""

    def identity(self) -> dict[str, Any]:
        """What shapes the steps. Checksums, which others add, stand for the generator's weights and for `adapter`: where
        they lie and run may change."""
        models = self.models.identity()
        return {"config": self.config.identity()} | {name: models[name] for name in _SHAPING}


def read_run(folder: Path) -> Run:
    """`run.json` of a folder.

    Raises:
        ValueError: it is missing or has wrong settings.
    """
    path = folder / "run.json"
    if not path.is_file():
        raise ValueError(f"{folder} is not a training run: it has no run.json")
    try:
        return Run.model_validate_json(path.read_text(encoding="utf-8"))
    except ValidationError as error:
        raise ValueError(f"{path}: {error}") from error


def pickscore_of(run: Run) -> "PickScore | None":
    """PickScore, where it has a weight among the run's rewards.

    Raises:
        ValueError: it cannot be loaded.
    """
    if "pickscore" not in run.config.video_rewards:
        return None
    from wmsd_core.rewards.pickscore import PickScore  # reads torch, and whoever looks at a run needs none

    return PickScore(run.models.pickscore, run.models.pickscore_processor)
