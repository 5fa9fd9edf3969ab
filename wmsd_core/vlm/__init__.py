"""Vision-language models behind one protocol: structured answers, and yes/no questions as log-odds."""

from wmsd_core.vlm.protocol import LogOdds, Message, Question, Refused, VisionLanguageModel, judge_of

__all__ = ["LogOdds", "Message", "Question", "Refused", "VisionLanguageModel", "judge_of"]
