"""What a server has answered, so that a stage that was killed asks nothing twice; and what that took.

A SQLite file beside the store. A request is identified by the SHA-256 of everything that was sent, pictures by their own
hash; only answers that could be read are kept, so that the others are asked for again. Each answer is one transaction:
after a kill it is there or not. No picture, no header and no key is ever written. Memory does not grow with the file, and
several processes may share it.
"""

import sqlite3
import threading
from dataclasses import astuple, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path

from wmsd_core.vlm.reply import Reply, Usage

_SCHEMA = """
    CREATE TABLE IF NOT EXISTS answers (
        key BLOB PRIMARY KEY,          -- SHA-256 of the request
        purpose TEXT NOT NULL,         -- name and version of the question, or name of the answer's form
        model TEXT NOT NULL,
        reply TEXT NOT NULL,           -- JSON: text, log-probabilities of the first token, tokens used
        asked TEXT NOT NULL            -- UTC
    ) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS spending (
        purpose TEXT NOT NULL, model TEXT NOT NULL,
        replies INTEGER NOT NULL, failures INTEGER NOT NULL,
        prompt_tokens INTEGER NOT NULL, cached_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL,
        PRIMARY KEY (purpose, model)
    );
"""


@dataclass(frozen=True)
class Spending:
    """Requests and tokens, readable or not: what a bill would name."""

    replies: int = 0
    failures: int = 0
    """Tries without a reply: errors, time-outs, half answers."""
    prompt_tokens: int = 0
    cached_tokens: int = 0
    """Of the prompt tokens, those that the server had in its cache."""
    completion_tokens: int = 0

    def __sub__(self, before: "Spending") -> "Spending":
        return Spending(*(now - then for now, then in zip(astuple(self), astuple(before), strict=True)))

    def cost(self, prompt: float, cached: float, completion: float) -> float:
        """What it costs, at prices per million tokens."""
        fresh = self.prompt_tokens - self.cached_tokens
        return (fresh * prompt + self.cached_tokens * cached + self.completion_tokens * completion) / 1e6


class RequestLog:
    """The log at `path`; None keeps it in memory, for as long as the object lives."""

    def __init__(self, path: Path | None) -> None:
        """Opens the file, or begins it.

        Raises:
            ValueError: it is something else than a request log.
        """
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._db = sqlite3.connect(
            path or ":memory:", timeout=60, isolation_level=None, check_same_thread=False, cached_statements=16
        )
        try:
            # WAL with NORMAL: a killed process loses nothing, and an answer costs no wait for the disk.
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.executescript(_SCHEMA)
        except sqlite3.DatabaseError as error:
            self._db.close()
            raise ValueError(
                f"{path} cannot be used as a log of requests ({error}); move it away: without it, questions that were "
                "not finished are asked again, and nothing else is lost"
            ) from error

    def find(self, key: bytes) -> Reply | None:
        """The reply to this request, if there was one that could be read."""
        with self._lock:
            row = self._db.execute("SELECT reply FROM answers WHERE key = ?", [key]).fetchone()
        return Reply.model_validate_json(row[0]) if row else None

    def keep(self, key: bytes, purpose: str, model: str, reply: Reply) -> None:
        """Remembers a reply that could be read."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        with self._lock:
            self._db.execute(
                "INSERT OR REPLACE INTO answers VALUES (?, ?, ?, ?, ?)",
                [key, purpose, model, reply.model_dump_json(), now],
            )

    def spend(self, purpose: str, model: str, usage: Usage | None) -> None:
        """Counts one try: the tokens of its reply, or None for a failure."""
        spent = Spending(failures=1)
        if usage:
            spent = Spending(1, 0, usage.prompt_tokens, usage.cached_tokens, usage.completion_tokens or 0)
        names = [field.name for field in fields(Spending)]
        added = ", ".join(f"{name} = {name} + excluded.{name}" for name in names)
        with self._lock:
            self._db.execute(
                f"INSERT INTO spending (purpose, model, {', '.join(names)}) VALUES (?, ?, ?, ?, ?, ?, ?) "
                f"ON CONFLICT DO UPDATE SET {added}",
                [purpose, model, *astuple(spent)],
            )

    def spent(self) -> Spending:
        """The sum over all purposes and models."""
        sums = ", ".join(f"coalesce(sum({field.name}), 0)" for field in fields(Spending))
        with self._lock:
            return Spending(*self._db.execute(f"SELECT {sums} FROM spending").fetchone())

    def forget(self, purpose: str) -> None:
        """Deletes the answers to one question in all its versions, or of one form, so that they are asked for again."""
        with self._lock:
            self._db.execute("DELETE FROM answers WHERE purpose = ? OR purpose LIKE ? || '/%'", [purpose, purpose])

    def close(self) -> None:
        with self._lock:
            self._db.close()


def spent(path: Path) -> Spending:
    """What the log at `path` has counted; nothing where there is no log."""
    if not path.is_file():
        return Spending()
    log = RequestLog(path)
    try:
        return log.spent()
    finally:
        log.close()


def forget(path: Path, purpose: str) -> None:
    """Deletes answers of the log at `path`, if there is one. See `RequestLog.forget`."""
    if path.is_file():
        log = RequestLog(path)
        log.forget(purpose)
        log.close()
