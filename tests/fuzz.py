"""Inputs that nobody meant well: videos, lines of manifests and datasets, replies of a model server. Images: `frames.fuzz`.

A round makes inputs of one kind, the same for each seed, takes them through the real code, and says what became of each: every
one has exactly one fate, or an assertion fails. `yardsticks/fuzz.py` runs many, in processes of their own.
"""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np

from tests.frames import fuzz as images
from tests.frames.clips import FPS, view
from tests.frames.pictures import folder_of, left
from tests.vlm.server import Behaviour, ScriptedServer
from wmsd_core.frames import FramesConfig, ledger, register
from wmsd_core.store import query, reading
from wmsd_core.vlm.server import ServerVLM
from wmsd_core.vlm.settings import ServerConfig
from wmsd_core.worldtasks import GenerateConfig, generate_pairs
from wmsd_core.worldtasks.importing import import_folder
from wmsd_core.worldtasks.layout import ImportConfig

Fates = Counter[str]
Round = Callable[[Path, int, int], Fates]

PICTURES = 24
"""Pictures that lines name."""
_HARM = (images.truncated, images.flipped, images.flipped, images.overwritten, images.spliced, images.extended)
_DEEP = "the place of what is too deep for a parser"
_CONTAINERS = {
    "mp4": ("mp4", "libx264"),
    "mov": ("mov", "mpeg4"),
    "mkv": ("matroska", "libx264"),
    "webm": ("webm", "libvpx"),
    "avi": ("avi", "mpeg4"),
    "mpg": ("mpeg", "mpeg1video"),
    "ts": ("mpegts", "mpeg2video"),
    "wmv": ("asf", "wmv2"),
    "flv": ("flv", "flv"),
    "3gp": ("3gp", "mpeg4"),
}


def pictures(place: Path, count: int, seed: int) -> Fates:
    """Image files of every kind, most of them harmed, registered and measured."""
    folder = place / "files"
    folder.mkdir(parents=True)
    for name, _, data in images.files(count, seed):
        (folder / name).write_bytes(data)
    images.run(folder, place / "store.duckdb")
    return _fates(place / "store.duckdb", folder, count)


def videos(place: Path, count: int, seed: int) -> Fates:
    """Videos in ten containers, most of them harmed; frames are taken of what can be read."""
    folder, rng = place / "files", np.random.default_rng(seed)
    folder.mkdir(parents=True)
    films = {suffix: _film(place / f"honest.{suffix}", *kind) for suffix, kind in _CONTAINERS.items()}
    for number in range(count):
        suffix = str(rng.choice(list(films)))
        data = films[suffix]
        if rng.random() < 0.1:
            other = films[str(rng.choice(list(films)))]
            data = other[: int(rng.integers(1, 400))] + data
        elif rng.random() < 0.9:
            data = _HARM[int(rng.integers(len(_HARM)))](rng, data)
        (folder / f"{number:05d}.{suffix}").write_bytes(data)
    register(place / "store.duckdb", folder, FramesConfig(max_pixels=images.LIMIT))
    return _fates(place / "store.duckdb", folder, count)


def lines(place: Path, count: int, seed: int) -> Fates:
    """Half the lines are of a manifest, half of a dataset in the published layout."""
    rng = np.random.default_rng(seed)
    names = [path.name for path in folder_of(place / "train" / "images", PICTURES)]
    half = count // 2
    manifest, dataset = place / "list.jsonl", place / "train" / "train.jsonl"
    manifest.write_bytes(b"\n".join(_line(rng, _listed(rng, names)) for _ in range(half)) + b"\n")
    dataset.write_bytes(b"\n".join(_line(rng, _pair(rng, names)) for _ in range(count - half)) + b"\n")
    register(place / "listed.duckdb", manifest, FramesConfig())
    import_folder(place / "imported.duckdb", place, ImportConfig(), FramesConfig())
    return _fates(place / "listed.duckdb", manifest, half) + _fates(place / "imported.duckdb", dataset, count - half)


def replies(place: Path, count: int, seed: int) -> Fates:
    """A server answers a request for pairs for each of `count` frames, badly."""
    place.mkdir(parents=True)
    rng, store = np.random.default_rng(seed), place / "store.duckdb"
    folder_of(place / "images", count)
    register(store, place / "images", FramesConfig())
    frames = left(store, "frames")
    assert len(frames) == count
    bodies = iter([_reply(rng) for _ in frames])
    with ScriptedServer(lambda _: next(bodies)) as server:
        settings = {"attempts": 1, "concurrency": 8, "failures": 10**6, "patience": 0, "read_timeout": 5}
        vlm = ServerVLM(ServerConfig.model_validate({"base_url": server.base_url, **settings}), place / "log.sqlite")
        told = generate_pairs(store, frames, vlm, GenerateConfig(attempts=1, count=4), concurrency=8)
        vlm.close()
    with reading(store) as con:
        rows = query(
            con,
            """
            SELECT DISTINCT frame_id, 'pairs' AS fate FROM task_pairs
            UNION ALL SELECT item, reason FROM rejections WHERE stage = 'generate'
            """,
        )
    assert sorted(row["frame_id"] for row in rows) == frames
    assert told.frames + told.refused + told.without_pairs + told.unanswered == count
    return Counter(row["fate"] for row in rows)


KINDS: dict[str, Round] = {"images": pictures, "videos": videos, "lines": lines, "replies": replies}


