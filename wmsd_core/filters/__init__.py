"""Image quality: measurements are stored, thresholds are applied to them in SQL, so a new threshold reads no image."""

from wmsd_core.filters.measuring import MeasureConfig, Measured, measure_frames
from wmsd_core.filters.outside import OutsideFilter
from wmsd_core.filters.truth import DefectScore, score_against
from wmsd_core.filters.verdict import Decided, FilterConfig, decide

__all__ = [
    "Decided",
    "DefectScore",
    "FilterConfig",
    "MeasureConfig",
    "Measured",
    "OutsideFilter",
    "decide",
    "measure_frames",
    "score_against",
]
