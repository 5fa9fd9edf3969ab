"""What makes a pair unusable, told by its text: unambiguous, general, "[Agent]: Task", no step given away (paper 4.1.1).

Each check is one function from a draft to the fault that it finds, or None; the first fault counts, in the order of
`CHECKS`. They are literal: word lists and patterns for English, which the prompt asks for. They find broken form, lost or
copied text, vagueness, steps in the task, a solution about somebody else, and repetition. Whether the agent is really in
the picture and the goal still open is a matter for a model that sees it (`verification`).
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from wmsd_core.instruction import Parsed, parse
from wmsd_core.worldtasks.pairs import Malformed, TaskPair
from wmsd_core.worldtasks.taxonomy import HANDLES, MOVES, agent_noun, noun_type
from wmsd_core.worldtasks.text import content, rouge_l, words


@dataclass(frozen=True)
class Limits:
    """Lengths in words, how many pairs were asked for, how alike two tasks of a picture may be (ROUGE-L), and which faults
    are let pass."""

    count: int
    task_words: int
    solution_words: int
    least_solution_words: int = 1
    likeness: float = 0.7
    tolerated: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Accepted:
    """A usable pair, its place in the answer, and its task taken apart."""

    position: int
    parsed: Parsed
    pair: TaskPair

    @property
    def solution(self) -> str:
        return " ".join(self.pair.solution.split())


@dataclass(frozen=True)
class Rejected:
    """A pair that cannot be used, whole, its place in the answer, and why: a short code and a sentence."""

    position: int
    task: str
    solution: str
    reason: str
    detail: str


def sift(pairs: Sequence[TaskPair], limits: Limits) -> tuple[list[Accepted], list[Rejected]]:
    """Divides the pairs written for one picture into usable ones and others."""
    accepted: list[Accepted] = []
    rejected: list[Rejected] = []
    for position, pair in enumerate(pairs):
        parsed = parse(pair.task)
        if isinstance(pair, Malformed):
            parsed, fault = None, ("malformed", pair.fault)
        elif parsed is None:
            fault = "form", 'the task is not of the form "[Agent description]: Task instruction"'
        else:
            fault = _fault(_Draft(parsed, pair, accepted, limits))
        if parsed is not None and fault is None:
            accepted.append(Accepted(position, parsed, pair))
        elif fault is not None:
            rejected.append(Rejected(position, pair.task, pair.solution, *fault))
    return accepted, rejected


class _Draft:
    """A pair under examination, beside those accepted before it."""

    def __init__(self, parsed: Parsed, pair: TaskPair, before: Sequence[Accepted], limits: Limits) -> None:
        self.agent = parsed.agent
        self.instruction = parsed.instruction
        self.solution = " ".join(pair.solution.split())
        self.declared_visible = pair.agent_visible
        self.both = f"{pair.task}\n{pair.solution}"
        self.task_words = words(parsed.instruction)
        self.solution_words = words(pair.solution)
        self.before = before
        self.limits = limits


def _fault(draft: _Draft) -> tuple[str, str] | None:
    if len(draft.before) == draft.limits.count:
        return "surplus", f"{draft.limits.count} pairs were asked for"
    for reason, check in CHECKS:
        if reason not in draft.limits.tolerated and (detail := check(draft)):
            return reason, detail
    return None


def _found(pattern: re.Pattern[str], text: str, what: str) -> str | None:
    match = pattern.search(text)
    return f'{what}: "{match[0].strip()}"' if match else None


# The text itself.

_DEBRIS = re.compile(
    r"[\ufffd\u200b-\u200f\u2060\ufeff]|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]"  # replaced, invisible, control
    r"|Ã[\x80-\xbf©¨¶¼¤]|â€|Â[\xa0-\xbf]"  # UTF-8 read as Latin-1
    r"|```|\*\*|^#+\s|</?[a-zA-Z][^>]*>|\\[nt\"]|https?://|[{}|]",  # markup and JSON
    re.MULTILINE,
)
_COMMON_WORDS = """
    the a an and of to in on at with by for from into as is are it its his her their they he she while then until
    toward towards up down forward through over across"""
_COMMON = frozenset(_COMMON_WORDS.split())
_END = re.compile(r"[.!?…]['\"”’)\]]*$")
_DANGLING = re.compile(
    r"(?:[,:;–—-]|\.\.\.|…|\b(?:the|an?|and|or|of|to|with|at|by|from|for|its|his|her|their))\.?$", re.I
)


def _debris(draft: _Draft) -> str | None:
    match = _DEBRIS.search(draft.both)
    return f"it holds {match[0]!a}, which is no part of a sentence" if match else None


def _language(draft: _Draft) -> str | None:
    letters = [letter for letter in draft.both if letter.isalpha()]
    latin = sum(letter < "\u0250" for letter in letters)
    if latin < 0.9 * len(letters):
        return f"{len(letters) - latin} of {len(letters)} letters are not Latin; English is asked for"
    known = sum(word in _COMMON for word in draft.solution_words)
    if len(draft.solution_words) >= 10 and known < 0.08 * len(draft.solution_words):
        return f"{known} of the solution's {len(draft.solution_words)} words are common English words"
    return None


def _repetitive(draft: _Draft) -> str | None:
    runs = [tuple(draft.solution_words[i : i + 4]) for i in range(len(draft.solution_words) - 3)]
    worst = max(runs, key=runs.count, default=())
    if runs.count(worst) >= 4:
        return f'"{" ".join(worst)}" stands in the solution {runs.count(worst)} times'
    return None


def _empty(draft: _Draft) -> str | None:
    return None if draft.solution_words else "the solution has no words"


def _truncated(draft: _Draft) -> str | None:
    if _DANGLING.search(draft.instruction):
        return f'the task breaks off: "{draft.instruction[-30:]}"'
    if not _END.search(draft.solution):
        return f'the solution ends without a full stop: "{draft.solution[-30:]}"'
    return None


# What was written in place of a task.

_REFUSAL = re.compile(
    r"\bI(?:['’]m| am) (?:sorry|afraid|not able|unable)|\bI (?:can(?:no|['’])t|can not|won['’]t|am unable|apologi[sz]e)"
    r"|\bas an AI\b|\blanguage model\b|\bcannot (?:assist|help|comply|fulfil|provide|describe|generate|create)"
    r"|\b(?:content|safety) (?:policy|policies|guidelines)|\bno (?:visible |suitable )?(?:agent|task|action|solution)\b"
    r"|\bnobody (?:is|can)\b|\bn/a\b|\bnot applicable\b",
    re.I,
)
_PLACEHOLDER = re.compile(
    r"\[(?:the )?(?:agent|subject|actor)(?: (?:description|name|\d+))?\]|\btask instruction\b|\bagent description\b"
    r"|\btodo\b|\btbd\b|\blorem ipsum\b|\bx{3,}\b|\bto be (?:written|determined)\b",
    re.I,
)
_ABOUT_THE_PROMPT = re.compile(
    r"\b(?:the|this|given|your) (?:prompt|instruction|task|request|assignment|description)s?\b"
    r"|\bin (?:the|this) (?:image|picture|photo|photograph|screenshot|video|clip|frame)\b"
    r"|\b(?:the|this) (?:image|picture|photo|video|clip|frame) (?:shows?|depicts?|begins?|starts?|ends?|opens?)\b"
    r"|\bas (?:instructed|requested|described|asked)\b|\bthe user\b|\bjson\b|\bsolution:",
    re.I,
)


def _refusal(draft: _Draft) -> str | None:
    return _found(_REFUSAL, draft.both, "it declines instead of describing")


def _placeholder(draft: _Draft) -> str | None:
    return _found(_PLACEHOLDER, draft.both, "a placeholder was left in")


def _mentions_the_prompt(draft: _Draft) -> str | None:
    return _found(_ABOUT_THE_PROMPT, draft.both, "it speaks of the request or the picture, not of the scene")


# The agent.

_UNSEEN = re.compile(
    r"\boff-?\s?screen\b|\bnot (?:visible|shown|in view)\b|\bunseen\b|\binvisible\b|\bout of (?:the )?(?:frame|view|sight)\b"
    r"|\boutside (?:of )?(?:the )?(?:frame|picture|image|view)\b|\bbehind the camera\b",
    re.I,
)
_NO_DESCRIPTION = re.compile(
    r"(?:some|any|every|no)(?:one|body|thing)|he|she|it|they|him|her|them|you|i|we|me|who|whoever|unknown|none|other|all|both",
    re.I,
)
_PRONOUNS = frozenset(("he", "she", "it", "they", "his", "her", "its", "their"))
_GENERIC = {
    "human": "person character player figure human avatar protagonist individual hero agent pedestrian driver rider",
    "vehicle": "vehicle",
    "animal": "animal",
    "creature": "creature monster beast character",
    "crowd": "group crowd people",
}
"""Nouns that stand for any agent of a type."""


def _agent_invisible(draft: _Draft) -> str | None:
    if not draft.declared_visible:
        return "the model itself says that the agent cannot be seen in the picture"
    return _found(_UNSEEN, draft.agent, "the agent is not in the picture")


def _vague_agent(draft: _Draft) -> str | None:
    if _NO_DESCRIPTION.fullmatch(draft.agent):
        return f'"{draft.agent}" does not say who'
    if re.search(r"\bor\b", draft.agent, re.I):
        return f'"{draft.agent}" leaves open which of two'
    return None


def _other_agent(draft: _Draft) -> str | None:
    """The agent's noun, a more or less general one of its kind, or a pronoun at the start must stand in the solution."""
    noun, kind = agent_noun(draft.agent), noun_type(draft.agent)
    if kind == "first_person" or draft.solution_words[0] in _PRONOUNS:
        return None
    told = {_singular(word) for word in content(draft.solution)}
    generic = frozenset(_GENERIC.get(kind, "").split())
    if _singular(noun) in told or told & generic:
        return None
    if noun in generic and any(noun_type(word) == kind for word in told):
        return None
    if kind in ("other", "crowd") and told & {_singular(word) for word in content(draft.agent)}:
        return None
    return f'the solution does not speak of the agent, "{draft.agent}"'


