"""What a training step took."""

from time import process_time

from wmsd_core.training.stopwatch import Stopwatch


def worked(seconds: float) -> None:
    until = process_time() + seconds
    while process_time() < until:
        pass


def test_stages_within_stages_count_once_and_processor_time_counts_outside_of_them_too() -> None:
    watch = Stopwatch()
    with watch("outer"):
        worked(0.02)
        with watch("inner"):
            worked(0.03)
    worked(0.04)
    assert watch.seconds["inner"] >= 0.029 and watch.seconds["outer"] >= 0.019
    assert watch.cpu_seconds >= 0.089
