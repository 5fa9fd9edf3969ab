"""Text laid over a picture: the fraction of it that lines of text take, as a text detector finds them.

The detector is PP-OCRv6 (small), which RapidOCR ships with its weights: nothing is fetched, and nothing is read, only found.
On photographs it finds single lines of subtitles and small captions, which rules about strokes do not (docs/decisions/0013).
Text in the scene itself, such as a shop's sign, counts: it looks the same.
"""

from functools import cache
from typing import Any, cast

import cv2
import numpy as np
from jaxtyping import UInt8

LONGEST = 640
"""Pixels of the longer side, which the detector is shown: twice as many cost four times as much."""
LEAST = 32
"""Pixels of the shorter side, below which there is no room for a line that could be read."""
SURE = 0.6
"""Least mean probability of text inside a quadrangle."""
TALLEST = 0.2
"""Of the picture's height: what is taller is no line, but a window, a face or the whole picture taken for a letter."""


def overlay(grey: UInt8[np.ndarray, "H W"]) -> float:
    """Fraction of the picture's area inside the quadrangles of its lines of text.

    Raises:
        ValueError: the extra `ocr` is not installed.
    """
    if min(grey.shape) < LEAST:
        return 0.0
    lines = detector()(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR)).boxes
    covered = np.zeros(grey.shape, np.uint8)
    for line in () if lines is None else lines:
        if min(cv2.minAreaRect(line.astype(np.float32))[1]) <= TALLEST * len(grey):
            cv2.fillPoly(covered, [np.rint(line).astype(np.int32)], 1)
    return float(covered.mean())


@cache
def detector() -> Any:
    """The detector alone, on one thread: threads are for pictures. It may be called from several.

    Raises:
        ValueError: the extra `ocr` is not installed.
    """
    try:
        from rapidocr import RapidOCR
    except ImportError as error:
        cure = "pip install 'wmsd[ocr]', or leave it off"
        raise ValueError(f"measure.overlay finds text with RapidOCR, which is not installed: {cure}") from error
    threads = {f"EngineConfig.onnxruntime.{kind}_op_num_threads": 1 for kind in ("intra", "inter")}
    detection = {"Det.limit_side_len": LONGEST, "Det.limit_type": "max", "Det.box_thresh": SURE}
    quiet = {"Global.use_cls": False, "Global.use_rec": False, "Global.log_level": "error"}
    return cast(Any, RapidOCR)(params={**quiet, **detection, **threads})
