"""Where the curves of a run go besides `metrics.jsonl`: TensorBoard, Weights & Biases or Trackio.

Sample videos are animated GIFs in `RUN/samples`, whatever the tracker: the trackers' own encoders need further packages.
"""

import importlib
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Protocol

from PIL import Image

from wmsd_core.arrays import Video

Tracker = Literal["tensorboard", "wandb", "trackio", "none"]


class MissingPackage(ValueError):
    """The tracker that was asked for is not installed."""


class Tracking(Protocol):
    """What a run reports to."""

    def log(self, step: int, values: dict[str, float]) -> None: ...

    def video(self, step: int, name: str, gif: Path) -> None: ...

    def close(self) -> None: ...


def write_sample(folder: Path, step: int, frames: Video) -> Path:
    """Writes a video as `samples/step-XXXXXXXX.gif` in the run's folder."""
    pictures = [Image.fromarray(frame) for frame in frames]
    path = folder / "samples" / f"step-{step:08d}.gif"
    path.parent.mkdir(exist_ok=True)
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=125, loop=0)
    return path


def track(tracker: Tracker, folder: Path, *, run: str, settings: dict[str, Any], resumed_at: int) -> Tracking:
    """The tracker of a run; what was reported of steps after `resumed_at` will be reported again.

    Raises:
        ValueError: the tracker's package is not installed; the message says how to install it.
    """
    match tracker:
        case "none":
            return _Nothing()
        case "tensorboard":
            return _TensorBoard(folder / "tensorboard", resumed_at)
        case "wandb":
            module = _package("wandb")
            return _Online(
                module.init(project="wmsd", id=run, resume="allow", dir=folder, config=settings), module.Video
            )
        case "trackio":
            module = _package("trackio")
            return _Online(module.init(project="wmsd", name=run, resume="allow", config=settings), module.Video)


class Cautious:
    """A tracker that cannot stop a training: what fails in it is told once, and it is asked for nothing more of the kind."""

    def __init__(self, make: Callable[[], Tracking], warn: Callable[[str], None]) -> None:
        """Makes the tracker.

        Raises:
            ValueError: its package is not installed.
        """
        self._warn = warn
        self._failed: set[str] = set()
        self._tracking: Tracking = _Nothing()
        with self._guarded("the tracker"):
            self._tracking = make()

    def log(self, step: int, values: dict[str, float]) -> None:
        with self._guarded("the tracker"):
            self._tracking.log(step, values)

    def sample(self, folder: Path, step: int, video: Callable[[], Video | None]) -> None:
        """Writes a sample video and reports it, if there is one."""
        with self._guarded("a sample video"):
            if (frames := video()) is not None:
                self._tracking.video(step, "rollout", write_sample(folder, step, frames))

    def close(self) -> None:
        with self._guarded("the tracker"):
            self._tracking.close()

    @contextmanager
    def _guarded(self, what: str) -> Generator[None]:
        try:
            yield
        except MissingPackage:
            raise
        except Exception as error:
            if what not in self._failed:
                self._failed.add(what)
                self._warn(f"{what} failed, and training goes on without it: {type(error).__name__}: {error}"[:500])


class _TensorBoard:
    def __init__(self, folder: Path, resumed_at: int) -> None:
        tensorboard = importlib.import_module("torch.utils.tensorboard")
        self._writer: Any = tensorboard.SummaryWriter(str(folder), purge_step=resumed_at + 1)

    def log(self, step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)
        self._writer.flush()

    def video(self, step: int, name: str, gif: Path) -> None:
        """In place of a picture, as TensorBoard's own `add_video` does."""
        summary: Any = importlib.import_module("tensorboard.compat.proto.summary_pb2").Summary
        with Image.open(gif) as shown:
            width, height = shown.size
        image = summary.Image(encoded_image_string=gif.read_bytes(), colorspace=3, height=height, width=width)
        value = summary.Value(tag=name, image=image)
        self._writer._get_file_writer().add_summary(summary(value=[value]), step)

    def close(self) -> None:
        self._writer.close()


class _Online:
    """Weights & Biases and Trackio, which share an interface."""

    def __init__(self, run: Any, video: Any) -> None:
        self._run, self._video = run, video

    def log(self, step: int, values: dict[str, float]) -> None:
        self._run.log(values, step=step)

    def video(self, step: int, name: str, gif: Path) -> None:
        self._run.log({name: self._video(str(gif), format="gif")}, step=step)

    def close(self) -> None:
        self._run.finish()


class _Nothing:
    def log(self, step: int, values: dict[str, float]) -> None: ...

    def video(self, step: int, name: str, gif: Path) -> None: ...

    def close(self) -> None: ...


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise MissingPackage(f"launch.tracker={name} needs its package: pip install {name}") from error
