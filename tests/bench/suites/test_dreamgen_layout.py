import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.bench.suites.clips import clip, picture
from tests.reference import REFERENCE
from wmsd_core.bench.submission import RemarkKind, Submission, checked
from wmsd_core.bench.suites.dreamgen.layout import Entry, entries, read

TEXTS = {
    "gr1_object": [
        "Use the left hand to lift the red cup.",
        "Use the right hand to pick up cook's spoon, then lower it.",
    ],
    "gr1_behavior": ["Use the right hand to close the tin box", "Use both hands to fold the grey cloth."],
    "gr1_env": ["Use the left hand to push the garden gate", "Use the right hand to lift the watering-can."],
}
EXAMPLES = REFERENCE.parent / "notes" / "judging_spec"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("dreamgen")
    seed = 0
    for subset, texts in TEXTS.items():
        for number, text in enumerate(texts):
            name = f"{number}_{text.replace(' ', '_')}"
            picture(root / "pictures" / subset / f"{name}.png", seed)
            clip(root / "videos" / f"mymodel_{subset}" / f"{name}.mp4", seed)
            seed += 1
    return root


@pytest.fixture
def root(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "copy"))


def looked(root: Path, videos: str = "videos", *, seed: int | None = None) -> Submission:
    items = entries(root / "pictures")
    return checked(read(root / videos, items, seed=seed), {item.name: _picture(item) for item in items})


def _picture(item: Entry) -> np.ndarray:
    return np.asarray(Image.open(item.picture).convert("RGB"))


def counts(found: Submission) -> tuple[int, int, int]:
    return len(found.expected), len(found.found), len(found.scored)


def test_the_valid_tree_is_read_whole_and_without_a_remark(root: Path) -> None:
    found = looked(root)
    assert counts(found) == (6, 6, 6)
    assert found.remarks == ()
    assert found.expected[:2] == ("gr1_object/0", "gr1_object/1")
    assert found.shapes["gr1_env/1"] == (9, 96, 128, pytest.approx(16))
    assert entries(root / "pictures")[1].text == "Use the right hand to pick up cook's spoon, then lower it."


def _object(root: Path) -> list[Path]:
    return sorted((root / "videos" / "mymodel_gr1_object").iterdir())


def _renamed(name: Callable[[str], str]) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        path = _object(root)[0]
        path.rename(path.with_name(name(path.name)))

    return change


def _seeds(root: Path) -> None:
    path = _object(root)[0]
    for seed in (0, 1):
        shutil.copy(path, path.with_name(f"{path.stem}_seed{seed}.mp4"))
    path.unlink()


def _shortened(length: int) -> Callable[[Path], object]:
    return lambda root: _object(root)[0].write_bytes(_object(root)[0].read_bytes()[:length])


def _others_picture(root: Path) -> None:
    clip(_object(root)[0], 99)


