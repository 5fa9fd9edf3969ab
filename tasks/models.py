"""The vision-language models of a run. What a server has answered is remembered in the workspace."""

from pathlib import Path

from wmsd_core.models import ModelsConfig, vlm
from wmsd_core.vlm import VisionLanguageModel
from wmsd_core.workspace import Workspace


def writer(workspace: Path, models: ModelsConfig) -> VisionLanguageModel:
    """The model that screens images and writes task-solution pairs."""
    return vlm(models, models.writer, Workspace(workspace).requests)


def judge(workspace: Path, models: ModelsConfig) -> VisionLanguageModel:
    """The model that judges videos."""
    return vlm(models, models.judge, Workspace(workspace).requests)
