"""Ranking: an aesthetic score per frame, a combined quality score, and the share of frames that is kept."""

from wmsd_core.ranking.rank import Kept, RankConfig, keep_top
from wmsd_core.ranking.scoring import Scored, score_frames

__all__ = ["Kept", "RankConfig", "Scored", "keep_top", "score_frames"]