def _singular(word: str) -> str:
    return word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word


# The task.

_VAGUE = re.compile(
    r"\b(?:some|any|every)(?:thing|where|one|body|how)\b|\bor\b|\beither\b|\bwhatever\b|\bwhichever\b|\bmaybe\b|\bperhaps\b"
    r"|\betc\b|\band so on\b|\bif\b|\bunless\b|\bas (?:you|they|he|she) (?:like|wish|want)s?\b|\bfor a while\b"
    r"|\bsome (?:other )?(?:way|place|object|action)\b|\binteract with the (?:environment|scene|surroundings|world)\b",
    re.I,
)
_STANDSTILL = re.compile(
    r"(?:remain|stay|wait|idle|do nothing|(?:stand|hold|keep|sit) still|continue (?:to be|being|standing|sitting))\b",
    re.I,
)
_STATEMENT = re.compile(
    r"(?:the|a|an|he|she|it|they|this|i|we|what|how|why|where|when|who|is|are|does|do you|can|could|would|will)\b", re.I
)
_ORDER = re.compile(
    r"\bstep \d|\bfirst\b(?![- ]person).*\b(?:then|next|after|second)\b|\bafter (?:that|which|this)\b|\bafterwards\b"
    r"|\bby (?!\w+ing\b(?:room|table))\w{2,}ing\b|\bnext,|\bfinally\b|\bin order to\b|(?:^|\s)\d[.)]\s|;",
    re.I,
)
_CLAUSE = re.compile(r"\bthen\b|\band\b|[,;]")
_STANCES = "stop turn halt face look crouch aim jump sit stand wait rotate kneel fire shoot align"
_ACTIONS = MOVES | HANDLES | frozenset(_STANCES.split())


