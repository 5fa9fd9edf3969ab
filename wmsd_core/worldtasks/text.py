"""Words of a text, and how much two texts have in common."""

import re
from collections.abc import Sequence

_FUNCTION_WORDS = """
    a an the this that these those and or of to in on at by for from with into onto toward towards over under up down
    off out as its his her their is are be"""
FUNCTION_WORDS = frozenset(_FUNCTION_WORDS.split())
"""Words that nearly every English sentence has: they say little about what it says."""


def words(text: str) -> list[str]:
    """The words of a text, case folded, without punctuation."""
    return re.findall(r"[^\W_]+(?:['’-][^\W_]+)*", text.casefold())


def content(text: str) -> list[str]:
    """The words that carry meaning: hyphens taken apart, possessives and function words left out."""
    parts = [re.sub(r"['’]s?$", "", part) for word in words(text) for part in word.split("-")]
    return [part for part in parts if part and part not in FUNCTION_WORDS]


def longest_common_subsequence(one: Sequence[str], other: Sequence[str]) -> int:
    """Length of the longest sequence of words that both have in this order, gaps allowed."""
    row = [0] * (len(other) + 1)
    for word in one:
        diagonal = 0
        for place, its in enumerate(other, start=1):
            diagonal, row[place] = row[place], diagonal + 1 if word == its else max(row[place], row[place - 1])
    return row[-1]


def rouge_l(one: Sequence[str], other: Sequence[str]) -> float:
    """ROUGE-L: F1 of the longest common subsequence, 2 LCS / (m + n); 0 where either is empty.

    Lin, "ROUGE: A Package for Automatic Evaluation of Summaries" (2004), eq. 2 to 4 with beta = 1.
    """
    if not one or not other:
        return 0.0
    return 2 * longest_common_subsequence(one, other) / (len(one) + len(other))
