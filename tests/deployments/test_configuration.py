"""Where settings come from: recipe, then the workspace's wmsd.yaml, then --set."""

from pathlib import Path

import pytest

from deployments import configuration, options, recipes
from wmsd_core import overrides


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_a_written_file_is_its_recipe_whole(tmp_path: Path, name: str) -> None:
    (tmp_path / configuration.FILE).write_text(configuration.written(name))
    assert configuration.effective(tmp_path, None, []) == recipes.named(name)


def test_the_file_goes_over_the_recipe_and_single_settings_over_the_file(tmp_path: Path) -> None:
    (tmp_path / configuration.FILE).write_text("recipe: ltx2\ntrain:\n  steps: 1e3\n  group_size: 3\nrender: {n: 5}\n")
    found = configuration.effective(tmp_path, None, ["train.group_size=4"])
    assert (found.train.steps, found.train.group_size, found.models.generator) == (1000, 4, "ltx2")
    assert found.render and found.render.n == 5
    assert configuration.effective(tmp_path, "miniature", []).models.generator == "miniature"


def test_a_recipe_can_be_a_file(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("recipe: hunyuan15\ntrain: {steps: 7}\n")
    found = configuration.effective(None, str(mine), [])
    assert found.train.steps == 7 and found.models.generator == "hunyuan15"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a", "must hold lines"),
        ("train: [", "cannot be read as settings"),
        ("recipe: huge", "there is no recipe 'huge'"),
        ("train: {lr: 1}", "did you mean 'train.optimizer.learning_rate'"),
    ],
)
def test_a_wrong_file_says_what_to_change(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / configuration.FILE).write_text(text)
    with pytest.raises(ValueError, match=message):
        configuration.effective(tmp_path, None, [])


def test_a_setting_that_a_command_does_not_look_at_is_named() -> None:
    given = ["filter.min_sharpness=3", "train.steps=5", "launch.processes=2"]
    assert options.unused("filter", given) == ["train.steps", "launch.processes"]
    assert options.unused("train", given) == ["filter.min_sharpness"]
    assert options.unused("pipeline", given) == []
    parts = {key.partition(".")[0] for key in overrides.keys(recipes.miniature())}
    assert set().union(*options.USES.values()) <= parts, "they are parts of a recipe"
