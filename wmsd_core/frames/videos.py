"""Videos: frames are taken by scene and by interval, and written beside the store as JPEG files.

A frame's file is named by the SHA-256 of the video and its time, so a rerun writes only what is missing. A list of the
frames that were taken, per settings, is written last: a video that has one is not decoded again.
"""

import hashlib
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import cv2
import numpy as np
from pydantic import Field

from wmsd_core.arrays import Image, Video
from wmsd_core.config import Config
from wmsd_core.files import replacing
from wmsd_core.frames.content import opened
from wmsd_core.frames.entry import Entry, Found, RefusedInput, Watched
from wmsd_core.frames.formats import kind_of
from wmsd_core.frames.refusal import Refusal, failed
from wmsd_core.frames.scenes import change, cuts, is_blank
from wmsd_core.frames.spread import Spread

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

Report = Callable[[str], None]
"""Called as often as the work likes, with a sentence that says where it is."""

FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpeg,mpegvideo,mpegts,asf,flv,ogg,mxf"
"""What FFmpeg may take a file for: playlists and the like would have it open other files."""
QUALITY = 95
"""Of the JPEG files, with full colour resolution: the damage is far below that of the video's own compression."""
LONGEST = 16_000
"""Pixels of a side, and less than a JPEG can have after pixels of up to 1:4 were made square."""
WIDTH = 48
"""Pixels: pictures are averaged to this width for the search for cuts."""
TALLEST = 8 * WIDTH
"""Pixels of height of such a picture: of a film that is a thin line, more would show nothing either."""
APART = 0.5
"""Seconds between two frames after which neither motion nor a flash explains that the picture changes: slides."""
_CLOCK = 1_000_000
"""FFmpeg's unit of times of a whole file, AV_TIME_BASE, in a second."""
CANDIDATES = 8
"""Frames of a scene that are held while it lasts."""


class VideoConfig(Config):
    """Which frames of a video are taken. Of one without a scene that is long enough, the first."""

    revision: ClassVar[int] = 2

    mode: Literal["scenes", "interval", "both"] = "scenes"
    """One frame of each scene, one every so many seconds, or both."""
    seconds: float = Field(default=10.0, gt=0)
    """Time between two frames that are taken by interval."""
    max_frames: int = Field(default=200, ge=1)
    """Most frames of one video; of more, every second, fourth, ... is taken, so that they are spread over all of it."""
    threshold: float = Field(default=12.0, gt=0, le=255)
    """Least change of the picture at a cut, in levels; see `wmsd_core/frames/scenes.py` for the whole rule."""
    position: float = Field(default=0.5, ge=0, le=1)
    """Where in a scene its frame is taken: 0 is its beginning, 0.5 its middle, far from both transitions."""
    min_scene: float = Field(default=0.5, ge=0)
    """Seconds: no frame is taken of a shorter scene."""


@dataclass(frozen=True)
class Taken:
    """What was taken of one video: microseconds from its beginning, and what was wrong with it, if anything."""

    moments: list[int]
    reason: str = ""
    detail: str = ""


@dataclass(frozen=True)
class _Shot:
    frame: "VideoFrame"
    moment: float
    """Seconds from the beginning of the video."""
    until: float
    """When it is over, at the video's rate."""
    aspect: float
    """Width of a pixel by its height."""


def with_frames_of_videos(
    found: Iterable[Found], into: Path, config: VideoConfig, max_pixels: int, report: Report
) -> Iterator[Found]:
    """`found`, with the frames of each video in its place, as files below `into`."""
    for item in found:
        if not isinstance(item, Entry):
            yield item
            continue
        try:
            if kind_of(item.path) != "video":
                yield item
                continue
            with opened(item.path) as file:
                place = into / hashlib.file_digest(file, "sha256").hexdigest()
                taken = take(file, place, config, max_pixels, lambda text, path=item.path: report(f"{path}: {text}"))
        except Exception as error:
            yield RefusedInput(item.item, item.path, item.source, failed(error))
            continue
        for moment in taken.moments:
            path, video = place / _name(moment), str(item.path)
            yield replace(item, path=path, video=video, moment=moment / 1e6, note="", input=False)
        damage = Refusal(taken.reason, taken.detail) if taken.reason else None
        yield Watched(item.item, item.path, item.source, len(taken.moments), damage)


