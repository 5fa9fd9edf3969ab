"""Where images come from: folders are walked, files checked, identified by their bytes, and decoded."""

from wmsd_core.frames.frame import Frame, find
from wmsd_core.frames.refusal import Refusal
from wmsd_core.frames.register import FramesConfig, Registered, register

__all__ = ["Frame", "FramesConfig", "Refusal", "Registered", "find", "register"]
