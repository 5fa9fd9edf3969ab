"""A vision-language model behind an OpenAI-compatible server, vLLM above all.

What matters for the answers, and is therefore always sent: thinking off, structured output by JSON schema, the frames of a
video with their times, and for yes/no questions one token at temperature 0 with the log-probabilities of exactly the
tokens that say yes and no. vLLM gives these whatever their rank; of other servers the likeliest twenty are read.
"""

import asyncio
import hashlib
import json
import random
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path, PurePath
from typing import Any

from wmsd_core.arrays import Image, Video
from wmsd_core.vlm.background import Background, all_of
from wmsd_core.vlm.breaker import ServerUnusable
from wmsd_core.vlm.connection import Connection, Unanswered
from wmsd_core.vlm.media import fingerprint, image_url, shown_frames, video_url
from wmsd_core.vlm.probe import QUESTION, Probe, picture
from wmsd_core.vlm.protocol import Answer, Evidence, LogOdds, Message, Question, Refused
from wmsd_core.vlm.reply import Reply
from wmsd_core.vlm.request_log import RequestLog
from wmsd_core.vlm.schema import strict_schema
from wmsd_core.vlm.settings import ServerConfig
from wmsd_core.vlm.yes_no import PROCESSED, Labels, read

_WORDS = {"yes": ("yes", "Yes"), "no": ("no", "No")}
_LISTED = 20
"""The most candidates that vLLM lists unless told otherwise."""

Part = dict[str, Any]
Pack = Callable[[], str]


