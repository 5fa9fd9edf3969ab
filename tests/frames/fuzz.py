"""Thousands of damaged, hostile and unusual image files through register and measure.

    python -m tests.frames.fuzz --files 5000 --seed 0

Each file must end as a measured frame or as a rejection with a reason, the counts must add up, and the process that reads
them must live. It runs in a process of its own, so that a crash of a decoder is seen as one.
"""

import argparse
import contextlib
import io
import json
import resource
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from tests.frames.pictures import SMALL, scene
from wmsd_core.filters import measure_frames
from wmsd_core.frames import FramesConfig, register
from wmsd_core.store import query, reading

Mutation = Callable[[np.random.Generator, bytes], bytes]
LIMIT = 4_000_000
"""Pixels that the fuzzed settings allow: enough for every honest file here."""


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def honest(rng: np.random.Generator) -> tuple[str, bytes]:
    """(suffix, bytes) of a picture in one of the kinds that programs and cameras write."""
    seed = int(rng.integers(1 << 30))
    picture = Image.fromarray(scene(seed, 48 + 8 * (seed % 5), 64 + 8 * (seed % 7)))
    exif = Image.Exif()
    exif[0x0112] = 1 + seed % 8
    exif[0x010E] = "described " * (seed % 50)
    turned = {"exif": exif}
    grey = np.asarray(picture.convert("L"))
    frames = {"save_all": True, "append_images": [picture.rotate(9 * turn) for turn in (1, 2, 3)]}
    icc = {"icc_profile": bytes(range(256)) * 4}
    kinds: list[tuple[str, str, Image.Image, dict[str, Any]]] = [
        ("jpg", "JPEG", picture, turned),
        ("jpg", "JPEG", picture, {"progressive": True, **icc}),
        ("jpeg", "JPEG", picture.convert("L"), {}),
        ("jpg", "JPEG", picture.convert("CMYK"), {}),
        ("jpg", "JPEG", picture, {"comment": b"c" * 5000, "subsampling": 0, "restart_marker_blocks": 2}),
        ("jpg", "MPO", picture, frames),
        ("png", "PNG", picture, turned),
        ("png", "PNG", Image.fromarray(grey.astype(np.uint16) * 257), {}),
        ("png", "PNG", picture.convert("P"), {"transparency": 3}),
        ("png", "PNG", picture.convert("1"), {}),
        ("png", "PNG", picture.convert("LA"), icc),
        ("png", "PNG", picture.convert("RGBA"), {"dpi": (72, 72)}),
        ("png", "PNG", picture, frames),
        ("webp", "WEBP", picture, {"quality": 80, **turned}),
        ("webp", "WEBP", picture.convert("RGBA"), {"lossless": True}),
        ("webp", "WEBP", picture, {"duration": 40, **frames}),
        ("bmp", "BMP", picture, {}),
        ("bmp", "BMP", picture.convert("P"), {}),
        ("bmp", "BMP", picture.convert("1"), {}),
        ("bmp", "BMP", picture.convert("RGBA"), {}),
        ("tif", "TIFF", picture, {"tiffinfo": {274: 1 + seed % 8}}),
        ("tiff", "TIFF", picture, {"compression": "tiff_lzw"}),
        ("tif", "TIFF", picture, {"compression": "tiff_adobe_deflate", "tiffinfo": {317: 2}}),
        ("tif", "TIFF", picture, {"compression": "jpeg"}),
        ("tif", "TIFF", picture.convert("1"), {"compression": "group4"}),
        ("tif", "TIFF", Image.fromarray(grey.astype(np.uint16) * 257), {}),
        ("tif", "TIFF", Image.fromarray(grey.astype(np.float32)), {}),
        ("tif", "TIFF", picture.convert("CMYK"), {}),
        ("tif", "TIFF", picture, {"big_tiff": True, **frames}),
        ("gif", "GIF", picture.convert("P"), frames),
    ]
    suffix, format_, image, options = kinds[int(rng.integers(len(kinds)))]
    buffer = io.BytesIO()
    image.save(buffer, format_, **options)
    return suffix, buffer.getvalue()


def truncated(rng: np.random.Generator, data: bytes) -> bytes:
    return data[: int(rng.integers(len(data) + 1))]


