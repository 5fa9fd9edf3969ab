"""The client against a real vLLM server on loopback, with a tiny Qwen3-VL of random weights: `make vllm-test`.

Skipped otherwise: vLLM needs an environment of its own, and half a minute to start.
"""

import base64
import contextlib
import ctypes
import io
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.bench.synthetic import build
from tests.bench.tiny import FadeGenerator
from tests.frames.pictures import registered
from tests.vlm import tiny
from wmsd_core.bench.evaluation import EvaluateConfig, Evaluation
from wmsd_core.bench.generation import generate_videos
from wmsd_core.bench.judging import judge_videos, read_again
from wmsd_core.bench.scores import count_verdicts
from wmsd_core.frames import find
from wmsd_core.frames.view import view
from wmsd_core.store import query, reading
from wmsd_core.vlm import Question, prompts
from wmsd_core.vlm.local import LocalVLM
from wmsd_core.vlm.media import video_url
from wmsd_core.vlm.request_log import spent
from wmsd_core.vlm.server import ServerVLM
from wmsd_core.vlm.settings import LocalConfig, ServerConfig
from wmsd_core.worldtasks import GenerateConfig, generate_pairs, screen_frames

PYTHON = os.environ.get("WMSD_VLLM_PYTHON", "")
KEY = "a-key-for-this-test"
pytestmark = pytest.mark.skipif(not PYTHON, reason="needs a vLLM environment: make vllm-test")
TOLERANCE = 1e-3


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG: however this test ends, no server stays behind


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make(tmp_path_factory.mktemp("model") / "tiny-qwen3-vl")


