"""Seeds that depend on what is drawn, never on when: a resumed, sharded or reordered run draws the same numbers."""

import hashlib


def derive(run_seed: int, purpose: str, item: str = "", index: int = 0) -> int:
    """A seed in [0, 2^63) from SHA-256 of (run seed, purpose, item, index).

    Python's `hash` is salted per process and a counter depends on the order of arrival; neither can be used for this.
    """
    text = "\x1f".join((str(run_seed), purpose, item, str(index)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
