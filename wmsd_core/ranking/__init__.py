"""Ranking: an aesthetic score per frame, a combined quality score, and the share of frames that is kept."""

from wmsd_core.ranking.rank import Kept, RankConfig, Scored, keep_top, load_scorer, score_frames
from wmsd_core.ranking.scorer import Scorer

__all__ = ["Kept", "RankConfig", "Scored", "Scorer", "keep_top", "load_scorer", "score_frames"]