def flipped(rng: np.random.Generator, data: bytes) -> bytes:
    """One to sixty-four bits flipped, anywhere or among the first hundred bytes."""
    spoilt = bytearray(data)
    reach = min(len(data), 100) if rng.random() < 0.5 else len(data)
    for at in rng.integers(8 * reach, size=int(rng.integers(1, 65))).tolist():
        spoilt[at // 8] ^= 1 << at % 8
    return bytes(spoilt)


def overwritten(rng: np.random.Generator, data: bytes) -> bytes:
    """A run of zeros, ones or noise."""
    begin, end = sorted(rng.integers(len(data) + 1, size=2).tolist())
    filling = [b"\0", b"\xff", rng.bytes(1)][int(rng.integers(3))]
    return data[:begin] + (rng.bytes(end - begin) if rng.random() < 0.3 else filling * (end - begin)) + data[end:]


def spliced(rng: np.random.Generator, data: bytes) -> bytes:
    """A part left out, repeated many times, or put elsewhere."""
    begin, end = sorted(rng.integers(len(data) + 1, size=2).tolist())
    return data[:begin] + data[begin:end] * int(rng.integers(0, 20)) + data[end:]


def wrong_header(rng: np.random.Generator, data: bytes) -> bytes:
    """The beginning of another format on this one's content."""
    other = honest(rng)[1]
    cut = int(rng.integers(1, 64))
    return other[:cut] + data[cut:]


def extended(rng: np.random.Generator, data: bytes) -> bytes:
    return data + (rng.bytes(int(rng.integers(5000))) if rng.random() < 0.5 else data)


def huge(rng: np.random.Generator, data: bytes) -> bytes:
    """The size in the header replaced by one that is large in pixels, or in one direction only, checksums mended."""
    sizes = [(60_000, 60_000), (65_535, 65_535), (16_383, 16_383), (1, 2**31 - 1), (2**31 - 1, 1), (9000, 3), (0, 0)]
    width, height = sizes[int(rng.integers(len(sizes)))]
    short = struct.pack(">HH", min(height, 65_535), min(width, 65_535))
    if data.startswith(b"\x89PNG"):
        return data[:8] + png_chunk(b"IHDR", struct.pack(">II", width, height) + data[24:29]) + data[33:]
    if data.startswith(b"\xff\xd8"):
        for marker in (b"\xff\xc0", b"\xff\xc2"):
            if (at := data.find(marker)) > 0:
                return data[: at + 5] + short + data[at + 9 :]
    if data.startswith(b"BM"):
        return data[:18] + struct.pack("<ii", width, height) + data[26:]
    if data.startswith(b"RIFF") and (at := data.find(b"VP8X")) > 0:
        corner = (min(width, 2**24) - 1) % 2**24, (min(height, 2**24) - 1) % 2**24
        return data[: at + 12] + b"".join(struct.pack("<I", side)[:3] for side in corner) + data[at + 18 :]
    if data[:4] in (b"II*\0", b"II+\0"):
        spoilt = bytearray(data)
        for tag in (256, 257, 277, 278, 322, 323)[int(rng.integers(6)) :]:
            for kind in (3, 4):
                at = data.find(struct.pack("<HHI", tag, kind, 1))
                if at > 0:
                    spoilt[at + 2 : at + 12] = struct.pack("<HII", 4, 1, max(width, height))
        return bytes(spoilt)
    return data


def stuffed(rng: np.random.Generator, data: bytes) -> bytes:
    """Text and profiles that unpack to a thousand times their size, or very many of them."""
    bomb = zlib.compress(bytes(int(rng.integers(1, 20)) << 20), 9)
    if data.startswith(b"\x89PNG"):
        text = png_chunk(b"zTXt", b"Comment\0\0" + bomb)
        profile = png_chunk(b"iCCP", b"ICC\0\0" + bomb)
        end = len(data) - 12
        at = 33 if rng.random() < 0.5 else end
        return data[:at] + (profile if rng.random() < 0.3 else text * int(rng.integers(1, 50))) + data[at:]
    if data.startswith(b"\xff\xd8"):
        exif = b"Exif\0\0" + rng.bytes(200)
        segment = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
        return data[:2] + segment * int(rng.integers(1, 300)) + data[2:]
    return data


def unharmed(rng: np.random.Generator, data: bytes) -> bytes:
    return data


MUTATIONS: tuple[Mutation, ...] = (
    *(unharmed, truncated, flipped, flipped, overwritten, spliced, wrong_header, extended, huge, huge, stuffed),
)


def files(count: int, seed: int) -> Iterator[tuple[str, str, bytes]]:
    """(name, mutation, bytes) of `count` files, the same for each seed."""
    rng = np.random.default_rng(seed)
    for index in range(count):
        suffix, data = honest(rng)
        mutation = MUTATIONS[int(rng.integers(len(MUTATIONS)))]
        data = mutation(rng, data)
        if rng.random() < 0.1:
            data = MUTATIONS[int(rng.integers(len(MUTATIONS)))](rng, data or b"\0")
        if rng.random() < 0.03:
            suffix = ["png", "jpg", "webp", "tif", "bmp"][int(rng.integers(5))]
        yield f"{index:05d}.{suffix}", mutation.__name__, data


def run(folder: Path, store: Path) -> dict[str, Any]:
    """Registers and measures the files of a folder; what became of them, by file name, and what it cost."""
    started, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    config = FramesConfig(max_pixels=LIMIT, require_matching_extension=False)
    counts = register(store, folder, config)
    with reading(store) as con:
        ids = [row["frame_id"] for row in query(con, "SELECT frame_id FROM frames")]
    measured = measure_frames(store, ids, SMALL, threads=2)
    fates: dict[str, list[str]] = {}
    with reading(store) as con:
        for row in query(con, "SELECT path FROM frames JOIN measurements USING (frame_id)"):
            fates.setdefault(Path(row["path"]).name, []).append("measured")
        for row in query(con, "SELECT path, reason FROM rejections"):
            fates.setdefault(Path(row["path"]).name, []).append(row["reason"])
        figures = query(con, "SELECT sharpness, luminance, near_black, near_white, flatness FROM measurements")
    assert all(np.isfinite(list(row.values())).all() for row in figures)
    assert counts.files == counts.new + counts.known + sum(counts.rejected.values())
    assert measured.measured + measured.unusable == counts.new == len(ids)
    return {
        "fates": fates,
        "seconds": time.monotonic() - started,
        "grown_mib": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024,
    }


def fuzz(place: Path, count: int, seed: int) -> tuple[dict[str, Any], Counter[tuple[str, str]]]:
    """Writes the files, runs a process over them, and checks that each has exactly one fate; (result, table)."""
    folder = place / "files"
    folder.mkdir()
    made: dict[str, str] = {}
    for name, mutation, data in files(count, seed):
        (folder / name).write_bytes(data)
        made[name] = mutation
    command = [sys.executable, "-m", "tests.frames.fuzz", "--run", str(folder), str(place / "store.duckdb")]
    process = subprocess.run(command, capture_output=True, text=True, timeout=3600)
    assert process.returncode == 0, f"the process ended with {process.returncode}:\n{process.stderr[-5000:]}"
    result = json.loads(process.stdout.splitlines()[-1])
    wrong = {name: result["fates"].get(name) for name in made if len(result["fates"].get(name, [])) != 1}
    assert not wrong and result["fates"].keys() == made.keys(), wrong
    return result, Counter((mutation, result["fates"][name][0]) for name, mutation in made.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--run", nargs=2, type=Path, metavar=("FOLDER", "STORE"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run:
        print(json.dumps(run(*arguments.run)))
        return
    with contextlib.ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="wmsd-fuzz-")))
        result, table = fuzz(place, arguments.files, arguments.seed)
    fates = Counter[str]()
    for (_, fate), number in table.items():
        fates[fate] += number
    for mutation in sorted({mutation for mutation, _ in table}):
        row = {fate: table[mutation, fate] for fate, _ in fates.most_common() if table[mutation, fate]}
        print(f"{mutation:13}", ", ".join(f"{number} {fate}" for fate, number in row.items()))
    print(f"{sum(fates.values())} files: " + ", ".join(f"{number} {fate}" for fate, number in fates.most_common()))
    print(f"{result['seconds']:.0f} s, memory grew by {result['grown_mib']:.0f} MiB")


if __name__ == "__main__":
    main()
