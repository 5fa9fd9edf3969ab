"""A yes/no answer as log-odds, from the log-probabilities of the first token of a reply.

With l_t = log p(first token = t), and Y and N the tokens that say yes and no:

    z_y = log sum_{t in Y} exp l_t     z_n likewise     r = z_y - z_n     mass = exp z_y + exp z_n

r does not depend on what else the model might say; the mass tells whether it wanted to answer at all.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from wmsd_core.vlm.protocol import Evidence, LogOdds

ABSENT = -9999.0
"""What vLLM writes for a probability of zero."""
PROCESSED = (
    "the server sends processed log-probabilities, all of it on one token, from which no belief can be read: start it with "
    "--logprobs-mode raw_logprobs"
)
_ROUNDING = 1e-6
"""Probability that may be missing from a full list, from float32 logarithms."""


@dataclass(frozen=True)
class Labels:
    """The tokens that say yes and no."""

    yes: frozenset[str]
    no: frozenset[str]
    exact: bool
    """True where exactly these were asked for. False: a list of the likeliest tokens, in which they are looked for."""

    @classmethod
    def by_spelling(cls, tokens: Iterable[str]) -> "Labels":
        """Those of the listed tokens that spell yes or no, whatever their case and spaces."""
        spelt = {token: token.strip().casefold() for token in tokens}
        yes = frozenset(token for token, word in spelt.items() if word == "yes")
        return cls(yes, frozenset(token for token, word in spelt.items() if word == "no"), exact=False)


def log_odds(
    listed: Mapping[str, float], labels: Labels, *, good: Literal["yes", "no"], least_mass: float, said: str = ""
) -> LogOdds:
    """The log-odds of the good answer. `listed` has the log-probability of each listed token, `said` is the reply.

    A side without a listed token has at most the probability of the least likely one in a list of the likeliest, and at
    most what the list leaves. Where only one side is known, that gives a bound on r; `reason` then says so.
    """
    if any(math.isnan(value) for value in listed.values()):
        return LogOdds.unread("the server sent a log-probability that is not a number")
    present = {token: value for token, value in listed.items() if value > ABSENT}
    yes = _logsumexp(present[token] for token in labels.yes if token in present)
    no = _logsumexp(present[token] for token in labels.no if token in present)
    if yes == no == -math.inf:
        return LogOdds.unread(f"neither yes nor no is among the listed tokens; the reply begins with {said[:40]!r}")
    mass = math.exp(yes) + math.exp(no)
    if mass < least_mass:
        return LogOdds.unread(
            f"p(yes) + p(no) is {mass:.3g}, less than {least_mass:g}; the reply begins with {said[:40]!r}"
        )
    known = "yes" if no == -math.inf else "no" if yes == -math.inf else ""
    if known:
        rest = math.log(max(1 - sum(math.exp(value) for value in present.values()), _ROUNDING))
        bound = rest if labels.exact else min(rest, *present.values())
        yes, no = (yes, bound) if known == "yes" else (bound, no)
        if (yes > no) != (known == "yes"):
            return LogOdds.unread(f"only '{known}' is listed, and too unlikely to tell which of the two is likelier")
    value = yes - no if good == "yes" else no - yes
    other = {"yes": "no", "no": "yes"}.get(known, "")
    reason = f"a bound: '{other}' is not among the listed tokens" if known else ""
    return LogOdds(value, min(mass, 1.0), reason, bound=bool(known))


def read(evidence: Evidence) -> LogOdds:
    """The answer that this evidence holds, the first time and whenever it is read again."""
    if [value for value in evidence.listed.values() if value > ABSENT] == [0.0]:  # which no softmax gives
        return replace(LogOdds.unread(PROCESSED), evidence=evidence)
    labels = Labels(frozenset(evidence.yes), frozenset(evidence.no), evidence.exact)
    answer = log_odds(evidence.listed, labels, good=evidence.good, least_mass=evidence.least_mass, said=evidence.said)
    return replace(answer, evidence=evidence)


def _logsumexp(values: Iterable[float]) -> float:
    found = list(values)
    top = max(found, default=-math.inf)
    return top if top == -math.inf else top + math.log(sum(math.exp(value - top) for value in found))
