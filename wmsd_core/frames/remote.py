"""Objects behind addresses, such as s3://, gs:// and https://: told from one another, listed and fetched by fsspec.

Keys come from where each store's own tools take them (AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL, ~/.aws, ...), never from an address:
addresses are stored and shown.
"""

import glob
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from wmsd_core.frames.refusal import Refusal

_INSTALL = {"s3": "pip install 'wmsd[s3]'", "gs": "pip install gcsfs", "az": "pip install adlfs"}
_SECRET = ("signature", "credential", "token", "secret", "password", "accesskey", "apikey", "api_key", "sig")
"""What names of parameters have in them whose value opens a door."""
_CONNECT = 10
"""Seconds in which a server accepts a connection."""


@dataclass(frozen=True)
class Blob:
    """One object."""

    address: str
    size: int | None = None
    """Bytes, where the store tells."""
    stamp: str = ""
    """Stands for its content as long as it stays the same: its size, and its tag or time; empty where nothing is told."""
    inner: bool = False
    """Whether a manifest named it, and not the user: then it is not followed to where it points."""

    @property
    def name(self) -> str:
        """Its last part, as that of a file."""
        return PurePosixPath(urlsplit(self.address).path).name


def is_address(text: str) -> bool:
    return "://" in text


def checked_address(address: str) -> str:
    """`address`, where it is one that can be stored and shown.

    Raises:
        ValueError: it holds a secret, or is an address within another.
    """
    if "::" in address:
        raise ValueError(f"{address} is an address within another; give the inner file's own address")
    parts = urlsplit(address)
    keys = [key.lower() for key, _ in parse_qsl(parts.query, keep_blank_values=True)]
    if "@" in parts.netloc or any(key == "sig" or part in key for key in keys for part in _SECRET if part != "sig"):
        shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        raise ValueError(
            f"the address of {shown} holds a secret, and addresses are stored and shown; give the key in the environment "
            "(AWS_ACCESS_KEY_ID and so on) with a plain address, or download the file"
        )
    return address


def is_allowed(address: str, allowed: Sequence[str]) -> bool:
    """Whether one of `allowed` is the beginning of `address`: the same scheme and host, and whole parts of the path."""
    one = urlsplit(address)
    if one.scheme == "file" or "::" in address or ".." in PurePosixPath(one.path).parts:
        return False
    for beginning in map(urlsplit, allowed):
        folder = beginning.path.rstrip("/")
        below = one.path == folder or one.path.startswith(folder + "/")
        if (one.scheme, one.netloc) == (beginning.scheme, beginning.netloc) and below:
            return True
    return False


def blob(address: str) -> Blob:
    """The object at `address`, asked for.

    Raises:
        ValueError: there is none, or its store cannot be reached or needs a package.
    """
    system, path = _system(address)
    try:
        return _blob(address, system.info(path))
    except Exception as error:  # each store has errors of its own
        raise ValueError(f"{address} cannot be read: {_cause(error)}") from error


def below(address: str) -> Iterator[Blob]:
    """The objects below a folder, in order, one folder's names in memory at a time. Hidden ones are left out.

    Raises:
        ValueError: it cannot be listed.
    """
    if urlsplit(address).scheme in ("http", "https"):
        raise ValueError(f"{address} is no image, video, shard or manifest, and folders cannot be listed over http")
    system, path = _system(address.rstrip("/"))
    yield from _below(address.rstrip("/"), system, path.rstrip("/"))


def _below(address: str, system: Any, path: str) -> Iterator[Blob]:
    try:
        found = system.ls(path, detail=True)
    except Exception as error:
        raise ValueError(f"{address} cannot be listed: {_cause(error)}") from error
    for one in sorted(found, key=lambda one: one["name"] + ("/" if one["type"] == "directory" else "")):
        name = one["name"].rstrip("/").rpartition("/")[2]
        if not name or name.startswith(".") or one["name"].rstrip("/") == path:
            continue
        if one["type"] == "directory":
            yield from _below(f"{address}/{name}", system, one["name"].rstrip("/"))
        else:
            yield _blob(f"{address}/{name}", one)


def fixed_part(pattern: str) -> tuple[str, tuple[str, ...]]:
    """The folder of a pattern, and what comes behind it: s3://b/x/*.jpg is s3://b/x and ("*.jpg",)."""
    parts = pattern.split("/")
    first = next(n for n, part in enumerate(parts) if glob.has_magic(part))
    return "/".join(parts[:first]), tuple(parts[first:])


def fetch(one: Blob, to: Path, *, patience: float, most_bytes: int) -> None:
    """Writes an object to a file, within `patience` seconds and what its size takes at 128 KiB a second.

    Raises:
        Refusal: too_large, or unreachable.
    """
    from fsspec.asyn import AsyncFileSystem
    from fsspec.callbacks import Callback

    class Counting(Callback):
        def relative_update(self, inc: int = 1) -> None:
            super().relative_update(inc)
            if self.value > most_bytes:
                raise Refusal("too_large", f"more than {most_bytes} bytes")

    if one.size is not None and one.size > most_bytes:
        raise Refusal("too_large", f"{one.size} bytes, the limit is {most_bytes}")
    try:
        system, path = _system(one.address, follow=not one.inner)
        limit = {"timeout": patience + (one.size or 0) / 2**17} if isinstance(system, AsyncFileSystem) else {}
        counting: Any = Counting()  # fsspec types its callbacks by the one that does nothing
        system.get_file(path, str(to), callback=counting, **limit)
    except Refusal:
        raise
    except OSError as error:
        if error.errno in (28, 122):  # this disk is full: no fault of the object
            raise
        raise Refusal("unreachable", _cause(error)) from error
    except Exception as error:
        raise Refusal("unreachable", _cause(error)) from error


def _blob(address: str, info: Mapping[str, Any]) -> Blob:
    size = info.get("size")
    tag = next(
        (info[key] for key in ("ETag", "etag", "md5Hash", "LastModified", "mtime", "created") if info.get(key)), ""
    )
    return Blob(address, size if isinstance(size, int) else None, f"{size} {tag}" if tag else "")


def _system(address: str, follow: bool = True) -> tuple[Any, str]:
    """The file system of an address, and the path in it."""
    scheme = urlsplit(address).scheme
    system = _connected(scheme, follow)
    return system, system._strip_protocol(address)


@cache
def _connected(scheme: str, follow: bool) -> Any:
    import fsspec

    options: dict[str, Any] = {"use_listings_cache": False}
    if scheme == "s3":
        # The tries are counted where an item is fetched; with botocore's own beneath, a dead server would cost minutes.
        times = {"connect_timeout": _CONNECT, "retries": {"total_max_attempts": 1}}
        options |= {"config_kwargs": times}
    if scheme in ("http", "https"):
        import aiohttp

        async def stays(response: aiohttp.ClientResponse) -> None:
            if 300 <= response.status < 400:
                raise OSError(
                    f"it points to another address ({response.status}), which is followed for none in a manifest"
                )

        times = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT, sock_read=None)
        options["client_kwargs"] = {"timeout": times} | ({} if follow else {"raise_for_status": stays})
        options |= {} if follow else {"allow_redirects": False}
    try:
        return fsspec.filesystem(scheme, **options)
    except ImportError as error:
        cure = _INSTALL.get(scheme, str(error))
        raise ValueError(f"addresses of {scheme}:// need a package: {cure}") from error
    except ValueError as error:
        raise ValueError(
            f"{scheme}:// is no kind of address that fsspec knows; s3://, gs:// and https:// are"
        ) from error


def _cause(error: BaseException) -> str:
    text = " ".join(str(error).split())[:300]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
