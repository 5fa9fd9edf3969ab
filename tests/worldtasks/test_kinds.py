"""Wished mixtures, and cells drawn from them."""

from collections import Counter

import pytest

from wmsd_core import overrides
from wmsd_core.worldtasks import GenerateConfig, Mix
from wmsd_core.worldtasks.kinds import AGENT_TYPES, AGENTS, TASK_TYPES, TASKS, Cell, wishes


def test_every_kind_has_a_meaning() -> None:
    assert (tuple(AGENTS), tuple(TASKS)) == (AGENT_TYPES, TASK_TYPES)


def test_shares_of_cells_are_products_without_the_senseless_ones() -> None:
    mix = Mix(agents={"human": 3, "animal": 1}, tasks={"navigation": 1, "ui": 1})
    # human 3/4, animal 1/4; half of each is ui, which animals have no use for: 3/8, 3/8, 1/8 of 7/8
    assert mix.cells() == {
        Cell("human", "navigation"): pytest.approx(3 / 7),
        Cell("human", "ui"): pytest.approx(3 / 7),
        Cell("animal", "navigation"): pytest.approx(1 / 7),
    }
    assert sum(Mix().cells().values()) == pytest.approx(1)


def test_wishes_follow_the_shares_and_are_different_cells() -> None:
    mix = Mix(agents={"human": 3, "animal": 1}, tasks={"navigation": 1})
    drawn = Counter(wishes(f"frame {n}", mix, 1, seed=0)[0].agent_type for n in range(2000))
    assert drawn["human"] / 2000 == pytest.approx(0.75, abs=0.04)  # four standard errors
    assert all(len(set(wishes(f"frame {n}", Mix(), 3, seed=0))) == 3 for n in range(50))
    assert len(wishes("frame", mix, 5, seed=0)) == 2
    assert wishes("a", Mix(), 3, seed=0) == wishes("a", Mix(), 3, seed=0)
    assert any(wishes(f"frame {n}", Mix(), 3, seed=0) != wishes(f"frame {n}", Mix(), 3, seed=1) for n in range(5))


@pytest.mark.parametrize("shares", [{}, {"human": 0}, {"human": 1, "animal": -1}])
def test_shares_that_are_none_are_refused(shares: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="shares must not be negative, and one of them must be above 0"):
        Mix.model_validate({"agents": shares})


def test_a_mix_of_nothing_sensible_is_refused() -> None:
    with pytest.raises(ValueError, match="makes sense with any of its task types"):
        Mix(agents={"animal": 1}, tasks={"ui": 1}).cells()


def test_a_mix_can_be_set_on_the_command_line() -> None:
    config = overrides.apply(GenerateConfig(), ["mix.agents={human: 1}", "wishes=2"])
    assert config.mix.agents == {"human": 1}
    with pytest.raises(ValueError, match=r"mix\.agents"):
        overrides.apply(GenerateConfig(), ["mix.agents={robot: 1}"])