BROKEN: dict[str, tuple[Callable[[Path], object], tuple[int, int, int], RemarkKind | None, str]] = {
    "a missing video": (lambda root: _object(root)[1].unlink(), (6, 5, 5), "missing", "gr1_object/1"),
    "an extra video": (
        lambda root: clip(root / "videos/mymodel_gr1_object/7_Use_the_left_hand_to_wave.mp4", 9),
        (6, 6, 6),
        "extra",
        "gr1_object/7",
    ),
    "a padded number": (_renamed(lambda name: f"00{name}"), (6, 6, 6), None, ""),
    "a text that was cut": (_renamed(lambda _: "0_Use_the_left_hand_to_li.mp4"), (6, 6, 6), "reported", "gr1_object/0"),
    "one full stop": (_renamed(lambda name: name.replace("..mp4", ".mp4")), (6, 6, 6), None, ""),
    "another format": (_renamed(lambda name: name.replace("mp4", "MP4")), (6, 6, 6), "reported", "gr1_object/0"),
    "two seeds": (_seeds, (6, 5, 5), "refused", "gr1_object/0"),
    "spaces": (_renamed(lambda name: name.replace("_", " ")), (6, 6, 6), None, ""),
    "no number": (_renamed(lambda name: name.removeprefix("0_")), (6, 6, 6), None, ""),
    "no number, and the text of none": (_renamed(lambda _: "wave.mp4"), (6, 5, 5), "refused", "gr1_object/wave"),
    "a shifted list": (_renamed(lambda name: f"1{name[1:]}"), (6, 5, 5), "refused", "gr1_object/1"),
    "a number with the text of none": (_renamed(lambda _: "0_wave.mp4"), (6, 5, 5), "refused", "gr1_object/0"),
    "nothing in it": (_shortened(0), (6, 6, 5), "invalid", "gr1_object/0"),
    "a cut file": (_shortened(200), (6, 6, 5), "invalid", "gr1_object/0"),
    "one frame": (lambda root: clip(_object(root)[0], 0, frames=1), (6, 6, 5), "invalid", "gr1_object/0"),
    "a seed's own folder": (
        lambda root: clip(root / "videos/mymodel_gr1_object/seed1/0_x.mp4", 0),
        (6, 6, 6),
        "ignored",
        "mymodel_gr1_object/seed1/0_x.mp4",
    ),
    "what an archive leaves": (
        lambda root: clip(root / "videos/mymodel_gr1_object/._0_x.mp4", 0),
        (6, 6, 6),
        "ignored",
        "mymodel_gr1_object/._0_x.mp4",
    ),
    "another picture": (_others_picture, (6, 6, 6), "caution", "gr1_object/0"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_every_broken_variant_is_named(root: Path, name: str) -> None:
    change, expected, kind, subject = BROKEN[name]
    change(root)
    found = looked(root)
    assert counts(found) == expected
    assert [
        (remark.kind, remark.subject) for remark in found.remarks if remark.kind != "missing" or kind == "missing"
    ] == ([(kind, subject)] if kind else [])


def test_one_of_several_seeds_can_be_asked_for(root: Path) -> None:
    _seeds(root)
    found = looked(root, seed=1)
    assert counts(found) == (6, 6, 6)
    assert found.found["gr1_object/0"].name.endswith("_seed1.mp4")
    assert found.subjects("ignored") == ["mymodel_gr1_object/" + _object(root)[0].name]


def test_a_subset_is_told_by_the_end_of_its_folders_name(root: Path) -> None:
    (root / "videos" / "mymodel_gr1_env").rename(root / "videos" / "cosmos_predict2_gr1_env")
    assert counts(looked(root)) == (6, 6, 6)
    assert counts(looked(root, "videos/cosmos_predict2_gr1_env"))[1] == 2


def test_two_pictures_of_one_number_are_refused(root: Path) -> None:
    picture(root / "pictures/gr1_env/00_Another_text.png", 3)
    with pytest.raises(ValueError, match="two pictures are gr1_env/0"):
        entries(root / "pictures")
    with pytest.raises(ValueError, match="holds no pictures of DreamGen Bench"):
        entries(root / "videos")
    with pytest.raises(ValueError, match="no folder of videos"):
        read(root / "nowhere", [])


@pytest.mark.skipif(not EXAMPLES.is_dir(), reason="the example trees are not at hand")
def test_the_example_trees_are_read_as_described() -> None:
    for tree, expected in (("dreamgen_ok", (6, 6, 6)), ("dreamgen_broken", (6, 5, 4))):
        items = entries(EXAMPLES / tree / "dream_gen_benchmark")
        found = checked(read(EXAMPLES / tree / "videos", items), {item.name: _picture(item) for item in items})
        assert counts(found) == expected
    assert found.subjects("missing") == ["gr1_object/1"]
    assert found.subjects("extra") == ["gr1_object/7"]
    assert found.subjects("refused") == ["gr1_env/1"]
    assert found.subjects("invalid") == ["gr1_behavior/1"]
    assert found.subjects("reported") == ["gr1_env/0"]
    assert found.subjects("ignored") == ["mymodel_gr1_object/._0_x.mp4"]
