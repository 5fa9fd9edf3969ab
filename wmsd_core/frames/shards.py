"""Shards: one file with many pictures inside. Tars (WebDataset), Parquet, and the Arrow files of Hugging Face datasets."""

import json
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from wmsd_core.frames.columns import NOTHING, PICTURES, About, Columns, about
from wmsd_core.frames.content import opened
from wmsd_core.frames.formats import IMAGES, OTHER_IMAGES, VIDEOS, suffix_of
from wmsd_core.frames.refusal import Refusal, failed
from wmsd_core.unicode import storable

TARS = (".tar", ".tar.gz", ".tgz")
TABLES = (".parquet", ".arrow")
_ROWS = 32
"""Rows that are held at once; each may hold a picture."""
_MOST_ABOUT = 2**20
"""Bytes of the JSON beside a picture."""


@dataclass(frozen=True)
class Member:
    """One picture or video in a shard."""

    name: str
    """Its name in a tar, its row in a table."""
    content: bytes | Refusal
    suffix: str = ""
    """As its name has it; empty where it has none that is known."""
    about: About = NOTHING


def is_shard(name: str) -> bool:
    return name.lower().endswith((*TARS, *TABLES))


def members(shard: Path, columns: Columns, most_bytes: int) -> Iterator[Member]:
    """The pictures and videos in a shard, one at a time. One that is larger than `most_bytes` is refused unread.

    Raises:
        ValueError: it is no shard, or holds no column of pictures.
        Refusal: it ends too early, or is damaged: the members before that have been told.
    """
    of = _of_table if shard.name.lower().endswith(TABLES) else _of_tar
    yield from of(shard, columns, most_bytes)


def _of_tar(shard: Path, columns: Columns, most_bytes: int) -> Iterator[Member]:
    """WebDataset: what stands together, with one name up to the first dot, is a sample; its JSON speaks of the rest."""
    sample: list[Member] = []
    said = NOTHING
    with opened(shard) as file:
        try:
            with tarfile.open(fileobj=file, mode="r|*") as tar:
                for info in tar:
                    if not info.isreg():
                        continue
                    if sample and _key(info.name) != _key(sample[0].name):
                        yield from _with(sample, said)
                        sample, said = [], NOTHING
                    if info.name.lower().endswith(".json") and info.size <= _MOST_ABOUT:
                        said = _said(_bytes(tar, info), columns)
                        sample = sample or [Member(info.name, b"")]  # it may stand before its picture
                    elif suffix := _picture_suffix(info.name):
                        sample.append(_held(tar, info, suffix, most_bytes))
        except (tarfile.TarError, EOFError, OSError, ValueError) as error:
            yield from _with(sample, said)
            raise Refusal("damaged", f"the rest of the shard cannot be read: {error}") from error
    yield from _with(sample, said)


def _with(sample: list[Member], said: About) -> Iterator[Member]:
    return (Member(one.name, one.content, one.suffix, said) for one in sample if one.suffix)


def _held(tar: tarfile.TarFile, info: tarfile.TarInfo, suffix: str, most_bytes: int) -> Member:
    name = storable(info.name)
    if info.size > most_bytes:
        return Member(name, Refusal("too_large", f"{info.size} bytes, the limit is {most_bytes}"), suffix)
    return Member(name, _bytes(tar, info), suffix)


def _bytes(tar: tarfile.TarFile, info: tarfile.TarInfo) -> bytes:
    held = tar.extractfile(info)
    content = held.read() if held else b""
    if len(content) < info.size:
        raise tarfile.ReadError("unexpected end of data")
    return content


def _said(text: bytes, columns: Columns) -> About:
    with suppress(ValueError, RecursionError):
        if isinstance(said := json.loads(text), dict):
            return about(said, columns)
    return About(note="the JSON beside it could not be read")


def _key(name: str) -> str:
    folder, _, last = name.rpartition("/")
    return f"{folder}/{last.partition('.')[0]}"


def _picture_suffix(name: str) -> str:
    """The suffix of an image or a video; '' for what is none, and for what is hidden."""
    if PurePosixPath(name).name.startswith("."):
        return ""
    suffix = suffix_of(Path(PurePosixPath(name).name))
    return suffix if suffix in IMAGES or suffix in OTHER_IMAGES or suffix in VIDEOS else ""


def _of_table(shard: Path, columns: Columns, most_bytes: int) -> Iterator[Member]:
    import pyarrow as pa  # here, as it is slow to load and few need it

    number = 0
    with opened(shard) as file:
        try:
            schema, batches = _arrow(file) if shard.name.lower().endswith(".arrow") else _parquet(file)
            picture = picture_column(schema, columns.picture)
            if not picture:
                named = f"no column {columns.picture}" if columns.picture else "no column of pictures"
                raise ValueError(
                    f"{shard.name} has {named}; its columns are {', '.join(schema.names)}: name one by "
                    "--set scan.columns.picture=NAME"
                )
            wanted = [picture, *columns.told(one for one in schema.names if one != picture)]
            for batch in batches(wanted):
                values = {one: batch.column(one) for one in wanted}
                for index in range(len(batch)):
                    number += 1
                    yield _row(str(number), {one: v[index] for one, v in values.items()}, picture, columns, most_bytes)
        except (pa.ArrowException, OSError) as error:
            raise Refusal(
                "damaged", f"the rest of the shard, from row {number + 1} on, cannot be read: {error}"
            ) from error


def _parquet(file: Any) -> tuple[Any, Any]:
    import pyarrow.parquet as pq

    table = pq.ParquetFile(file)
    return table.schema_arrow, lambda wanted: table.iter_batches(_ROWS, columns=wanted)


def _arrow(file: Any) -> tuple[Any, Any]:
    import pyarrow as pa

    stream = pa.ipc.open_stream(file)
    return stream.schema, lambda _: (
        part for batch in stream for part in pa.Table.from_batches([batch]).to_batches(_ROWS)
    )


def picture_column(schema: Any, named: str) -> str:
    """The column that holds pictures: bytes, or Hugging Face's pair of bytes and path; '' if there is none."""
    import pyarrow as pa

    def holds(name: str) -> bool:
        kind = schema.field(name).type
        if pa.types.is_struct(kind):
            return kind.get_field_index("bytes") >= 0
        return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)

    candidates = [named] if named else PICTURES
    return next((name for name in candidates if name in schema.names and holds(name)), "")


def _row(number: str, row: dict[str, Any], picture: str, columns: Columns, most_bytes: int) -> Member:
    try:
        held = row.pop(picture).as_py()
        said = about({name: value.as_py() for name, value in row.items()}, columns)
        content, name = (held.get("bytes"), held.get("path")) if isinstance(held, dict) else (held, "")
        suffix = _picture_suffix(name) if isinstance(name, str) else ""
        if content is None:
            raise Refusal("incomplete", "it holds no bytes of a picture" + (f", only the path {name}" if name else ""))
        if len(content) > most_bytes:
            raise Refusal("too_large", f"{len(content)} bytes, the limit is {most_bytes}")
        return Member(number, content, suffix, said)
    except Exception as error:  # one row is one row
        return Member(number, failed(error))
