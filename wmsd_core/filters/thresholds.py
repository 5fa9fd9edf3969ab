"""Every threshold of the filter stage once: which setting, of what, and what a frame beyond it is called."""

from collections.abc import Sequence
from dataclasses import dataclass

from wmsd_core.filters.measuring import MeasureConfig
from wmsd_core.filters.outside import OutsideFilter, outside


@dataclass(frozen=True)
class Threshold:
    """A setting of `FilterConfig` and the column of `USABLE` that it limits."""

    setting: str
    """The parameter of its SQL, too; it begins with min_ or max_."""
    column: str
    reason: str
    name: str
    """What is measured, in words."""
    unit: str
    log: bool = False
    """Its values spread over orders of magnitude."""
    of_the_picture: bool = True
    """About the picture's quality, so that its distribution says where to cut; size, shape, bars and text are rules of
    their own."""
    outside: OutsideFilter | None = None
    """The filter from outside that it belongs to; its limit is in `FilterConfig.extra`."""

    @property
    def least(self) -> bool:
        """Whether frames below it are dropped; else those above."""
        return self.setting.startswith("min_")

    @property
    def measured(self) -> bool:
        """Whether it limits a measurement; else what is known of every frame without one."""
        return self.column not in ("side", "aspect")

    @property
    def dropped(self) -> str:
        """SQL condition of a frame beyond the threshold; the setting's name is the parameter. What was not asked for
        drops nothing."""
        return f"coalesce({self.column} {'<' if self.least else '>'} ${self.setting}, false)"


THRESHOLDS = (
    Threshold("min_sharpness", "sharpness", "blurred", "sharpness", "variance of the Laplacian", log=True),
    Threshold("min_crispness", "crispness", "unsharp", "crispness", "fine detail over coarse"),
    Threshold("min_luminance", "luminance", "dark", "luminance", "mean grey level, 0 to 255"),
    Threshold("max_luminance", "luminance", "bright", "luminance", "mean grey level, 0 to 255"),
    Threshold("max_near_black", "near_black", "near_black", "fraction of near-black pixels", "fraction of pixels"),
    Threshold("max_near_white", "near_white", "near_white", "fraction of near-white pixels", "fraction of pixels"),
    Threshold("max_flatness", "flatness", "flat", "flatness", "share of the most frequent sixteenth of grey levels"),
    Threshold("max_bars", "bars", "bars", "fraction of bars", "fraction of the picture", of_the_picture=False),
    Threshold("max_overlay", "overlay", "overlay", "fraction of text", "fraction of the picture", of_the_picture=False),
    Threshold("min_side", "side", "too_small", "shorter side", "pixels", log=True, of_the_picture=False),
    Threshold("max_aspect", "aspect", "aspect", "longer by shorter side", "ratio", of_the_picture=False),
)

READABLE = """
    SELECT frame_id, path, least(width, height) AS side, greatest(width, height) / least(width, height) AS aspect
    FROM frames WHERE frame_id NOT IN (SELECT item FROM rejections WHERE stage = 'frames')
"""
"""SQL: frames that are readable, with what is known of them without a measurement."""

USABLE = f"""
    SELECT f.*, m.* EXCLUDE (frame_id)
    FROM ({READABLE}) f LEFT JOIN measurements m ON m.frame_id = f.frame_id AND m.config_hash = $measuring
"""
"""SQL: the same with their measurements under one configuration, NULL where it has none."""


def thresholds(names: Sequence[str]) -> tuple[Threshold, ...]:
    """All thresholds that act: the project's, and those of the filters from outside that `measure.extra` names.

    Raises:
        ValueError: one cannot be loaded, or takes a name of the project's.
    """
    others = outside(names)
    own = {t.column for t in THRESHOLDS} | {t.reason for t in THRESHOLDS}
    for other in others:
        if {other.name, other.reason} & own:
            raise ValueError(
                f"the filter '{other.name}' of measure.extra takes a name of the project's; choose another"
            )
    return THRESHOLDS + tuple(
        Threshold(
            setting=f"{'min' if other.least else 'max'}_{other.name}",
            column=f"(extra ->> '{other.name}')::DOUBLE",
            reason=other.reason,
            name=other.title,
            unit=other.unit,
            log=other.log,
            of_the_picture=False,
            outside=other,
        )
        for other in others
    )


def measured_by(measuring: MeasureConfig) -> dict[str, object]:
    """The parameters of `USABLE`."""
    return {"measuring": measuring.digest()}
