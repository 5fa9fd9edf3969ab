"""How long to wait before the next try: exponential backoff with full jitter, and what the server asks for."""

import email.utils
from collections.abc import Mapping
from datetime import UTC, datetime


def backoff(attempt: int, *, first: float, longest: float, draw: float) -> float:
    """Seconds before retry `attempt` (0, 1, ...): draw * min(longest, first * 2^attempt), with `draw` uniform in [0, 1).

    Full jitter: clients that failed together do not come back together.
    """
    return draw * min(longest, first * 2.0 ** min(attempt, 60))


def asked_pause(headers: Mapping[str, str], now: datetime | None = None) -> float:
    """Seconds of a Retry-After header, as a number or as a date; 0 where there is none that can be read."""
    value = headers.get("retry-after", "").strip()
    try:
        seconds = float(value)
    except ValueError:
        try:
            then = email.utils.parsedate_to_datetime(value)
        except ValueError:
            return 0.0
        if then.tzinfo is None:  # "-0000" is UTC without saying so
            then = then.replace(tzinfo=UTC)
        seconds = (then - (now or datetime.now(UTC))).total_seconds()
    return max(seconds, 0.0) if seconds == seconds else 0.0