def _fates(store: Path, source: Path, count: int) -> Fates:
    """What the ledger says of each input: it has one line for each, and no other."""
    with reading(store) as con:
        found = ledger.look(con, None, None, None, 10 * count)
    numbers = source.is_file()
    named = [item for item, *_ in found if item.startswith(f"{source}:" if numbers else f"{source}/")]
    expected = range(1, count + 1) if numbers else source.iterdir()
    assert named == sorted(f"{source}:{number}" if numbers else str(number) for number in expected)
    assert len(named) == len(found) == count
    return Counter(f"{fate}: {reason}" if reason else fate for _, fate, reason, _ in found)


def _film(path: Path, form: str, codec: str) -> bytes:
    with av.open(str(path), "w", format=form) as container:
        stream: Any = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for index in range(3 * FPS):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(view(index // FPS), "rgb24")))
        container.mux(stream.encode())
    return path.read_bytes()


def _listed(rng: np.random.Generator, names: Sequence[str]) -> dict[str, Any]:
    return {"path": f"train/images/{rng.choice(names)}", "licence": "CC0", "source": "somewhere"}


def _pair(rng: np.random.Generator, names: Sequence[str]) -> dict[str, Any]:
    task, solution = f"[Man {rng.integers(99)}]: Walk to the door.", "He turns around and walks along the wall."
    picture = str(rng.choice(names))
    flat = {"image": picture, "prompt": task, "solution": solution}
    nested = {"image": {"path": picture, "moment": 1.5}, "pairs": [{"task": task, "solution": solution}], "position": 1}
    return flat if rng.random() < 0.5 else nested


def _line(rng: np.random.Generator, record: dict[str, Any]) -> bytes:
    """One line, whatever is in it, and never an empty one."""
    if rng.random() < 0.6:
        record = _spoilt(rng, record)
    data = _written(record)
    if rng.random() < 0.3:
        data = _HARM[int(rng.integers(len(_HARM)))](rng, data)
    data = data.replace(b"\n", b" ").replace(b"\r", b" ")
    return data if data.strip() else b"0"


def _reply(rng: np.random.Generator) -> Behaviour:
    """A chat completion, with a good answer in it or a bad one, in a good envelope or a bad one."""
    pair = {"task": "[Man]: Walk to the door.", "solution": "He turns around, walks along the wall and stops there."}
    answer: Any = {"refused": False, "reason": "", "pairs": [dict(pair) for _ in range(3)]}
    if rng.random() < 0.5:
        answer = _spoilt(rng, answer)
    text = _written(answer)
    if rng.random() < 0.4:
        text = _HARM[int(rng.integers(len(_HARM)))](rng, text)
    around = (
        "{}",
        "{}",
        "{}",
        "<think>{}</think>{}",
        "<think>{}</think>",
        "Sure!\n```json\n{}\n```",
        "{} and {}",
        "[{}]",
        '{{"answer": {}}}',
    )
    said = str(rng.choice(around)).replace("{{", "{").replace("}}", "}").replace("{}", text.decode(errors="replace"))
    message = {"role": "assistant", "content": said}
    body: Any = {"choices": [{"message": message, "finish_reason": "stop"}], "usage": {"prompt_tokens": 9}}
    if rng.random() < 0.3:
        body = _spoilt(rng, body)
    data = _written(body)
    if rng.random() < 0.15:
        data = _HARM[int(rng.integers(len(_HARM)))](rng, data)
    status = int(rng.choice([400, 429, 500, 503, 302, 204])) if rng.random() < 0.1 else 200
    return _sent(status, data, missing=int(rng.integers(1, 50)) if rng.random() < 0.05 else 0)


def _sent(status: int, data: bytes, missing: int) -> Behaviour:
    async def send(writer: Any) -> None:
        head = f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {len(data) + missing}\r\n\r\n"
        writer.write(head.encode() + data)
        await writer.drain()
        if missing or status == 204:
            writer.transport.close()

    return send


def _spoilt(rng: np.random.Generator, record: Any) -> Any:
    """One value of a record, anywhere in it, replaced by another, left out, or given a strange name."""
    if not isinstance(record, dict | list) or not record or rng.random() < 0.1:
        return _odd(rng)
    if isinstance(record, list):
        at = int(rng.integers(len(record)))
        return [*record[:at], _spoilt(rng, record[at]), *record[at + 1 :]]
    name = list(record)[int(rng.integers(len(record)))]
    if rng.random() < 0.2:
        return {key: value for key, value in record.items() if key != name}
    if rng.random() < 0.1:
        return {(str(_odd(rng)) if key == name else key): value for key, value in record.items()}
    return record | {name: _spoilt(rng, record[name])}


def _odd(rng: np.random.Generator) -> Any:
    values: list[Any] = [
        *(None, True, 0, -1, 1.5, 10**14, 10**30, -(10**400), float("nan"), float("inf"), 1e308),
        *("", " ", "\0", "\ud800", "\udfff\ud800", "a" * 300, "é" * 5000, "e\u0301", "\u202egnp.txt", "\x1b[2J"),
        *("../../etc/passwd", "/dev/zero", "images", ".", "?", "*", "%s{}", "'; DROP TABLE frames; --"),
        *([], {}, [[]], {"": None}, [None], {"path": {"path": "x"}}, list(range(2000)), _DEEP, "]}"),
    ]
    return values[int(rng.integers(len(values)))]


def _written(record: Any) -> bytes:
    deep = ("[" * 50_000 + "]" * 50_000).encode()
    return json.dumps(record).encode().replace(json.dumps(_DEEP).encode(), deep)
