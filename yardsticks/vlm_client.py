"""Throughput and memory of the model server's client: `python -m yardsticks.vlm_client`.

A server in a process of its own answers each request after a fixed time and works on a fixed number at once, so that its
capacity is slots / latency whatever is asked. Beside our client runs the least that a client can be: a bare httpx loop
with as many requests under way, which packs no picture, checks nothing, counts nothing and remembers nothing.

    --requests 20000 --slots 64 --latency 0.5
"""

import argparse
import asyncio
import json
import multiprocessing
import tempfile
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import httpx
import numpy as np
import psutil

from wmsd_core.vlm.protocol import Question
from wmsd_core.vlm.request_log import spent
from wmsd_core.vlm.server import ServerVLM
from wmsd_core.vlm.settings import ServerConfig

BATCH = 500
"""Pictures per call, as a stage with large batches makes them."""
QUESTION = Question("screen", "1", "Is the picture suitable? Answer with one word, yes or no.")


def serve(latency: float, slots: int, ready: Connection) -> None:
    """Speaks just enough HTTP, so that the machine's cores are left to the client."""
    top = [{"token": "yes", "logprob": -0.1}, {"token": "no", "logprob": -2.4}]
    choice = {
        "message": {"content": "yes"},
        "finish_reason": "stop",
        "logprobs": {"content": [{**top[0], "top_logprobs": top}]},
    }
    answer = _http({"choices": [choice], "usage": {"prompt_tokens": 300, "completion_tokens": 1}})
    models, missing = _http({"data": [{"id": "judge"}]}), b"HTTP/1.1 404 X\r\ncontent-length: 0\r\n\r\n"

    async def main() -> None:
        free = asyncio.Semaphore(slots)

        async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                while head := await reader.readuntil(b"\r\n\r\n"):
                    _, _, after = head.lower().partition(b"content-length: ")
                    await reader.readexactly(int(after.split(b"\r\n", 1)[0] or 0))
                    if b"/chat/" in head[:40]:
                        async with free:
                            await asyncio.sleep(latency)
                        writer.write(answer)
                    else:
                        writer.write(models if b"/models" in head[:40] else missing)
                    await writer.drain()
            except (asyncio.IncompleteReadError, ConnectionError):
                writer.close()

        server = await asyncio.start_server(connection, "127.0.0.1", 0, backlog=1024)
        ready.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())


def _http(content: object) -> bytes:
    text = json.dumps(content).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(text), text)


@contextmanager
def serving(latency: float, slots: int) -> Generator[str]:
    """The address of a server in another process."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(latency, slots, there), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{here.recv()}/v1"
    finally:
        process.terminate()
        process.join()


async def bare(base_url: str, requests: int, slots: int) -> None:
    """`requests` posts, `slots` at a time, of a body as long as ours."""
    body = {"model": "judge", "messages": [{"role": "user", "content": "x" * 5000}], "max_tokens": 1}
    left = iter(range(requests))
    async with httpx.AsyncClient(timeout=60, trust_env=False, limits=httpx.Limits(max_connections=None)) as client:

        async def worker() -> None:
            for _ in left:
                (await client.post(f"{base_url}/chat/completions", json=body)).raise_for_status()

        await asyncio.gather(*(worker() for _ in range(slots)))


def ours(base_url: str, requests: int, slots: int, folder: Path, rss: list[tuple[int, float]]) -> None:
    """Screens `requests` different pictures; `rss` gets (requests done, MiB) after each call."""
    vlm = ServerVLM(ServerConfig(base_url=base_url, concurrency=slots), folder / "requests.sqlite")
    process, rng = psutil.Process(), np.random.default_rng(0)

    def screen(start: int) -> None:
        pictures = list(rng.integers(0, 256, (min(BATCH, requests - start), 32, 32, 3), dtype=np.uint8))
        answers = vlm.log_odds([QUESTION] * len(pictures), pictures)
        if not all(answer.valid for answer in answers):
            raise RuntimeError(f"unread: {next(answer.reason for answer in answers if not answer.valid)}")
        rss.append((len(rss) * BATCH, process.memory_info().rss / 2**20))

    # Two callers, as the two shards of a stage: while one's last requests are answered, the other's go out.
    with ThreadPoolExecutor(2) as shards:
        list(shards.map(screen, range(0, requests, BATCH)))
    vlm.close()
    assert spent(folder / "requests.sqlite").replies == requests


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--slots", type=int, default=64)
    parser.add_argument("--latency", type=float, default=0.5, help="seconds that the server takes for one request")
    asked = parser.parse_args()
    capacity = asked.slots / asked.latency
    rss: list[tuple[int, float]] = []
    rows: list[tuple[str, int, float, float]] = []
    with tempfile.TemporaryDirectory() as folder, serving(asked.latency, asked.slots) as base_url:
        few = max(8 * asked.slots, asked.requests // 10)
        for name, requests in (("bare httpx loop", few), ("our client", asked.requests)):
            began, cpu = time.perf_counter(), time.process_time()
            if name == "our client":
                ours(base_url, requests, asked.slots, Path(folder), rss)
            else:
                asyncio.run(bare(base_url, requests, asked.slots))
            rows.append((name, requests, time.perf_counter() - began, time.process_time() - cpu))
    load = f"{psutil.getloadavg()[0]:.1f} on {psutil.cpu_count()} cores"
    print(f"server: {asked.slots} slots, {asked.latency:g} s each: capacity {capacity:.1f} requests/s; load {load}")
    print(f"{'':17}{'requests':>10}{'requests/s':>12}{'of capacity':>13}{'CPU ms each':>13}")
    for name, requests, seconds, cpu in rows:
        rate = requests / seconds
        print(f"{name:17}{requests:>10,}{rate:>12.1f}{rate / capacity:>13.1%}{1000 * cpu / requests:>13.2f}")
    tenth = [rss[round(k * (len(rss) - 1) / 10)] for k in range(11)]
    print("memory, MiB, after requests: " + ", ".join(f"{done:,}: {mib:.0f}" for done, mib in tenth))


if __name__ == "__main__":
    main()
