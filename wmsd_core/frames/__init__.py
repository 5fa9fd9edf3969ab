"""Where images come from: sources are walked, files checked, identified by their bytes, and decoded."""

from wmsd_core.frames.entry import Entry, Found, Ignored, RefusedInput
from wmsd_core.frames.frame import Frame, find
from wmsd_core.frames.refusal import Refusal
from wmsd_core.frames.register import FramesConfig, Registered, register, register_entries
from wmsd_core.frames.sources import source_of

__all__ = [
    "Entry",
    "Found",
    "Frame",
    "FramesConfig",
    "Ignored",
    "Refusal",
    "RefusedInput",
    "Registered",
    "find",
    "register",
    "register_entries",
    "source_of",
]
