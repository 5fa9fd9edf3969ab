"""Words of a text, and how much two texts have in common."""

import re
from collections import defaultdict
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
    """Length of the longest sequence of words that both have in this order, gaps allowed.

    Bit-parallel (Hyyrö 2004): one whole number holds a row of the table of dynamic programming, a bit per word of `one`.
    """
    places: dict[str, int] = defaultdict(int)
    for index, word in enumerate(one):
        places[word] |= 1 << index
    full = (1 << len(one)) - 1
    row = full
    for word in other:
        hit = row & places.get(word, 0)
        row = ((row + hit) | (row - hit)) & full
    return len(one) - row.bit_count()


def rouge_l(one: Sequence[str], other: Sequence[str]) -> float:
    """ROUGE-L: F1 of the longest common subsequence, 2 LCS / (m + n); 0 where either is empty.

    Lin, "ROUGE: A Package for Automatic Evaluation of Summaries" (2004), eq. 2 to 4 with beta = 1.
    """
    if not one or not other:
        return 0.0
    return 2 * longest_common_subsequence(one, other) / (len(one) + len(other))