def take(file: BufferedReader, place: Path, config: VideoConfig, max_pixels: int, report: Report) -> Taken:
    """Takes frames of a video, as JPEG files in `place`, unless that is done already.

    Raises:
        Refusal: not_a_video, no_video (sound only), no_frames, or too_large.
    """
    listing = place / f"{config.digest()}.json"
    done = _listed(listing, place)
    if done is not None:
        return done
    place.mkdir(parents=True, exist_ok=True)
    kept: Spread[int] = Spread(config.max_frames)
    written: set[int] = set()
    video = _Video(file, max_pixels)
    for shot in _chosen(video.shots(report), config):
        moment = round(1e6 * shot.moment)
        if moment in kept.items:
            continue  # both the middle of a scene and due by interval
        dropped = kept.add(moment)
        if moment not in dropped and not (place / _name(moment)).is_file():
            _write(place / _name(moment), _jpeg(shot))
            written.add(moment)
        for other in written.intersection(dropped):
            (place / _name(other)).unlink(missing_ok=True)
    damage = video.damage()
    taken = Taken(sorted(kept.items), *((damage.reason, damage.detail) if damage else ()))
    _write(listing, json.dumps(asdict(taken)).encode())
    return taken


def beginning(path: Path, *, frames: int, fps: float, max_pixels: int = 50_000_000) -> Video:
    """The first `frames` pictures of a video at `fps`, uint8 [T, H, W, 3]: for each moment k / fps the first one from then on.

    Raises:
        Refusal: the file is no video, or too short.
    """
    taken: list[Image] = []
    with opened(path) as file:
        for shot in _Video(file, max_pixels).shots(lambda _: None):
            # A millisecond of grace: times of frames are rounded to the clock of their file.
            while len(taken) < frames and shot.moment >= len(taken) / fps - 1e-3:
                picture = _displayed(shot)[..., ::-1]
                if taken and picture.shape != taken[0].shape:
                    raise Refusal("changes_size", f"its picture changes its size after {shot.moment:.2f} s")
                taken.append(picture)
            if len(taken) == frames:
                return np.ascontiguousarray(np.stack(taken))
    raise Refusal("too_short", f"{len(taken)} frames at {fps:g} per second, {frames} are needed")


def whole(path: Path, *, max_frames: int = 2_000, max_pixels: int = 50_000_000) -> tuple[Video, float]:
    """Every frame of a video, uint8 [T, H, W, 3], and how many there are in a second.

    Raises:
        Refusal: the file is no video, damaged or cut short, changes its size, or has more than `max_frames`.
    """
    frames: list[Image] = []
    end = 0.0
    with opened(path) as file:
        video = _Video(file, max_pixels)
        for shot in video.shots(lambda _: None):
            picture = _displayed(shot)[..., ::-1]
            if frames and picture.shape != frames[0].shape:
                raise Refusal("changes_size", f"its picture changes its size after {shot.moment:.2f} s")
            if len(frames) == max_frames:
                raise Refusal("too_long", f"it has more than {max_frames} frames")
            frames.append(picture)
            end = shot.until
        if damage := video.damage():
            raise damage
    return np.ascontiguousarray(np.stack(frames)), len(frames) / end


