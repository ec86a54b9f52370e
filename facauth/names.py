"""Names: how a typed name is cleaned, compared, and checked for names that look like it.

Printable characters are kept as they are, so that the names in existing stores do not change.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

# Invisible characters that are typed or pasted by accident: soft hyphen, marks of direction, word
# joiner, BOM. Other invisible characters, and those that turn writing around, stay and are refused.
INVISIBLE = frozenset("\u00ad\u061c\u180e\u200e\u200f\u2060\u2061\u2062\u2063\u2064\ufeff")
NON_JOINER, JOINER = "\u200c", "\u200d"
JOINERS = frozenset((NON_JOINER, JOINER))
VIRAMA = 9  # canonical combining class
ARABIC = "AL"  # bidirectional class of the letters of Arabic and Syriac, which join
# Printable by their category, but invisible: fillers and variation selectors.
FILLERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0") | {
    chr(code)
    for first, last in ((0x180B, 0x180F), (0xFE00, 0xFE0F), (0xE0100, 0xE01EF))
    for code in range(first, last + 1)
}
# Letters that look the same in most typefaces, after confusables.txt of UTS 39: those that Cyrillic
# and Greek share with Latin, and digits. What is drawn wide, bold or in a circle is Unicode's own
# business (NFKD). No library: the two that carry the whole list were last released in 2021 and
# 2024, and have half a megabyte for a note that decides nothing.
ALIKE = str.maketrans(
    "АВЕЅІЈКМНОРСТУХаеѕіјорсухһԁԛԝӀӏΑΒΕΖΗΙΚΜΝΟΡΤΥΧαινορυϲϳıɑɡ01I|",
    "ABESlJKMHOPCTYXaesijopcyxhdqwllABEZHlKMNOPTYXaivopucjiagOlll",
)


def cleaned(raw: str) -> str:
    """NFC without outer spaces; inner spaces become U+0020, and INVISIBLE characters are removed.

    Joiners stay where UAX 31 allows them: after a virama, and between Arabic letters (of any shape:
    joiners do not distinguish names, see `folded`).
    """
    seen = unicodedata.normalize("NFC", "".join(map(_seen, raw)))
    kept = "".join(char for at, char in enumerate(seen) if _stays(seen, at))
    return unicodedata.normalize("NFC", kept.strip())


def _seen(char: str) -> str:
    if unicodedata.category(char) == "Zs":
        return " "
    return "" if char in INVISIBLE else char


def _stays(text: str, at: int) -> bool:
    if text[at] not in JOINERS or unicodedata.combining(text[at - 1 : at] or " ") == VIRAMA:
        return True
    before, after = _letter(text[:at][::-1]), _letter(text[at + 1 :])
    return text[at] == NON_JOINER and all(map(_is_arabic, (before, after)))


def _letter(text: str) -> str:
    """The first character that is not a combining mark."""
    return next((char for char in text if not unicodedata.category(char).startswith("M")), " ")


def _is_arabic(letter: str) -> bool:
    return unicodedata.bidirectional(letter) == ARABIC


def without_joiners(name: str) -> str:
    """The name without joiners, which count as not printable."""
    return "".join(char for char in name if char not in JOINERS)


def folded(name: str) -> str:
    """The key that names are compared by: case and joiners do not count."""
    return unicodedata.normalize("NFC", without_joiners(name).casefold())


def looks(name: str) -> set[tuple[str, str]]:
    """The shapes of a name, as written and in lower case; names that share one look alike."""
    return {("written", _skeleton(name)), ("lower", _skeleton(name.casefold()))}


def _skeleton(name: str) -> str:
    drawn = unicodedata.normalize("NFKD", without_joiners(name))
    letters = "".join(char for char in drawn if char not in FILLERS).translate(ALIKE)
    return " ".join(letters.split())


MIN_LIKENESS = 0.75  # of a mistyped name, to a name or to a word of it
MAX_NEAR = 3
MAX_COMPARED = 10_000  # names; more would take over a second


def near(asked: str, names: Sequence[str]) -> list[str]:
    """The names that were probably meant: alike as a whole or in a word, the likest first."""
    from difflib import SequenceMatcher

    matcher, scores = SequenceMatcher(autojunk=False), list[tuple[float, str]]()
    matcher.set_seq2(folded(asked))
    for name in names[:MAX_COMPARED]:
        key = folded(name)
        best = 0.0
        for part in {key, *key.split()}:
            matcher.set_seq1(part)
            if matcher.real_quick_ratio() >= MIN_LIKENESS:
                best = max(best, matcher.ratio())
        if best >= MIN_LIKENESS:
            scores.append((-best, name))
    return [name for _, name in sorted(scores)[:MAX_NEAR]]
