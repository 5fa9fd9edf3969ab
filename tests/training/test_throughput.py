import time

import pytest
import torch

from wmsd_core.training.stopwatch import Stopwatch
from wmsd_core.training.throughput import Passes, counted, matmul_rate


def test_operations_of_matrix_products_are_counted() -> None:
    a, b = torch.ones(3, 5), torch.ones(5, 7)
    result, flops = counted(lambda: a @ b)
    assert flops == 2 * 3 * 5 * 7 and torch.equal(result, torch.full((3, 7), 5.0))


def test_a_trained_latent_costs_a_forward_and_a_backward_through_frozen_weights() -> None:
    """Which is what autograd does for a LoRA: against a count of the whole step with rank 1, whose own share is small."""
    width = 64
    x = torch.ones(32, width)
    frozen = [torch.ones(width, width) / width for _ in range(4)]
    down, up = torch.ones(width, 1, requires_grad=True), torch.ones(1, width, requires_grad=True)

    def step() -> None:
        y = x + x @ down @ up
        for weight in frozen:
            y = y @ weight
        y.sum().backward()

    _, flops = counted(step)
    _, forward = counted(lambda: [x @ weight for weight in frozen])
    assert flops == pytest.approx(Passes(0, 1).flops(forward), rel=0.05)
    assert Passes(3, 1).flops(10.0) == 50 and Passes(3, 1).all == 4


def test_a_matrix_product_takes_some_time() -> None:
    assert 1e6 < matmul_rate() < 1e18


def test_stages_inside_stages_add_up_to_the_whole() -> None:
    watch = Stopwatch()
    start = time.perf_counter()
    with watch("rollout"):
        time.sleep(0.02)
        with watch("decode"):
            time.sleep(0.03)
        time.sleep(0.02)
    total = time.perf_counter() - start
    assert watch.seconds["decode"] >= 0.03 and watch.seconds["rollout"] >= 0.04
    assert sum(watch.seconds.values()) <= total and set(watch.seconds) == {"rollout", "decode"}
