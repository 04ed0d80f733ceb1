"""Finding the code a person has to type in the text of a message.

How: normalise the text, blank out what is never a code (links, phones, prices, dates), collect candidates,
score each by its shape and by the words around it, take the best if it is good enough. The words, in some
forty languages, are data/code_words.tsv. Every pattern is bounded, so a hostile text costs no more than its length.

What comes out is what the person types:
- numbers lose their separators: `123-456` is 123456;
- a sender's mark before a number goes too: `G-123456` is 123456, the field takes the digits;
- letters and digits lose a separator that cuts them in equal parts, it is there for reading (`X7K-9QP` is
  X7K9QP), and keep one that does not, it is part of the code (`AB-12CDE`).
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator

from namaskah.numbers.code_candidates import (
    AUTOFILL,
    LINK,
    MARKED,
    Candidate,
    candidates,
    digits,
    is_mixed,
    join,
    mask,
    normalise,
)
from namaskah.numbers.code_words import Spans, alternatives, find_words

GOOD_ENOUGH = 6
_FAR = 60
_YEAR = re.compile(r"(?:19|20[0-4])\d{1,2}")
_BREAK = re.compile(r"[.!?;。！？।؟\n]")
_LABEL = re.compile(
    rf"(?:{alternatives('label')})[ :#.()\n-]{{0,4}}(?:(?:no|number|nr|num|is|n°|id|code)[ :#.]{{0,3}})?$"
)
_UNIT = re.compile(rf" ?-?(?:{alternatives('unit')})")
_USUAL_LENGTH = {"whatsapp": 6, "telegram": 5, "google": 6, "instagram": 6, "discord": 6, "uber": 4, "viber": 6}


def find_code(text: str, provider_code: str | None = None, service: str | None = None) -> str | None:
    """The code to type, 3 to 14 characters, or None when the message carries none.

    `provider_code` is what the provider itself read: it wins when it looks like a code, since the provider
    knows the sender. `service` is our service code: its own name ("1688") is then not taken for the code.
    """
    given = _parse_given(provider_code or "")
    return given or _find_best(text, service) or _find_best(provider_code or "", service)


def find_link(text: str) -> str | None:
    """The address to open, when a message verifies by a link and carries no code. Always http or https."""
    plain = normalise(text)
    if _find_best(text, None):
        return None
    match = LINK.search(plain)
    if not match:
        return None
    words = find_words(plain.lower())
    if not (words["code"] or words["act"]) or words["offer"]:
        return None
    link = match[0].rstrip(".,;:!?)]}>\"'*")
    return link if "://" in link else f"https://{link}"


def group_code(code: str) -> tuple[str, str]:
    """Two halves to show side by side: 123456 as 123 456, 12345 as 12 345; a separator of the code is the cut."""
    if code.count("-") == 1:
        left, right = code.split("-")
        return left, right
    middle = len(code) // 2
    return code[:middle], code[middle:]


def _parse_given(provider_code: str) -> str | None:
    token = normalise(provider_code).strip(" \n#:.\"'[]()<>*")
    match = MARKED.fullmatch(token)
    if match:
        return digits(match[1])
    if re.fullmatch(r"\d{1,10}(?:[ .-]{1,2}\d{1,10}){0,9}", token) and 3 <= len(digits(token)) <= 12:
        return digits(token)
    if re.fullmatch(r"[A-Za-z0-9]{1,12}(?:[ -][A-Za-z0-9]{1,12}){0,2}", token) and is_mixed(token):
        return join(token.replace(" ", "")) if 4 <= len(token) <= 14 else None
    return token if re.fullmatch(r"[A-Z]{4,10}", token) and token not in {"NULL", "NONE", "WAIT"} else None


def _find_best(text: str, service: str | None) -> str | None:
    plain = normalise(text)
    autofill = AUTOFILL.search(plain)
    if autofill:
        return _parse_given(autofill[1])
    masked = mask(plain)
    scored = _scored(masked, list(candidates(masked)), service)
    points, _, value = max(scored, default=(0, 0, ""))
    return value if points >= GOOD_ENOUGH else None


def _scored(masked: str, found: list[Candidate], service: str | None) -> Iterator[tuple[int, int, str]]:
    """Points, earliness and value of each candidate."""
    lowered = masked.lower()
    words = find_words(lowered)
    values = [candidate.value for candidate in found if candidate.value.isdigit()]
    alone = len(set(values)) == 1 and not words["not"]
    for candidate in found:
        near = max(_nearness(masked, words["code"], candidate, 10), _nearness(masked, words["act"], candidate, 6))
        points = candidate.points + near - _doubts(lowered, candidate)
        if candidate.value.isdigit():
            points += 3 * alone + (len(masked) <= 40) + 2 * (values.count(candidate.value) > 1)
            points += _USUAL_LENGTH.get(service or "", 0) == len(candidate.value)
            points -= 8 * (candidate.value == digits(service or "")) + 3 * bool(words["offer"])
        elif words["offer"] or near < GOOD_ENOUGH:
            points -= 8
        yield points, -candidate.start, candidate.value


def _nearness(masked: str, spans: Spans, candidate: Candidate, weight: int) -> int:
    """Points for the nearest of these words: `weight` beside it, less with distance and over a sentence's end."""
    gaps = []
    before = bisect_right(spans, candidate.start, key=lambda span: span[1])
    if before:
        gaps.append((weight, masked[spans[before - 1][1] : candidate.start]))
    after = bisect_left(spans, candidate.end, key=lambda span: span[0])
    if after < len(spans):
        gaps.append((weight - 1, masked[candidate.end : spans[after][0]]))
    near = [(points, gap.strip()) for points, gap in gaps if len(gap) <= _FAR]
    return max([0, *(points - len(gap) // 4 - 3 * len(_BREAK.findall(gap)) for points, gap in near)])


def _doubts(lowered: str, candidate: Candidate) -> int:
    """Points against it: a label of another number before it, a unit after it, the look of a year."""
    label = _LABEL.search(lowered[max(0, candidate.start - 30) : candidate.start])
    unit = _UNIT.match(lowered[candidate.end : candidate.end + 16])
    year = len(candidate.value) == 4 and _YEAR.fullmatch(candidate.value)
    return 7 * bool(label) + 7 * bool(unit) + 4 * bool(year)
