"""The script for a GPU, in its small form."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from yardsticks.ltx2_step import VARIANTS

ROOT = Path(__file__).parents[2]


def on_gpu(out: Path, *parts: str, **settings: str) -> dict[str, list[str]]:
    """Seconds and status of each part."""
    environment = os.environ | {"SIZE": "tiny", "PYTHON": sys.executable, "CUDA_VISIBLE_DEVICES": ""} | settings
    subprocess.run(["bash", ROOT / "yardsticks" / "on_gpu.sh", out, *parts], env=environment, check=True, timeout=300)
    lines = (out / "parts.txt").read_text().splitlines()
    return {name: rest for name, *rest in (line.split() for line in lines)}


def test_every_part_leaves_its_figures(tmp_path: Path) -> None:
    found = on_gpu(tmp_path, "bfloat16", "nccl")
    assert [status for _, status in found.values()] == ["0", "0"]
    rows = json.loads((tmp_path / "bfloat16.json").read_text())["variants"]
    assert rows and all(row["step"]["seconds"] > 0 and row["rollout"]["memory"] > 0 for row in rows.values())
    assert json.loads((tmp_path / "nccl.json").read_text())["largest_difference"] < 1e-5


def test_what_is_measured_has_the_names_that_it_is_asked_for_by() -> None:
    asked = re.findall(r'--only ((?:"[^"]+" ?)+)', (ROOT / "yardsticks" / "on_gpu.sh").read_text())
    names = {name for line in asked for name in re.findall(r'"([^"]+)"', line)}
    assert len(names) == 4 and names <= {variant.name for variant in VARIANTS}


def test_a_part_that_fails_or_has_no_time_stops_no_other(tmp_path: Path) -> None:
    found = on_gpu(tmp_path, "helps", "nccl", PYTHON="false")
    assert [status == "0" for _, status in found.values()] == [False, False]
    assert on_gpu(tmp_path, "devices", "helps", SECONDS_IN_ALL="0") == {"devices": ["0", "124"], "helps": ["0", "124"]}
