"""Where a run keeps its files: everything below one folder, nothing outside it."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from wmsd_core import leftovers

LEAST_FREE = 64 * 2**20
"""Bytes that must be free before a stage starts: less is a full disk a moment later, in the middle of its work."""


@dataclass(frozen=True)
class Workspace:
    """The folder of one project: store, images, videos, training runs, report."""

    root: Path

    @property
    def store(self) -> Path:
        return self.root / "wmsd.duckdb"

    @property
    def lock(self) -> Path:
        """Held by the run that is at work here."""
        return self.root / "wmsd.lock"

    @property
    def frames(self) -> Path:
        """Images that the miniature rendered. Frames of other folders stay where they are."""
        return self.root / "frames"

    @property
    def video_frames(self) -> Path:
        """Images that were taken of videos, in a folder per video."""
        return self.root / "video_frames"

    @property
    def fetched(self) -> Path:
        """Images and videos that were fetched from addresses, or unpacked of shards."""
        return self.root / "fetched"

    @property
    def truth(self) -> Path:
        """What the miniature planted into which image: kept apart from the images, read only to score the filter."""
        return self.root / "planted_defects.json"

    @property
    def videos(self) -> Path:
        """Absolute, as its files are named in the store, whatever folder a program is started in."""
        return self.root.absolute() / "videos"

    @property
    def training(self) -> Path:
        """Absolute, likewise."""
        return self.root.absolute() / "training"

    @property
    def features(self) -> Path:
        """Features of texts and images that pretrained generators have computed, shared by all runs."""
        return self.root / "features"

    @property
    def requests(self) -> Path:
        """What a vision-language model's server was asked and has answered."""
        return self.root / "requests.sqlite"

    @property
    def pictures(self) -> Path:
        """Small pictures of frames and videos, named by their content, that `wmsd up` serves for the Prefect UI."""
        return self.root / "pictures"

    @property
    def charts(self) -> Path:
        """The drawings of the report, by what they show."""
        return self.pictures / "charts"

    @property
    def report(self) -> Path:
        return self.root / "report.html"

    @property
    def evaluations(self) -> Path:
        """A folder for the page of each evaluation."""
        return self.root / "evaluations"

    @property
    def preview(self) -> Path:
        """Where the filter cuts: the page of `wmsd filter --preview`."""
        return self.root / "filter_preview.html"

    @property
    def browser(self) -> Path:
        """The folder of the page of frames and pairs."""
        return self.root / "browser"

    def prepare(self) -> "Workspace":
        """Creates the folder, clears what killed processes left half written, and checks that it can be used.

        Raises:
            ValueError: it is a file, cannot be written, or its disk is nearly full.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(f"the workspace {self.root} cannot be created: {error.strerror}") from error
        if not os.access(self.root, os.W_OK):
            raise ValueError(f"the workspace {self.root} cannot be written: choose another folder")
        for left in leftovers.of_killed(self.training):  # they may be what fills the disk
            leftovers.remove(left)
        free = shutil.disk_usage(self.root).free
        if free < LEAST_FREE:
            raise ValueError(
                f"the disk of {self.root} has {free / 2**20:.0f} MiB left and a stage needs {LEAST_FREE / 2**20:.0f}; "
                "free some space or choose another folder. Nothing was lost: finished work is kept and not repeated"
            )
        return self
