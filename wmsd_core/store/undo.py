"""What DuckDB writes over in place is kept beside the store while a connection may write, so that no kill can damage it.

A checkpoint writes to free blocks, and then, in one step, a header that points to them. Blocks of metadata alone are written
over where they are: what is in use in them stays, what is free is filled. A process that is killed in the midst of that
leaves a block whose checksum does not hold, and a store that nobody can open. As long as the header is the old one, the old
blocks in their places are the store as it was, and the log beside it has what was committed since.
"""

import fcntl
import hashlib
import os
import struct
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import duckdb

_HEADERS, _BLOCKS = 4096, 12288
"""Where the two headers begin, of which the newer one counts, and where the blocks do, in bytes."""
_PLACE = struct.Struct("<QQ")
"""Offset and length of what follows."""
_DIGEST = hashlib.sha256().digest_size


def keep(con: duckdb.DuckDBPyConnection, store: Path) -> BinaryIO:
    """Keeps headers and metadata of a store that was just opened for writing.

    Returns the store as a file, to be closed after the connection: closing any file drops all locks on it of this process.

    Raises:
        OSError: it cannot be written.
    """
    file = store.open("rb")
    blocks = con.execute(
        """
        SELECT block_id, block_size FROM pragma_metadata_info(), pragma_database_size()
        WHERE database_name = current_database()
        """
    ).fetchall()
    places = [(_HEADERS, _BLOCKS - _HEADERS), *((_BLOCKS + number * size, size) for number, size in blocks)]
    content = b"".join(_PLACE.pack(*place) + os.pread(file.fileno(), place[1], place[0]) for place in places)
    with _kept(store).open("wb") as kept:
        kept.write(hashlib.sha256(content).digest() + content)
        kept.flush()
        os.fsync(kept.fileno())
    return file


def put_back(store: Path) -> None:
    """Puts what was kept in its place again where the header is still the old one, and forgets it.

    Does nothing while another process has the store open, as it is that one's then.
    """
    if not _kept(store).exists():
        return
    with suppress(BlockingIOError, PermissionError, FileNotFoundError), store.open("r+b") as file:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the lock that DuckDB takes
        kept = _kept(store).read_bytes()
        content = kept[_DIGEST:]
        if hashlib.sha256(content).digest() == kept[:_DIGEST]:  # else the process was killed before it wrote anything
            headers, *blocks = _parts(content)
            if _is_there(file, *headers):
                for offset, block in blocks:
                    if not _is_there(file, offset, block):
                        os.pwrite(file.fileno(), block, offset)
                os.fsync(file.fileno())
        _kept(store).unlink()


def _parts(content: bytes) -> list[tuple[int, bytes]]:
    """Offsets with what was there."""
    parts, start = list[tuple[int, bytes]](), 0
    while start < len(content):
        offset, size = _PLACE.unpack_from(content, start)
        start += _PLACE.size
        parts.append((offset, content[start : start + size]))
        start += size
    return parts


def _is_there(file: BinaryIO, offset: int, block: bytes) -> bool:
    return os.pread(file.fileno(), len(block), offset) == block


def _kept(store: Path) -> Path:
    return store.with_name(f"{store.name}.undo")