class _Video:
    """A video that is being read, and what turned out to be wrong with it."""

    def __init__(self, file: BufferedReader, max_pixels: int) -> None:
        self._file = file
        self._max_pixels = max_pixels
        self._declared: float | None = None
        self._start = 0.0
        self._end = 0.0
        self._frames = 0
        self._errors = 0
        self._error = ""

    def shots(self, report: Report) -> Iterator[_Shot]:
        """The readable frames in order.

        Raises:
            Refusal: not_a_video, no_video, unsupported, or too_large.
        """
        import av  # here, as it is slow to load, and settings need none of it
        from av.container import InputContainer
        from av.stream import Disposition

        self._file.seek(0)
        try:
            container = av.open(
                self._file,
                container_options={"format_whitelist": FORMATS},
                metadata_errors="replace",
            )
        except Exception as error:  # as with images: on damaged headers nearly anything is raised
            raise Refusal("not_a_video", f"it cannot be opened, is damaged or cut short: {error}") from error
        with container:
            assert isinstance(container, InputContainer)
            streams = [s for s in container.streams.video if Disposition.attached_pic not in s.disposition]
            if not streams:
                raise Refusal("no_video", "there is no moving picture in it, only sound or a cover")
            yield from self._decoded(container, streams[0], report)

    def damage(self) -> Refusal | None:
        """What is to be said about a video after all its readable frames were had."""
        if self._frames == 0:
            raise Refusal("no_frames", self._error or "there is no frame in it")
        end = self._end + max(0.0, self._start)  # of what begins late, some say how long it lasts, others when it ends
        if self._declared is not None and self._declared - end > max(0.5, 0.05 * self._declared):
            detail = f"it ends after {end:.2f} of {self._declared:.2f} s; what is there was used"
            return Refusal("truncated", detail)
        if self._errors:
            return Refusal("damaged", f"{self._errors} parts could not be decoded ({self._error}); the rest was used")
        return None

    def _decoded(self, container: "InputContainer", stream: "VideoStream", report: Report) -> Iterator[_Shot]:
        size: Any = stream.codec_context  # None where FFmpeg has no decoder, whatever the types of PyAV say
        if size is None:
            raise Refusal("unsupported", "its pictures are coded in a way that FFmpeg cannot read; convert it to H.264")
        _refuse_large(size.width, size.height, self._max_pixels)
        size.options = {"max_pixels": str(self._max_pixels)}  # the size may change on the way
        stream.thread_type = "AUTO"
        rate = float(stream.average_rate or 25)
        aspect = float(stream.sample_aspect_ratio or 1)
        aspect = aspect if 0.25 <= aspect <= 4 else 1.0
        self._start = container.start_time / _CLOCK if container.start_time else 0.0
        self._declared = _declared(container, stream)
        for frame in self._frames_of(container, stream):
            if frame.is_corrupt:
                continue
            moment = self._frames / rate if frame.pts is None else frame.time - self._start
            self._frames += 1
            self._end = max(self._end, moment + 1 / rate)
            report(f"{moment:.0f} s" + (f" of {self._declared:.0f}" if self._declared else ""))
            yield _Shot(frame, max(0.0, moment), max(0.0, moment) + 1 / rate, aspect)

    def _frames_of(self, container: "InputContainer", stream: "VideoStream") -> Iterator["VideoFrame"]:
        packets = container.demux(stream)
        while True:
            try:
                packet = next(packets, None)
                frames: list[Any] = [] if packet is None else packet.decode()
            except Exception as error:
                self._errors += 1
                self._error = str(error)
                if self._errors > 1000:
                    return
                continue
            if packet is None:
                return
            yield from frames


def _chosen(shots: Iterator[_Shot], config: VideoConfig) -> Iterator[_Shot]:
    """The shots to take; one of a scene comes when the scene is over. If none would be taken, the first that shows something,
    or else the first."""
    due = 0.0
    scene = _Scene(config)
    until = before = 0.0
    first: _Shot | None = None
    first_is_blank = False
    none = True
    for shot, begins, blank in _marked(shots, config):
        if first is None or (first_is_blank and not blank):
            first, first_is_blank = shot, blank
        now = shot.moment + 1e-6  # three times a tenth of a second is later than 0.3
        if config.mode != "scenes" and now >= due:
            yield shot
            none = False
            due = config.seconds * (math.floor(now / config.seconds) + 1)
        if begins or blank:
            for taken in scene.end(shot.moment):
                yield taken
                none = False
        if not blank:
            scene.add(shot)
        until = max(shot.until, 2 * shot.moment - before)  # the last one is taken to last as long as the one before it
        before = shot.moment
    for taken in scene.end(until):
        yield taken
        none = False
    if none and first is not None:
        yield first


def _marked(shots: Iterator[_Shot], config: VideoConfig) -> Iterator[tuple[_Shot, bool, bool]]:
    """(shot, whether a scene begins with it, whether it belongs to none)."""
    if config.mode == "interval":
        yield from ((shot, False, True) for shot in shots)
        return
    for (shot, blank, new), begins in cuts(_looked_at(shots, config.threshold), config.threshold):
        yield shot, begins if new is None else new, blank


