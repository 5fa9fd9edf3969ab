"""What a person sees who types something wrong: one line with cause and cure, a status other than 0, nothing lost."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from pydantic import BaseModel
from typer.testing import CliRunner

from deployments import recipes
from deployments.options import command
from tests.frames.pictures import registered
from wmsd_core import store
from wmsd_core.docstrings import docstrings
from wmsd_core.filters import MeasureConfig, measure_frames
from wmsd_core.overrides import keys
from wmsd_core.workspace import Workspace


def wmsd(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "deployments.cli", *arguments]
    root = str(Path(__file__).parents[2])
    return subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": root, "COLUMNS": "200"}
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["filter", "--frames", "nowhere"], "there is no folder nowhere; give the folder that holds your images"),
        (["filter", "--frames", "texts"], "no image in"),
        (["filter"], "there is no folder workspace/frames"),
        (["filter", "--treshold", "3"], "No such option: --treshold"),
        (["train", "--set", "train.stpes=3"], "there is no setting 'train.stpes'; did you mean 'train.steps'?"),
        (["settings", "--set", "train.lr=1"], "did you mean 'train.optimizer.learning_rate'?"),
        (["settings", "--set", "filter.min_side=true"], "filter.min_side: true is no int"),
        (["train", "--set", "train.steps=0"], "train.steps: Input should be greater than 0"),
        (["train", "--set", "train.arm=dnd"], "train.arm: Input should be 'full', 'rl', 'anchor'"),
        (["train", "--set", "train.group_size=1"], "set group_size to 2 or more"),
        (["pipeline", "--recipe", "huge"], "there is no recipe 'huge'; choose from: miniature"),
        (["pipeline", "--workspace", "a_file"], "the workspace a_file cannot be created"),
        (["filter", "--calibrate", "most"], "'most' is not of the form KEEP=0.8"),
        (["filter", "--calibrate", "KEEP=8"], "the share to keep is a number above 0 and at most 1, not 8"),
        (["merge", "out", "--adapter", "texts"], "only generators of pretrained weights can be written"),
        (["filter", "--preview"], "run an earlier stage first"),
        (["report", "--workspace", "mistyped"], "there is no store at mistyped"),
        (["train", "--workspace", "mistyped"], "check --workspace"),
        (["report", "--workspace", "broken"], "it is not a valid DuckDB database file"),
    ],
)
def test_a_mistake_is_told_at_once_with_its_cure(tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("no picture")
    (tmp_path / "a_file").write_text("not a folder")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "wmsd.duckdb").write_bytes(b"scrambled" * 1000)
    run = wmsd(*arguments, cwd=tmp_path)
    assert run.returncode == 2
    assert message in run.stderr and not (tmp_path / "mistyped").exists()
    assert "Traceback" not in run.stderr and "temporary server" not in run.stderr
    assert (tmp_path / "broken" / "wmsd.duckdb").read_bytes() == b"scrambled" * 1000


def test_a_nearly_full_disk_is_noticed_before_work_begins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(100, 95, 5))  # pyright: ignore
    with pytest.raises(ValueError, match="has 0 MiB left and a stage needs 64"):
        Workspace(tmp_path).prepare()


def test_the_doctor_finds_a_broken_store(tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    with store.writing(Workspace(workspace).store):
        pass
    healthy = wmsd("doctor", cwd=tmp_path)
    assert healthy.returncode == 0, healthy.stdout + healthy.stderr
    Workspace(workspace).store.write_bytes(b"scrambled" * 1000)
    broken = wmsd("doctor", cwd=tmp_path)
    assert broken.returncode == 1 and "cannot be opened" in broken.stdout


def test_the_doctor_answers_for_the_recipe_that_is_named(tmp_path: Path) -> None:
    """Weights in a folder without all parts, and no server where the recipe has one: both are wrong there, not here."""
    (tmp_path / "weights" / "transformer").mkdir(parents=True)
    (tmp_path / "weights" / "transformer" / "model.safetensors").write_bytes(bytes(2**20))
    given = ("--recipe", "ltx2", "--set", f"models.ltx2.weights={tmp_path / 'weights'}", "--set", "models.pickscore=.")
    told = wmsd("doctor", *given, "--set", "models.server.base_url=http://127.0.0.1:9/v1", cwd=tmp_path)
    lines = {line.split()[1]: line for line in told.stdout.splitlines() if line[:1].strip()}
    assert told.returncode == 1
    assert lines["weights"].startswith("wrong") and "it has no vae" in told.stdout
    assert lines["model"].startswith("wrong") and "no model server answers" in lines["model"]
    assert lines["pickscore"].startswith("ok") and lines["store"].startswith("note")


def test_calibrated_thresholds_can_be_pasted_and_previewed(tmp_path: Path) -> None:
    place, ids = registered(tmp_path, 60)
    place = place.rename(Workspace(tmp_path).store)
    measure_frames(place, ids, MeasureConfig())
    calibrated = wmsd(
        "filter", "-w", str(tmp_path), "--set", "filter.min_side=1", "--calibrate", "KEEP=0.5", cwd=tmp_path
    )
    assert calibrated.returncode == 0, calibrated.stderr
    options = calibrated.stdout.splitlines()[-1].split()
    assert len(options) == 14 and options[1].startswith("filter.min_sharpness=")
    with store.reading(place) as con:
        assert store.query(con, "SELECT count(*) AS n FROM rejections")[0]["n"] == 0
    again = wmsd("filter", "-w", str(tmp_path), "--set", "filter.min_side=1", *options, "--preview", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    kept = next(line for line in calibrated.stdout.splitlines() if line.startswith("kept by"))
    shown = next(line for line in again.stdout.splitlines() if line.startswith("kept"))
    assert kept.split()[-3] == shown.split()[-1]
    assert 30 <= int(shown.split()[-1]) < 40
    assert Workspace(tmp_path).preview.stat().st_size > 10_000


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_every_recipe_is_complete_and_every_setting_has_help(name: str) -> None:
    recipe = recipes.named(name)
    assert len(list(keys(recipe))) > 50
    assert undocumented(type(recipe)) == []


def undocumented(config: type[BaseModel]) -> list[str]:
    """Fields without a docstring, nested ones included."""
    missing: list[str] = []
    for name, field in config.model_fields.items():
        if not docstrings(config).get(name):
            missing.append(f"{config.__name__}.{name}")
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            missing += undocumented(field.annotation)
    return missing


def test_settings_in_a_pipe_are_one_line_each_and_as_json_a_list(tmp_path: Path) -> None:
    lines = wmsd("settings", cwd=tmp_path).stdout.splitlines()
    found = next(line.split("\t") for line in lines if line.startswith("train.steps\t"))
    assert found[1] == str(recipes.miniature().train.steps) and len(found[2]) > 10
    rows = json.loads(wmsd("settings", "--json", cwd=tmp_path).stdout)
    assert [row["key"] for row in rows] == [line.split("\t")[0] for line in lines]


def test_settings_read_powers_of_ten_and_single_items_and_tell_types_and_bounds(tmp_path: Path) -> None:
    run = wmsd("settings", "--set", "train.steps=1e3", "--set", "evaluate.arms=base,executor", "--json", cwd=tmp_path)
    found = {row["key"]: row for row in json.loads(run.stdout)}
    assert found["train.steps"]["value"] == "1000" and found["train.steps"]["type"] == "int, > 0"
    assert found["evaluate.arms"]["value"] == "('base', 'executor')"


def test_every_command_says_what_it_does_and_takes_a_dataclass_of_options_flat(tmp_path: Path) -> None:
    shown = wmsd("train", "--help", cwd=tmp_path).stdout
    assert all(option in shown for option in ("--workspace", "--recipe", "--set", "--refresh", "--json"))
    assert "given" not in shown


def test_the_version_is_told(tmp_path: Path) -> None:
    assert wmsd("--version", cwd=tmp_path).stdout.startswith("wmsd 0.")


def test_a_store_that_another_program_holds_is_told_at_once(tmp_path: Path) -> None:
    with store.writing(Workspace(tmp_path).store):
        run = wmsd("report", "-w", str(tmp_path), cwd=tmp_path)
    assert run.returncode == 2 and "another process keeps" in run.stderr and "temporary server" not in run.stderr


def test_what_models_print_is_no_part_of_an_answer_in_json() -> None:
    app = typer.Typer()

    @command(app)
    def answer() -> dict[str, int]:
        """Something."""
        print("loading")
        return {"kept": 3}

    said = CliRunner().invoke(app, ["--json"])
    assert json.loads(said.stdout) == {"kept": 3} and "loading" in said.stderr
    assert "loading" in CliRunner().invoke(app, []).stdout