@pytest.fixture(scope="module")
def base_url(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    log = tmp_path_factory.mktemp("server") / "log"
    command = [
        *(PYTHON, "-m", "vllm.entrypoints.openai.api_server", "--model", str(model), "--served-model-name", "tiny"),
        *("--host", "127.0.0.1", "--port", str(port), "--dtype", "float32", "--enforce-eager"),
        *("--max-model-len", "2048", "--max-num-seqs", "8", "--max-num-batched-tokens", "16384"),
        *("--limit-mm-per-prompt", '{"image": 8, "video": 1}', "--trust-request-mm-kwargs"),
    ]
    environment = os.environ | {
        "VLLM_API_KEY": KEY,
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_NO_USAGE_STATS": "1",
        "HF_HUB_OFFLINE": "1",
    }
    environment.pop("PYTHONPATH", None)
    with (
        log.open("w") as output,
        subprocess.Popen(
            command, stdout=output, stderr=output, env=environment, start_new_session=True, preexec_fn=_die_with_parent
        ) as process,
    ):
        try:
            deadline = time.monotonic() + 600
            while not _healthy(port):
                if process.poll() is not None or time.monotonic() > deadline:
                    pytest.fail(f"vLLM did not start:\n{log.read_text()[-4000:]}")
                time.sleep(0.5)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(30)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def _healthy(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health", timeout=2, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


@pytest.fixture
def vlm(base_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ServerVLM]:
    monkeypatch.setenv("WMSD_VLM_API_KEY", KEY)
    client = ServerVLM(
        ServerConfig(base_url=base_url, frames=8, encoding="png", least_mass=0, max_tokens=1024, attempts=1),
        tmp_path / "requests.sqlite",
    )
    yield client
    client.close()


@pytest.fixture(scope="module")
def local(model: Path) -> LocalVLM:
    return LocalVLM(LocalConfig(model=str(model), frames=8, least_mass=0, device="cpu"))


def picture(seed: int, height: int = 64, width: int = 64) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def as_sent(video: np.ndarray) -> np.ndarray:
    """A video after the JPEG that it is sent as, decoded as vLLM does."""
    parts = video_url(video).removeprefix("data:video/jpeg;base64,").split(",")
    return np.stack([np.asarray(Image.open(io.BytesIO(base64.b64decode(part)))) for part in parts])


def test_log_odds_of_pictures_and_videos_are_those_of_the_transformers_forward(vlm: ServerVLM, local: LocalVLM) -> None:
    plain = Question("a", "1", "Does the object fall? Answer with one word, yes or no.")
    turned = Question("b", "1", "Is anything broken? Answer yes or no.", good="no")
    ending = Question("c", "1", "Is it done? Answer yes or no.", end_state=True)
    still, wide = picture(0), picture(1, 96, 160)
    video, longer = (
        as_sent(np.stack([picture(n) for n in range(8)])),
        as_sent(np.stack([picture(n) for n in range(21)])),
    )
    questions = [plain, turned, plain, plain, turned, plain, ending]
    media = [still, still, wide, video, video, longer, longer]
    # A JPEG of a JPEG at the same quality changes a little: what the server sees of `longer` is what it is sent.
    server = vlm.log_odds(questions, media)
    seen = {id(video): as_sent(video), id(longer): as_sent(longer)}
    shown = [seen.get(id(medium), medium) for medium in media]
    ours = local.log_odds(questions[:6], shown[:6])
    differences = [abs(a.value - b.value) for a, b in zip(server, ours, strict=False)]
    print(
        f"largest difference of log-odds: {max(differences):.1e} nats; of mass: "
        f"{max(abs(a.mass - b.mass) for a, b in zip(server, ours, strict=False)):.1e}"
    )
    assert max(differences) < TOLERANCE
    assert all(abs(a.mass - b.mass) < TOLERANCE for a, b in zip(server, ours, strict=False))
    assert len({round(answer.value, 4) for answer in server}) >= 5  # they are not all alike for another reason
    assert server[0].value != pytest.approx(server[6].value, abs=TOLERANCE)


def test_the_last_frame_is_seen_where_the_end_counts(vlm: ServerVLM, local: LocalVLM) -> None:
    question = Question("c", "1", "Is it done? Answer yes or no.", end_state=True)
    sent = np.stack([picture(n) for n in range(8)])
    packing = ServerVLM(vlm.settings.model_copy(update={"encoding": "jpeg"}))
    server, ours = packing.log_odds([question], [sent])[0], local.log_odds([question], [as_sent(sent)])[0]
    plain = packing.log_odds([Question("c", "1", question.text)], [sent])[0]
    packing.close()
    assert abs(server.value - ours.value) < TOLERANCE
    assert abs(server.value - plain.value) > 10 * TOLERANCE


def test_screening_stores_the_models_own_verdicts(vlm: ServerVLM, local: LocalVLM, tmp_path: Path) -> None:
    store, ids = registered(tmp_path, 8)
    found = screen_frames(store, ids, vlm)
    assert (found.answered, found.unread, found.unusable) == (8, 0, 0)
    with reading(store) as con:
        stored = {row["frame_id"]: row["log_odds"] for row in query(con, "SELECT * FROM screenings")}
        frames = find(con, ids)
    question = prompts.question("screen")
    ours = local.log_odds([question] * 8, [view(frame) for frame in frames])
    assert (
        max(abs(stored[frame.frame_id] - answer.value) for frame, answer in zip(frames, ours, strict=True)) < TOLERANCE
    )
    assert len({round(value, 4) for value in stored.values()}) == 8


def test_generation_gets_answers_of_the_form_asked_for(vlm: ServerVLM, tmp_path: Path) -> None:
    store, ids = registered(tmp_path, 8)
    config = GenerateConfig(count=2, attempts=1)
    found = generate_pairs(store, ids, vlm, config, concurrency=vlm.concurrency)
    with reading(store) as con:
        reasons = query(con, "SELECT detail FROM rejections WHERE reason = 'unanswered'")
    print(f"of 8 frames: {found}")
    # Random weights write nonsense of the right form. What ran into the limit of tokens is said to have.
    assert found.frames + found.refused + found.without_pairs + found.unanswered == 8
    assert [row["detail"] for row in reasons if "cut off" not in row["detail"]] == []
    assert found.unanswered <= 4
    before = spent(tmp_path / "requests.sqlite").replies
    assert before == 8
    generate_pairs(store, ids, vlm, config, concurrency=vlm.concurrency)
    assert spent(tmp_path / "requests.sqlite").replies == before + found.unanswered


def test_an_evaluation_is_judged_once_and_every_verdict_is_recomputed_from_the_store(
    vlm: ServerVLM, tmp_path: Path
) -> None:
    path = build(tmp_path, until="generate", frames=24)
    evaluation = Evaluation(
        config=EvaluateConfig(tasks=6, steps=1), model="fade-weights", adapter="trained", judge=vlm.judge
    )
    fading: Any = FadeGenerator()
    generate_videos(path, tmp_path / "videos", fading, evaluation)
    first = judge_videos(path, vlm, evaluation)
    assert (first.asked, first.unread) == (6 * 3 * 3, 0), "tasks by arms by questions"
    before = spent(tmp_path / "requests.sqlite")
    assert judge_videos(path, vlm, evaluation).asked == 0 and spent(tmp_path / "requests.sqlite") == before
    with reading(path) as con:
        rows = query(con, "SELECT * FROM judgments")
    assert [read_again(row).value for row in rows] == [row["log_odds"] for row in rows]
    assert len({round(row["log_odds"], 3) for row in rows}) > 20, "the model sees what it judges"
    assert count_verdicts(path, evaluation).items == 6


def test_what_the_server_refuses_has_its_reason(vlm: ServerVLM) -> None:
    answer = vlm.log_odds([Question("long", "1", "yes or no? " * 2000)], [picture(0)])[0]
    assert not answer.valid
    assert "the server refused the request" in answer.reason
    assert "2048" in answer.reason


def test_mistakes_are_said_at_the_start(base_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WMSD_VLM_API_KEY", KEY)
    with pytest.raises(ValueError, match=r"does not serve 'other': set models\.server\.model to one of tiny"):
        ServerVLM(ServerConfig(base_url=base_url, model="other"))
    monkeypatch.delenv("WMSD_VLM_API_KEY")
    with pytest.raises(ValueError, match="WMSD_VLM_API_KEY"):
        ServerVLM(ServerConfig(base_url=base_url))
    monkeypatch.undo()