def _not_an_instruction(draft: _Draft) -> str | None:
    if draft.instruction.endswith("?") or _STATEMENT.match(draft.instruction):
        return f'"{draft.instruction}" does not tell the agent to do something'
    return None


def _vague_task(draft: _Draft) -> str | None:
    return _found(_VAGUE, draft.instruction, "the goal is left open")


def _already_satisfied(draft: _Draft) -> str | None:
    match = _STANDSTILL.match(draft.instruction)
    return f'"{match[0]}" is fulfilled by the picture as it is' if match else None


def _task_too_long(draft: _Draft) -> str | None:
    found, limit = len(draft.task_words), draft.limits.task_words
    return f"the instruction has {found} words, the limit is {limit}" if found > limit else None


def _several_tasks(draft: _Draft) -> str | None:
    if "]:" in draft.instruction:
        return "a second agent is told something in the same task"
    if re.search(r"[a-z]{2}[.!] +\S", draft.instruction):
        return "the task has more than one sentence"
    return None


def _gives_steps_away(draft: _Draft) -> str | None:
    if detail := _found(_ORDER, draft.instruction, "the task tells the way, not only the goal"):
        return detail
    firsts = [found[0] for clause in _CLAUSE.split(draft.instruction.casefold()) if (found := words(clause))]
    actions = [word for word in firsts if word in _ACTIONS]
    if len(actions) > 2:
        return f"the task lists {len(actions)} actions: {', '.join(actions)}"
    shared = SequenceMatcher(None, draft.solution_words, draft.task_words, autojunk=False).find_longest_match().size
    if 2 * shared >= len(draft.solution_words):
        # Naming the goal in both is right, so only a task that repeats half of the solution word for word is at fault.
        return f"{shared} of the solution's {len(draft.solution_words)} words stand in the task in this order"
    return None


