"""Which of many texts are alike enough, by ROUGE-L (`text`), without comparing each with each."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from wmsd_core.worldtasks.text import rouge_l

Words = Sequence[str]


class Index:
    """Texts to be searched for all that have a ROUGE-L of at least `least` (above 0) with a given one.

    Exact, by prefix filtering (Chaudhuri et al. 2006). F1 = 2 L / (m + n) >= t needs a longest common subsequence of
    L >= t m / (2 - t) words for a text of m words; so of any m - L + 1 of its words at least one is shared. The rarest are
    taken, and only texts that have one of them among *their* rarest are compared. Repeated words count as different ones
    ("the", "the again"): L is at most the overlap as multisets.
    """

    def __init__(self, texts: Sequence[Words], least: float) -> None:
        self.texts = texts
        self.least = least
        marked = [_marked(text) for text in texts]
        self.frequency = Counter(word for words in marked for word in words)
        self.postings: dict[tuple[str, int], list[int]] = defaultdict(list)
        for index, words in enumerate(marked):
            for word in self._rarest(words):
                self.postings[word].append(index)

    def alike(self, text: Words) -> Iterator[tuple[int, float]]:
        """(index, ROUGE-L) of every text that is alike enough, in order of index."""
        found: set[int] = set()
        for word in self._rarest(_marked(text)):
            found.update(self.postings.get(word, ()))
        for index in sorted(found):
            score = rouge_l(self.texts[index], text)
            if score >= self.least:
                yield index, score

    def _rarest(self, words: Sequence[tuple[str, int]]) -> Sequence[tuple[str, int]]:
        """The words of which a text that is alike enough shares one. Words of no text of the index come first."""
        # The margin is for rounding: a bound that comes out a hair too high would lose a text.
        needed = -int(-(self.least * len(words) / (2 - self.least) - 1e-9) // 1)
        length = len(words) - needed + 1
        unknown = sum(word not in self.frequency for word in words)
        if unknown >= length:
            return ()
        return sorted(words, key=lambda word: (self.frequency[word], word))[:length] if words else ()


def _marked(words: Words) -> list[tuple[str, int]]:
    """Each word with the number of times it has come before."""
    seen: Counter[str] = Counter()
    marked: list[tuple[str, int]] = []
    for word in words:
        marked.append((word, seen[word]))
        seen[word] += 1
    return marked
