from pathlib import Path

import pytest
import torch

from wmsd_core.training.checkpoint import Checkpoint, Publication, load_newest, save

IDENTITY = {"config": {"seed": 1, "adapter": {"rank": 4}}, "base": "abc"}


def checkpoint(step: int) -> Checkpoint:
    return Checkpoint({"policy.w": torch.full((3,), float(step))}, {"step": step, "cursor": 2 * step})


def test_the_newest_checkpoint_comes_back_and_two_are_kept(tmp_path: Path) -> None:
    assert load_newest(tmp_path, IDENTITY) == (None, [])
    for step in (9, 10, 100):
        save(tmp_path, checkpoint(step), IDENTITY)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000010", "step-00000100"]
    loaded, damage = load_newest(tmp_path, IDENTITY)
    assert loaded and loaded.counters == {"step": 100, "cursor": 200} and not damage
    assert torch.equal(loaded.tensors["policy.w"], torch.full((3,), 100.0))


@pytest.mark.parametrize("name", ["tensors-00000-of-00001.safetensors", "state.json", "manifest.json"])
def test_a_damaged_file_is_detected_and_the_checkpoint_before_is_used(tmp_path: Path, name: str) -> None:
    for step in (1, 2):
        path = save(tmp_path, checkpoint(step), IDENTITY)
    content = bytearray((path / name).read_bytes())
    content[-8] ^= 1
    (path / name).write_bytes(bytes(content))
    loaded, damage = load_newest(tmp_path, IDENTITY)
    assert loaded and loaded.counters["step"] == 1 and len(damage) == 1 and "step-00000002" in damage[0]
    (tmp_path / "step-00000001" / name).unlink()
    with pytest.raises(ValueError, match="is intact"):
        load_newest(tmp_path, IDENTITY)


def test_a_checkpoint_of_other_settings_is_refused_with_their_names(tmp_path: Path) -> None:
    save(tmp_path, checkpoint(1), IDENTITY)
    with pytest.raises(ValueError, match=r"config.adapter.rank: 4 there, 8 now; config.seed: 1 there, 2 now"):
        load_newest(tmp_path, {"config": {"seed": 2, "adapter": {"rank": 8}}, "base": "abc"})


def test_a_folder_that_was_not_finished_does_not_appear(tmp_path: Path) -> None:
    target = tmp_path / "step-00000001"
    with pytest.raises(KeyError), Publication(target) as partial:
        (partial / "tensors.safetensors").write_bytes(b"half")
        raise KeyError
    assert not target.exists() and load_newest(tmp_path, IDENTITY) == (None, [])
    save(tmp_path, checkpoint(1), IDENTITY)
    assert target.exists() and load_newest(tmp_path, IDENTITY)[0]