def _looked_at(shots: Iterator[_Shot], threshold: float) -> Iterator[tuple[Image, tuple[_Shot, bool, bool | None]]]:
    """Each shot small, all of the size of the first, with (shot, whether it is blank, whether it begins a scene: None where
    the pictures around it decide)."""
    before: tuple[Image, float] | None = None
    height = 0
    for shot in shots:
        height = height or min(TALLEST, max(1, round(WIDTH * shot.frame.height / shot.frame.width)))
        picture = shot.frame.reformat(WIDTH, height, "bgr24", interpolation="AREA").to_ndarray()
        new = None
        if before and shot.moment - before[1] >= APART:
            new = change(before[0], picture) >= threshold
        yield picture, (shot, is_blank(picture), new)
        before = picture, shot.moment


class _Scene:
    """The scene that is going on: few of its frames, evenly spread, as nobody knows yet where its middle will be."""

    def __init__(self, config: VideoConfig) -> None:
        self._config = config
        self._begin = self._last = 0.0
        self._shots: Spread[_Shot] = Spread(CANDIDATES)

    def add(self, shot: _Shot) -> None:
        if not self._shots.items:
            self._begin = shot.moment
        self._last = shot.moment
        self._shots.add(shot)

    def end(self, until: float) -> list[_Shot]:
        """The frame nearest to the wanted position, unless the scene is too short; the next scene may begin."""
        shots, self._shots = self._shots.items, Spread(CANDIDATES)
        if not shots or until - self._begin < self._config.min_scene - 1e-6:
            return []
        wanted = self._begin + self._config.position * (self._last - self._begin)
        return [min(shots, key=lambda shot: abs(shot.moment - wanted))]


def _jpeg(shot: _Shot) -> bytes:
    full_colour = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    done, data = cv2.imencode(".jpg", _displayed(shot), [cv2.IMWRITE_JPEG_QUALITY, QUALITY, *full_colour])
    assert done
    return data.tobytes()


def _displayed(shot: _Shot) -> Image:
    """The frame as displayed, in the order blue, green, red: turned as its rotation says, with square pixels."""
    from av.video.reformatter import Colorspace  # as above

    frame = shot.frame
    untagged_hd = frame.colorspace == Colorspace.DEFAULT and frame.height >= 720
    colours = (
        Colorspace.ITU709 if untagged_hd else None
    )  # as players do; the scaler would take it for standard definition
    picture = frame.reformat(format="bgr24", src_colorspace=colours).to_ndarray()
    if shot.aspect != 1:
        width = max(1, round(picture.shape[1] * shot.aspect))
        picture = cv2.resize(picture, (width, picture.shape[0]), interpolation=cv2.INTER_CUBIC)
    return np.ascontiguousarray(np.rot90(picture, round(frame.rotation / 90)))


def _declared(container: "InputContainer", stream: "VideoStream") -> float | None:
    """How many seconds the file says that its pictures last; of sound and pictures together it tells us nothing."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    written = re.fullmatch(r"(\d+):(\d+):(\d+\.\d+)", stream.metadata.get("DURATION", ""))  # Matroska
    if written:
        hours, minutes, seconds = written.groups()
        return 3600 * int(hours) + 60 * int(minutes) + float(seconds)
    if container.duration and len(container.streams) == 1:
        return container.duration / _CLOCK
    return None


def _refuse_large(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels or max(width, height) > LONGEST:
        limits = f"the limits are {max_pixels} and {LONGEST} for a side"
        raise Refusal("too_large", f"{width}x{height} is {width * height} pixels, {limits}")


def _name(moment: int) -> str:
    return f"{moment:012d}.jpg"


def _listed(listing: Path, place: Path) -> Taken | None:
    """What an earlier run took with these settings, if all of it is still there."""
    try:
        taken = Taken(**json.loads(listing.read_bytes()))
        return taken if all((place / _name(moment)).is_file() for moment in taken.moments) else None
    except (FileNotFoundError, ValueError, TypeError):
        return None


def _write(path: Path, data: bytes) -> None:
    with replacing(path) as partial:
        partial.write_bytes(data)
