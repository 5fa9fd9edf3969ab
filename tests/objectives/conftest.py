import pytest
import torch


@pytest.fixture(autouse=True)
def _seed() -> None:
    """The same random inputs every time."""
    torch.manual_seed(0)
