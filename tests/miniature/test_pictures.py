import json
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from wmsd_core.miniature import planner
from wmsd_core.miniature.drawing import shrink
from wmsd_core.miniature.perception import perceive
from wmsd_core.miniature.pictures import TASKS, RenderConfig, render

CONFIG = RenderConfig(n=60, seed=3, text=0.04, truncated=0.04, misnamed=0.06)


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    root = tmp_path_factory.mktemp("pictures")
    counts = list(render(root / "images", root / "truth.json", CONFIG))
    assert counts == list(range(1, 61))
    return root / "images", json.loads((root / "truth.json").read_text())


def decode(path: Path) -> np.ndarray | None:
    image = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    return None if image is None else cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def test_the_truth_names_every_file_and_the_stated_shares(rendered: tuple[Path, dict[str, str]]):
    folder, truth = rendered
    assert sorted(truth) == sorted(path.name for path in folder.iterdir())
    counts = Counter(truth.values())
    for kind, share in CONFIG.defects().items():
        assert counts[kind] == round(share * CONFIG.n) > 0
    assert {Path(name).suffix for name in truth} == {".png", ".jpg"}


def test_each_defect_is_what_it_is_called(rendered: tuple[Path, dict[str, str]]):
    folder, truth = rendered
    seen: dict[bytes, str] = {}
    for name, kind in truth.items():
        content = (folder / name).read_bytes()
        assert (content in seen) == (kind == "duplicate")
        seen[content] = name
        is_jpeg, says_jpeg = content[:2] == b"\xff\xd8", name.endswith("jpg")
        if kind == "text":
            assert content.startswith(b"This is not a picture")
            continue
        assert (is_jpeg != says_jpeg) == (kind == "misnamed") or kind == "duplicate"
        image = decode(folder / name)
        if kind == "truncated":
            assert not content.endswith((b"\xff\xd9", b"IEND\xaeB`\x82"))
            continue
        assert image is not None
        sharp = float(cv2.Laplacian(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.CV_64F).var())
        assert image.mean() < 40 if kind == "dark" else image.mean() > 235 if kind == "bright" else True
        assert sharp < 5 if kind == "blurred" else sharp > 100 or kind in ("dark", "bright", "empty")
        reason = perceive(shrink(image)[None]).reasons[0]
        assert bool(reason) or kind not in ("dark", "bright", "empty")
        if kind in ("good", "duplicate", "misnamed"):
            assert len(planner.plans(perceive(shrink(image)[None]).scenes, 0)) >= TASKS


def test_rendering_again_writes_only_what_is_missing_and_the_same_bytes(rendered: tuple[Path, dict[str, str]]):
    folder, truth = rendered
    before = {name: ((folder / name).read_bytes(), (folder / name).stat().st_mtime_ns) for name in truth}
    gone = sorted(truth)[::7]
    for name in gone:
        (folder / name).unlink()
    list(render(folder, folder.parent / "truth.json", CONFIG))
    for name, (content, time) in before.items():
        assert (folder / name).read_bytes() == content
        assert ((folder / name).stat().st_mtime_ns == time) == (name not in gone)


def test_truth_within_the_folder_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match="choose a path outside"):
        next(render(tmp_path, tmp_path / "truth.json", CONFIG))


def test_shares_that_leave_no_good_pictures_are_refused():
    with pytest.raises(ValueError, match="lower them"):
        RenderConfig(blurred=0.5, dark=0.5)
