"""A bar and the lines of a log on one terminal."""

import logging

from prefect.logging.configuration import setup_logging
from prefect.logging.handlers import PrefectConsoleHandler

from tasks.progress import console


def test_the_bar_is_drawn_by_the_console_that_writes_the_log() -> None:
    setup_logging(incremental=False)
    (handler,) = (each for each in logging.getLogger().handlers if isinstance(each, PrefectConsoleHandler))
    assert console() is handler.console
