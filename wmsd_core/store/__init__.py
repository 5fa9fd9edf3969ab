"""The store: one DuckDB file per workspace, its schema, and queries as functions of a connection.

Images and videos are files; the store holds their paths and hashes. One process writes at a time, in short transactions;
the file is closed between them, so that readers never wait for a running stage.
"""

from wmsd_core.store.connection import StoreError, reading, writing
from wmsd_core.store.rows import insert, query, unseen

__all__ = ["StoreError", "insert", "query", "reading", "unseen", "writing"]