class ServerVLM:
    """The model that the server of `config` serves. Its functions may be called from several threads at once.

    `requests` is the file of the log of answers; None keeps none beyond this object's life. `sleep`, `clock` and `draw`
    are replaced in tests.
    """

    def __init__(
        self,
        config: ServerConfig,
        requests: Path | None = None,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        """Asks the server once what it serves.

        Raises:
            ValueError: it does not answer, wants another key, or does not serve the model; the message says what to do.
        """
        self.settings = self._config = config
        self.concurrency = config.concurrency
        self._log = RequestLog(requests)
        self._background = Background("vlm")
        self._connection = self._background.run(_connect(config, self._log, sleep=sleep, clock=clock, draw=draw))
        try:
            self._model, root = self._choose(self._background.run(self._connection.served()))
            self._version = self._background.run(self._connection.version())
            self._labels = self._background.run(self._find_labels())
        except (ServerUnusable, ValueError) as error:
            self.close()
            raise ValueError(str(error)) from None
        weights = f"vllm/{self._model}={root}{'@' if config.commit else ''}{config.commit}"
        self.name = f"{weights}#{config.digest()[:8]}"
        self._answers = f"{weights} {self._version}#{config.judging().digest()[:8]}"
        """Who answers yes/no questions, as far as it can be told without a question."""
        self._probing = threading.Lock()
        self._comparing = asyncio.Lock()
        self._probe: Probe | None = None
        self._remembered = False

    @property
    def judge(self) -> str:
        """Who answers yes/no questions: model, version of the server, what is shown how, and what it says of the probe.

        The probe is remembered with the answers. A server that is not asked anything new need not answer it again; of one
        that is, it is compared with what was remembered.

        Raises:
            ValueError: the server does not answer, or sends no probabilities that a belief can be read from.
        """
        with self._probing:
            if self._probe is None:
                try:
                    self._probe, self._remembered = self._background.run(self._met())
                except (ServerUnusable, Unanswered) as error:
                    raise ValueError(f"{self._config.base_url} does not answer the probe of a judge: {error}") from None
        return f"{self._answers} {self._probe}"

    def complete(self, messages: Sequence[Message], schema: type[Answer], *, seed: int) -> Answer:
        """Answers in the form of `schema`; a request that was answered before is not sent again.

        Raises:
            Refused: the model or the server declined; that is remembered as an answer is.
            ValueError: no answer of this form: cut off, broken, or lost after every attempt.
            ServerUnusable: the server is away, or will have nothing to do with us.
        """
        return self._background.run(self._complete(messages, schema, seed))

    def log_odds(self, questions: Sequence[Question], media: Sequence[Image | Video]) -> list[LogOdds]:
        """The model's belief in the good answers. Questions about one and the same array are asked one after another, so
        that the server finds the picture or video in its cache.

        Raises:
            ServerUnusable: the server is away, or will have nothing to do with us.
        """
        groups: dict[int, list[int]] = {}
        for row, (_, medium) in enumerate(zip(questions, media, strict=True)):
            groups.setdefault(id(medium), []).append(row)
        work = [self._look(media[rows[0]], [questions[row] for row in rows]) for rows in groups.values()]
        found = self._background.run(all_of(work))
        answers = [LogOdds.unread("not asked")] * len(questions)
        for rows, part in zip(groups.values(), found, strict=True):
            for row, answer in zip(rows, part, strict=True):
                answers[row] = answer
        return answers

    def close(self) -> None:
        """Closes connections, log and thread."""
        self._background.run(self._connection.close())
        self._background.close()
        self._log.close()

    async def _complete(self, messages: Sequence[Message], schema: type[Answer], seed: int) -> Answer:
        packed: dict[str, Pack] = {}
        said: list[Part] = []
        for message in messages:
            images = [await self._image(image, packed) for image in message.images]
            said.append({"role": message.role, "content": [*images, {"type": "text", "text": message.text}]})
        form = {"name": schema.__name__, "schema": strict_schema(schema), "strict": True}
        body = {
            "messages": said,
            "response_format": {"type": "json_schema", "json_schema": form},
            "max_tokens": self._config.max_tokens,
            "temperature": self._config.temperature,
            "seed": seed,
        }
        async with self._connection.slots:
            key = self._key(body, schema.__name__, self.name)
            if before := self._log.find(key):
                try:
                    return self._cleaned(before.read(schema))
                except Refused:
                    raise
                except ValueError:  # an older reader took it for an answer
                    pass
            reply = await self._ask(body, packed, schema.__name__)
            try:
                read = reply.read(schema)
            except Refused as refused:
                self._log.keep(key, schema.__name__, self._model, reply)
                raise Refused(self._connection.cleaned(refused.reason)) from None
            except ValueError as error:
                raise ValueError(self._connection.cleaned(str(error))) from None
            answer = self._cleaned(read)
            if answer != read:  # JSON can spell the key in escapes, which only show once it is read
                reply = reply.model_copy(update={"text": answer.model_dump_json()})
            self._log.keep(key, schema.__name__, self._model, reply)
            return answer

    def _cleaned(self, answer: Answer) -> Answer:
        return type(answer).model_validate(self._connection.cleaned(answer.model_dump(mode="json")))

    async def _look(self, medium: Image | Video, questions: Sequence[Question]) -> list[LogOdds]:
        """Asks all questions about one picture or video. One slot for all of them: what is packed is packed once, and no
        more of it is in memory than there are slots."""
        async with self._connection.slots:
            packed: dict[str, Pack] = {}
            shown, times = await self._show(medium, questions[0].fps or self._config.fps, packed)
            last = [await self._image(medium[-1], packed)] if medium.ndim == 4 and self._config.video == "video" else []
            answers: list[LogOdds] = []
            for question in questions:
                text = {"type": "text", "text": question.text}
                content = [*shown, *(last if question.end_state else []), text]
                answers.append(await self._judge(question, content, times, packed, self._frames_shown(medium)))
            return answers

    async def _judge(
        self,
        question: Question,
        content: list[Part],
        times: Part,
        packed: dict[str, Pack],
        shown: tuple[int, int, int],
    ) -> LogOdds:
        body = self._yes_no(content) | times
        key = self._key(body, question.asked, self._answers)
        reply = self._log.find(key)
        if reply:
            return self._read(reply, question, key, shown)
        try:
            await self._still_the_same()
            reply = await self._ask(body, packed, question.asked)
        except Unanswered as error:
            return LogOdds.unread(str(error))
        answer = self._read(reply, question, key, shown)
        if answer.valid:
            self._log.keep(key, question.asked, self._model, reply)
        return answer

    def _yes_no(self, content: list[Part]) -> Part:
        # A list of the likeliest is asked for as well: older servers cut the answer to that length.
        exact = {"logprob_token_ids": self._ids, "return_tokens_as_token_ids": True} if self._labels else {}
        return {
            "messages": [{"role": "user", "content": content}],
            "max_tokens": 1,
            "temperature": 0.0,
            "logprobs": True,
            "top_logprobs": _LISTED,
            **exact,
        }

    def _read(self, reply: Reply, question: Question, key: bytes, shown: tuple[int, int, int]) -> LogOdds:
        if reply.refusal:
            return LogOdds.unread(f"the model refused: {self._connection.cleaned(reply.refusal)[:100]}")
        if not reply.listed:
            return LogOdds.unread("the server sent no log-probabilities")
        labels = self._labels or Labels.by_spelling(reply.listed)
        return read(
            Evidence(
                request=key.hex(),
                listed=reply.listed,
                yes=tuple(sorted(labels.yes)),
                no=tuple(sorted(labels.no)),
                exact=labels.exact,
                good=question.good,
                least_mass=self._config.least_mass,
                said=self._connection.cleaned(reply.text) or "nothing",
                shown=shown,
            )
        )

    async def _met(self) -> tuple[Probe, bool]:
        """What the probe gave, and whether that is remembered and not from now."""
        body, packed = await self._probe_request()
        key = self._key(body, QUESTION.asked, self._answers)
        before = self._log.find(key)
        reply = before or await self._ask(body, packed, QUESTION.asked)
        found = self._probed(reply, key)
        self._log.keep(key, QUESTION.asked, self._model, reply)
        return found, before is not None

    async def _still_the_same(self) -> None:
        """Puts the remembered probe once more, before anything else is asked.

        Raises:
            ServerUnusable: it gives something else.
        """
        async with self._comparing:
            if not self._remembered or self._probe is None:
                return
            body, packed = await self._probe_request()
            now = self._probed(await self._ask(body, packed, QUESTION.asked), self._key(body, QUESTION.asked, ""))
            if not now.agrees(self._probe):
                raise ServerUnusable(
                    f"{self._config.base_url} is another judge than the one whose answers are remembered: it now gives "
                    f"{now} where it gave {self._probe}. It serves other weights, or sees pictures in another size; name it "
                    "as another judge by models.server.commit=NAME, or bring the earlier one back"
                )
            self._remembered = False

    async def _probe_request(self) -> tuple[Part, dict[str, Pack]]:
        packed: dict[str, Pack] = {}
        shown = await self._image(picture(), packed)
        return self._yes_no([shown, {"type": "text", "text": QUESTION.text}]), packed

    def _probed(self, reply: Reply, key: bytes) -> Probe:
        answer = self._read(reply, QUESTION, key, (1, *picture().shape[:2]))
        if answer.reason == PROCESSED:
            raise ServerUnusable(PROCESSED)
        return Probe(answer.value if answer.valid else None, reply.usage.prompt_tokens)

    def _frames_shown(self, medium: Image | Video) -> tuple[int, int, int]:
        if medium.ndim == 3:
            return 1, *medium.shape[:2]
        return len(shown_frames(len(medium), self._config.frames)), *medium.shape[1:3]

    async def _show(self, medium: Image | Video, fps: float, packed: dict[str, Pack]) -> tuple[list[Part], Part]:
        """The parts that show a picture or video, and what the server must be told about them."""
        if medium.ndim == 3:
            return [await self._image(medium, packed)], {}
        at = shown_frames(len(medium), self._config.frames)
        frames = medium if len(at) == len(medium) else medium[at]
        if self._config.video == "images":
            return [await self._image(frame, packed) for frame in frames], {}
        name = f"video {await asyncio.to_thread(fingerprint, frames)}"
        packed[name] = _once(lambda: video_url(frames))
        video = {
            # All of them are set: vLLM drops one of num_frames and fps where only the other is given, and takes the times
            # from the indices.
            "num_frames": -1,
            "fps": fps,
            "frames_indices": at,
            "total_num_frames": len(medium),
            "duration": len(medium) / fps,
        }
        return [{"type": "video_url", "video_url": {"url": name}}], {"media_io_kwargs": {"video": video}}

    async def _image(self, image: Image, packed: dict[str, Pack]) -> Part:
        name = f"{self._config.encoding} {await asyncio.to_thread(fingerprint, image)}"
        packed[name] = _once(lambda: image_url(image, self._config.encoding))
        return {"type": "image_url", "image_url": {"url": name}}

    def _key(self, body: Part, purpose: str, reader: str) -> bytes:
        """Identity of a request: all that is sent, with the hash of each picture in its place, and by whom it is read."""
        text = json.dumps([reader, purpose, body], sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).digest()

    async def _ask(self, body: Part, packed: dict[str, Pack], purpose: str) -> Reply:
        """Sends a request, its pictures put where their names stand."""
        messages = await asyncio.to_thread(_with_media, body["messages"], packed)
        thinking = {"chat_template_kwargs": {"enable_thinking": False}}
        sent = {**body, **thinking, "model": self._model, "messages": messages}
        return await self._connection.ask(sent, purpose, self._model)

    def _choose(self, served: dict[str, str]) -> tuple[str, str]:
        """The served model that is meant: its name there, and that of its weights."""
        model = self._config.model or (next(iter(served)) if len(served) == 1 else "")
        if model not in served:
            wanted = f"does not serve '{model}'" if model else "serves several models"
            raise ValueError(
                f"{self._config.base_url} {wanted}: set models.server.model to one of {', '.join(served) or '(none)'}, or "
                "start the server with --served-model-name"
            )
        root = served[model]
        return model, PurePath(root).name if root.startswith(("/", ".")) else root

    async def _find_labels(self) -> Labels | None:
        """The tokens that say yes and no after the chat template's last characters; None where the server cannot tell.

        A word counts if it adds exactly one token there: how a word begins depends on what stands before it.
        """
        self._ids: list[int] = []
        ask = {
            "model": self._model,
            "messages": [{"role": "user", "content": "?"}],
            "add_generation_prompt": True,
            "chat_template_kwargs": {"enable_thinking": False},
        }
        prompt = await self._connection.post("/tokenize", ask)
        if not isinstance(prompt, dict) or "tokens" not in prompt:
            return None
        text = await self._connection.post("/detokenize", {"model": self._model, "tokens": prompt["tokens"]})
        if not isinstance(text, dict) or not isinstance(text.get("prompt"), str):
            return None
        tail = await self._tokens(text["prompt"])
        ids: dict[str, list[int]] = {"yes": [], "no": []}
        for label, words in _WORDS.items():
            for word in words:
                longer = await self._tokens(text["prompt"] + word)
                if len(longer) == len(tail) + 1 and longer[:-1] == tail:
                    ids[label].append(longer[-1])
        if not ids["yes"] or not ids["no"]:
            return None
        self._ids = [*ids["yes"], *ids["no"]]
        yes, no = (frozenset(f"token_id:{token}" for token in ids[label]) for label in ("yes", "no"))
        return Labels(yes, no, exact=True)

    async def _tokens(self, text: str) -> list[int]:
        ask = {"model": self._model, "prompt": text, "add_special_tokens": False}
        found = await self._connection.post("/tokenize", ask)
        return found["tokens"] if isinstance(found, dict) and "tokens" in found else []


async def _connect(config: ServerConfig, log: RequestLog, **seams: Any) -> Connection:
    return Connection(config, log, **seams)


def _with_media(messages: list[Part], packed: dict[str, Pack]) -> list[Part]:
    return [message | {"content": [_filled(part, packed) for part in message["content"]]} for message in messages]


def _filled(part: Part, packed: dict[str, Pack]) -> Part:
    kind = part["type"]
    return part if kind == "text" else {"type": kind, kind: {"url": packed[part[kind]["url"]]()}}


def _once(pack: Pack) -> Pack:
    """`pack`, called when it is needed and not a second time."""
    kept: list[str] = []

    def packed() -> str:
        if not kept:
            kept.append(pack())
        return kept[0]

    return packed
