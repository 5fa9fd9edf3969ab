"""A vision-language model of the transformers library, in this process: for one GPU, or for tests.

Any model with a chat template that `AutoModelForImageTextToText` loads. It does one thing at a time; where many images or
videos are to be judged, a server (`wmsd_core.vlm.server`) is several times as fast.
"""

import hashlib
import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForImageTextToText, AutoProcessor

from wmsd_core.arrays import Image, Video
from wmsd_core.vlm.answer import read
from wmsd_core.vlm.media import shown_frames
from wmsd_core.vlm.protocol import Answer, Evidence, LogOdds, Message, Question
from wmsd_core.vlm.schema import strict_schema
from wmsd_core.vlm.settings import LocalConfig
from wmsd_core.vlm.yes_no import read as read_evidence

_WORDS = {"yes": ("yes", "Yes"), "no": ("no", "No")}
_SAMPLES = 64
"""Places at which a weight file is looked at to recognise it. Reading all of it would take minutes at every start."""


@dataclass(frozen=True)
class _Turn:
    """A conversation for the chat template, and the times of the frames of its video, if it has one."""

    messages: list[dict[str, Any]]
    times: dict[str, Any] | None = None


class LocalVLM:
    """The model of `config`, bfloat16 on a GPU and float32 on a CPU."""

    def __init__(self, config: LocalConfig) -> None:
        """Loads weights and processor.

        Raises:
            ValueError: no model is named, it cannot be loaded, or it has no single token for yes and for no.
        """
        if not config.model:
            raise ValueError("name the model: models.local.model=FOLDER, or its name on the hub")
        self._config = config
        self.concurrency = 1
        gpu = torch.cuda.is_available() if config.device == "auto" else config.device == "cuda"
        dtype = torch.bfloat16 if gpu else torch.float32
        options = {"revision": config.commit} if config.commit else {}
        try:
            self._processor: Any = AutoProcessor.from_pretrained(config.model, **options)
            model: Any = AutoModelForImageTextToText.from_pretrained(config.model, dtype=dtype, **options)
        except (OSError, ValueError) as error:
            told = " ".join(str(error).split())[:300]
            raise ValueError(f"the model '{config.model}' cannot be loaded with transformers: {told}") from error
        self._model = model.eval().requires_grad_(False).to("cuda" if gpu else "cpu")
        self._processor.tokenizer.padding_side = "left"  # the answer begins at the last position, in every row
        self._ids = self._labels()
        self._working = threading.Lock()
        folder = Path(config.model)
        if folder.is_dir():
            place, made_by = folder.name, _recognised(folder)  # where the folder lies makes no difference
        else:
            place, made_by = config.model, getattr(model.config, "_commit_hash", None) or config.commit
        weights, placed = f"transformers/{place}@{made_by[:12]}", config.model_copy(update={"model": place})
        self.name = f"{weights}#{placed.digest()[:8]}"
        self.judge = f"{weights}#{placed.judging().digest()[:8]}"

    @torch.inference_mode()
    def log_odds(self, questions: Sequence[Question], media: Sequence[Image | Video]) -> list[LogOdds]:
        """The model's belief in the good answers, in batches of one forward pass each."""
        turns = [self._question(question, medium) for question, medium in zip(questions, media, strict=True)]
        answers: list[LogOdds] = []
        with self._working:
            for start in range(0, len(turns), self._config.batch):
                inputs = self._inputs(turns[start : start + self._config.batch])
                last = self._model(**inputs, logits_to_keep=1).logits[:, -1].float()
                rows = torch.log_softmax(last, dim=-1).cpu()
                batch = slice(start, start + self._config.batch)
                for question, medium, row in zip(questions[batch], media[batch], rows, strict=True):
                    answers.append(self._read(question, row, self._shown(medium)))
        return answers

    @torch.inference_mode()
    def complete(self, messages: Sequence[Message], schema: type[Answer], *, seed: int) -> Answer:
        """Answers in the form of `schema`, which is written into the last message: nothing forces the model to keep to it.

        Raises:
            Refused: the text declines.
            ValueError: cut off, no JSON, or another form.
        """
        form = json.dumps(strict_schema(schema), ensure_ascii=False)
        wish = f"\n\nAnswer with one JSON object of this JSON schema, and nothing else:\n{form}"
        said: list[dict[str, Any]] = []
        for message in messages:
            text = message.text + (wish if message is messages[-1] else "")
            pictures = [{"type": "image", "image": image} for image in message.images]
            said.append({"role": message.role, "content": [*pictures, {"type": "text", "text": text}]})
        sampling = {"do_sample": True, "temperature": self._config.temperature, "top_p": 1.0, "top_k": 0}
        with self._working, torch.random.fork_rng(self._devices()):
            torch.manual_seed(seed)
            inputs = self._inputs([_Turn(said)])
            written = self._model.generate(
                **inputs,
                max_new_tokens=self._config.max_tokens,
                **(sampling if self._config.temperature else {"do_sample": False}),
            )[0, inputs["input_ids"].shape[1] :]
        if len(written) == self._config.max_tokens and written[-1] not in self._ends():
            raise ValueError("the answer was cut off by the limit of tokens (models.local.max_tokens)")
        return read(self._processor.tokenizer.decode(written, skip_special_tokens=True), schema)

    def _question(self, question: Question, medium: Image | Video) -> _Turn:
        text = {"type": "text", "text": question.text}
        if medium.ndim == 3:
            return _Turn([{"role": "user", "content": [{"type": "image", "image": medium}, text]}])
        at = shown_frames(len(medium), self._config.frames)
        frames = medium if len(at) == len(medium) else medium[at]
        last = [{"type": "image", "image": medium[-1]}] if question.end_state else []
        fps = question.fps or self._config.fps
        times = {"fps": fps, "frames_indices": at, "total_num_frames": len(medium), "duration": len(medium) / fps}
        return _Turn([{"role": "user", "content": [{"type": "video", "video": frames}, *last, text]}], times)

    def _inputs(self, turns: Sequence[_Turn]) -> dict[str, Tensor]:
        times = [turn.times for turn in turns if turn.times]
        found = self._processor.apply_chat_template(
            [turn.messages for turn in turns],
            tokenize=True,
            add_generation_prompt=True,
            return_dict=True,
            return_tensors="pt",
            enable_thinking=False,
            processor_kwargs={
                "padding": True,
                **({"do_sample_frames": False, "video_metadata": times} if times else {}),
            },
        )
        return found.to(self._model.device)

    def _read(self, question: Question, row: Tensor, shown: tuple[int, int, int]) -> LogOdds:
        yes, no = (tuple(str(token) for token in self._ids[word]) for word in ("yes", "no"))
        return read_evidence(
            Evidence(
                request="",
                listed={str(token): float(row[token]) for tokens in self._ids.values() for token in tokens},
                yes=yes,
                no=no,
                exact=True,
                good=question.good,
                least_mass=self._config.least_mass,
                said=self._processor.tokenizer.decode([int(row.argmax())]),
                shown=shown,
            )
        )

    def _shown(self, medium: Image | Video) -> tuple[int, int, int]:
        if medium.ndim == 3:
            return 1, *medium.shape[:2]
        return len(shown_frames(len(medium), self._config.frames)), *medium.shape[1:3]

    def _labels(self) -> dict[str, list[int]]:
        """The tokens that say yes and no after the chat template's last characters: words that add exactly one there."""
        ask = [{"role": "user", "content": [{"type": "text", "text": "?"}]}]
        prompt: str = self._processor.apply_chat_template(
            ask, tokenize=False, add_generation_prompt=True, enable_thinking=False
        )
        tail = self._encoded(prompt)
        found: dict[str, list[int]] = {}
        for label, words in _WORDS.items():
            longer = [self._encoded(prompt + word) for word in words]
            found[label] = [ids[-1] for ids in longer if len(ids) == len(tail) + 1 and ids[:-1] == tail]
            if not found[label]:
                raise ValueError(
                    f"'{self._config.model}' has no single token for {' or '.join(words)}, so it cannot judge"
                )
        return found

    def _encoded(self, text: str) -> list[int]:
        return self._processor.tokenizer.encode(text, add_special_tokens=False)

    def _ends(self) -> list[int]:
        found = self._model.generation_config.eos_token_id
        return found if isinstance(found, list) else [found]

    def _devices(self) -> list[int]:
        return [self._model.device.index or 0] if self._model.device.type == "cuda" else []


def _recognised(folder: Path) -> str:
    """SHA-256 over configuration, template and weights of a folder, of weights by size and by samples."""
    found = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix in (".json", ".jinja", ".txt"):
            found.update(path.name.encode() + path.read_bytes())
        elif path.suffix == ".safetensors":
            size = path.stat().st_size
            found.update(f"{path.name} {size}".encode())
            with path.open("rb") as file:
                for sample in range(_SAMPLES):
                    file.seek(size * sample // _SAMPLES)
                    found.update(file.read(4096))
    return found.hexdigest()