# The solution.


def _copied(draft: _Draft) -> str | None:
    likeness = rouge_l(draft.task_words, draft.solution_words)
    return f"task and solution say the same (ROUGE-L {likeness:.2f})" if likeness > 0.7 else None


def _solution_too_long(draft: _Draft) -> str | None:
    found, limit = len(draft.solution_words), draft.limits.solution_words
    return f"the solution has {found} words, the limit is {limit}" if found > limit else None


def _not_detailed(draft: _Draft) -> str | None:
    found, needed = len(draft.solution_words), max(len(draft.task_words) + 1, draft.limits.least_solution_words)
    return f"the solution has {found} words, at least {needed} are needed" if found < needed else None


# Beside the picture's other tasks.


def _repeated(draft: _Draft) -> str | None:
    task = words(f"{draft.agent} {draft.instruction}")
    same = any(words(f"{p.parsed.agent} {p.parsed.instruction}") == task for p in draft.before)
    return "the picture already has this task" if same else None


def _similar(draft: _Draft) -> str | None:
    """ROUGE-L of the words that carry meaning, among tasks of one agent: in a task of eight words, "go to the" decides
    over anything else, and the same goal for two agents is two tasks."""
    task = content(draft.instruction)
    for other in _of_the_same_agent(draft):
        likeness = rouge_l(task, content(other.parsed.instruction))
        if likeness > draft.limits.likeness:
            return f"nearly the task at {other.position}, {other.parsed.task} (ROUGE-L {likeness:.2f})"
        action = _verb_object(draft.instruction)
        if draft.limits.likeness < 1 and action and action == _verb_object(other.parsed.instruction):
            return f'the same action as the task at {other.position}: "{action[0]} {" ".join(action[1])}"'
    return None


def _of_the_same_agent(draft: _Draft) -> list[Accepted]:
    mine = _agent_key(draft.agent)
    return [other for other in draft.before if _agent_key(other.parsed.agent) == mine]


def _agent_key(agent: str) -> frozenset[str]:
    return frozenset(["first", "person"]) if noun_type(agent) == "first_person" else frozenset(content(agent))


_AFTER_THE_OBJECT = re.compile(
    r"\b(?:in|on|at|with|without|of|from|near|by|behind|beside|under|over|across|through|into|onto|toward|towards|to|until"
    r"|while|and|then|that|who|which|along|between|above|below|next|directly|ahead)\b|[,;]"
)
_BEFORE_THE_OBJECT = re.compile(
    r"^(?:\s*(?:up|down|out|off|away|back|forward|to|toward|towards|at|into|onto|in|on|over|through|around|across|closer)\b)*"
)


def _verb_object(instruction: str) -> tuple[str, tuple[str, ...]] | None:
    """The first verb and the noun phrase that it acts on: "Pick up the red ball on the table." -> pick, (red, ball)."""
    verb, _, rest = instruction.casefold().partition(" ")
    rest = _BEFORE_THE_OBJECT.sub("", rest)
    goal = tuple(content(_AFTER_THE_OBJECT.split(rest, maxsplit=1)[0]))
    return (verb, goal) if goal else None


Check = Callable[[_Draft], str | None]

CHECKS: tuple[tuple[str, Check], ...] = (
    ("empty_solution", _empty),
    ("garbled", _debris),
    ("refusal", _refusal),
    ("placeholder", _placeholder),
    ("language", _language),
    ("agent_invisible", _agent_invisible),
    ("vague_agent", _vague_agent),
    ("mentions_the_prompt", _mentions_the_prompt),
    ("several_tasks", _several_tasks),
    ("truncated", _truncated),
    ("not_an_instruction", _not_an_instruction),
    ("task_too_long", _task_too_long),
    ("vague_task", _vague_task),
    ("already_satisfied", _already_satisfied),
    ("gives_steps_away", _gives_steps_away),
    ("solution_too_long", _solution_too_long),
    ("repetitive", _repetitive),
    ("copied", _copied),
    ("not_detailed", _not_detailed),
    ("other_agent", _other_agent),
    ("repeated", _repeated),
    ("similar", _similar),
)
"""Every check on a text, with the reason that it gives."""
