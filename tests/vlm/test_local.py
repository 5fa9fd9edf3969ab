"""The model in this process, on a tiny Qwen3-VL that was saved and is loaded from disk."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import BaseModel
from transformers import AutoModelForImageTextToText, AutoProcessor

from tests.vlm import tiny
from wmsd_core.models import ModelsConfig, vlm
from wmsd_core.vlm.local import LocalVLM
from wmsd_core.vlm.protocol import Message, Question, Refused
from wmsd_core.vlm.settings import LocalConfig
from wmsd_core.worldtasks import TaskPairs

PLAIN = Question("a", "1", "Does the object fall? Answer yes or no.")
TURNED = Question("a", "1", PLAIN.text, good="no")
ENDING = Question("a", "1", PLAIN.text, end_state=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="module")
def model(folder: Path) -> LocalVLM:
    return LocalVLM(LocalConfig(model=str(folder), frames=8, fps=4, least_mass=0, batch=3, device="cpu"))


def picture(seed: int, height: int = 64, width: int = 64) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_log_odds_are_those_of_one_forward_pass_through_the_model_itself(folder: Path, model: LocalVLM) -> None:
    processor = AutoProcessor.from_pretrained(folder)
    network = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()
    prompt = processor.apply_chat_template(
        [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": PLAIN.text}]}],
        tokenize=False,
        add_generation_prompt=True,
        enable_thinking=False,
    )
    with torch.no_grad():
        logits = network(**processor(text=[prompt], images=[picture(0)], return_tensors="pt")).logits[0, -1].double()
    number = processor.tokenizer.convert_tokens_to_ids
    yes, no = (torch.logsumexp(logits[[number(a), number(b)]], 0) for a, b in (("yes", "Yes"), ("no", "No")))
    found = model.log_odds([PLAIN, TURNED], [picture(0)] * 2)
    assert found[0].value == pytest.approx(float(yes - no), abs=1e-4)
    assert found[1].value == pytest.approx(float(no - yes), abs=1e-4)
    mass = float((yes.exp() + no.exp()) / logits.exp().sum())
    assert found[0].mass == pytest.approx(mass, abs=1e-5)


def test_a_batch_of_pictures_and_videos_of_any_size_is_as_one_by_one(model: LocalVLM) -> None:
    video = np.stack([picture(seed) for seed in range(12)])
    media = [picture(1), picture(2, 48, 96), video, video, picture(3, 128, 64)]
    questions = [PLAIN, TURNED, PLAIN, ENDING, PLAIN]
    together = model.log_odds(questions, media)
    alone = [model.log_odds([question], [medium])[0] for question, medium in zip(questions, media, strict=True)]
    assert [answer.value for answer in together] == pytest.approx([answer.value for answer in alone], abs=1e-4)
    assert len({round(answer.value, 3) for answer in together}) == 5  # the last frame alone is seen as well


def test_the_times_of_the_frames_are_seen(folder: Path, model: LocalVLM) -> None:
    video = np.stack([picture(seed) for seed in range(12)])
    slow = LocalVLM(LocalConfig(model=str(folder), frames=8, fps=0.5, least_mass=0, device="cpu"))
    assert slow.log_odds([PLAIN], [video])[0].value != pytest.approx(
        model.log_odds([PLAIN], [video])[0].value, abs=1e-4
    )


def test_little_mass_is_no_verdict(folder: Path) -> None:
    certain = LocalVLM(LocalConfig(model=str(folder), least_mass=1.0, device="cpu"))
    answer = certain.log_odds([PLAIN], [picture(0)])[0]
    assert answer.verdict is None
    assert "p(yes) + p(no)" in answer.reason


class Empty(BaseModel):
    count: int = 7


def test_a_written_answer_is_read_and_validated(tmp_path: Path) -> None:
    chain = {"Ċ": "{", "{": "}", "}": "<|im_end|>"}
    # Its last token decides what it says next: an empty object.
    writer = LocalVLM(LocalConfig(model=str(tiny.make(tmp_path / "m", after=chain)), device="cpu", max_tokens=9))
    messages = [Message("system", "You are kind."), Message("user", "How many?", (picture(0),))]
    assert writer.complete(messages, Empty, seed=0).count == 7
    with pytest.raises(ValueError, match="neither pairs nor a refusal"):
        writer.complete(messages, TaskPairs, seed=0)


def test_prose_that_declines_is_a_refusal(tmp_path: Path) -> None:
    said = ["Ċ", "I", "Ġ", "w", "o", "n", "'", "t", "<|im_end|>"]
    chain = dict(pairwise(said))
    writer = LocalVLM(LocalConfig(model=str(tiny.make(tmp_path / "m", after=chain)), device="cpu", max_tokens=9))
    with pytest.raises(Refused) as raised:
        writer.complete([Message("user", "How many?", (picture(0),))], Empty, seed=0)
    assert raised.value.reason == "I won't"


def test_what_is_no_answer_is_a_value_error(folder: Path) -> None:
    short = LocalVLM(LocalConfig(model=str(folder), device="cpu", max_tokens=5))
    with pytest.raises(ValueError, match="cut off by the limit of tokens"):
        short.complete([Message("user", "How many?", (picture(0),))], Empty, seed=0)


def test_the_same_seed_writes_the_same_and_disturbs_nobody(tmp_path: Path) -> None:
    brief = tiny.make(tmp_path / "brief", leaning={"<|im_end|>": 5.0, "yes": 7.0, "no": 7.0})
    writer = LocalVLM(LocalConfig(model=str(brief), device="cpu", temperature=1.0))
    state = torch.random.get_rng_state()
    said: list[str] = []
    for seed in (3, 3, 5):
        with pytest.raises(ValueError, match="no JSON object") as raised:
            writer.complete([Message("user", "How many?", (picture(0),))], Empty, seed=seed)
        said.append(str(raised.value))
    assert said[0] == said[1] != said[2]
    assert torch.equal(torch.random.get_rng_state(), state)  # whoever else draws numbers draws the same ones


def test_the_name_tells_weights_apart(tmp_path: Path) -> None:
    names = [
        LocalVLM(LocalConfig(model=str(tiny.make(tmp_path / str(n) / "tiny", seed=seed)), device="cpu")).name
        for n, seed in enumerate((0, 0, 1))
    ]
    assert names[0].startswith("transformers/tiny@")
    assert names[0] == names[1] != names[2]


def test_models_are_found_by_name_and_mistakes_have_a_cure(tmp_path: Path, folder: Path) -> None:
    def using(weights: Path) -> ModelsConfig:
        return ModelsConfig(local=LocalConfig(model=str(weights), device="cpu"))

    assert vlm(using(folder), "transformers") is vlm(using(folder), "transformers")
    with pytest.raises(ValueError, match=r"models\.local\.model"):
        vlm(ModelsConfig(), "transformers")
    with pytest.raises(ValueError, match="cannot be loaded"):
        vlm(using(tmp_path), "transformers")
    with pytest.raises(ValueError, match=r"choose from miniature, vllm, transformers"):
        vlm(ModelsConfig(), "gpt")
