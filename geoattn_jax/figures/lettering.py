"""Text in any script: in fonts that have its characters, and in Latin letters where no installed font has."""

import functools
import logging
import unicodedata
from collections.abc import Sequence

from anyascii import anyascii
from matplotlib.font_manager import FontEntry, FontProperties, fontManager
from matplotlib.ft2font import FT2Font
from matplotlib.textpath import TextPath

FAMILY = "DejaVu Sans"  # comes with matplotlib, so that texts in its characters look the same everywhere
SIZE = 9  # points
REGULAR = 400  # the weight of a font that is neither light nor bold
LAST_RESORT = "Last Resort"  # matplotlib's font of boxes in the place of characters
WITHOUT_SHAPE = ("Cf", "Mc", "Me", "Mn")  # Unicode's categories of marks and of what is not seen
LEFTWARD, LEFT_TO_RIGHT_MARK = ("AL", "R"), "\u200e"  # of Unicode's algorithm for both directions

_log = logging.getLogger(__name__)


def legible(texts: Sequence[str]) -> list[str]:
    """The texts as they can be drawn; which ones are in other letters is said in one warning."""
    drawn = [_drawn(text) for text in texts]
    others = [
        f"{text!r} as {other!r}"
        for text, other in zip(texts, drawn, strict=True)
        if unicodedata.normalize("NFC", text) != other
    ]
    if others:
        _log.warning(
            "no installed font has all characters of some names, and pictures show %s; install a font of "
            "that script, such as Noto Sans",
            ", ".join(dict.fromkeys(others)),
        )
    return drawn


def font_of(*texts: str) -> FontProperties:
    """The font for some texts: DejaVu Sans, and after it those that have the characters that it lacks."""
    others, _ = _other_fonts(_beyond_dejavu("".join(texts)))
    return FontProperties(family=[FAMILY, *others], size=SIZE)


def embedded(name: str) -> str:
    """A name that stands inside a line from left to right, with marks if it is written from right to left."""
    leftward = any(unicodedata.bidirectional(character) in LEFTWARD for character in name)
    return f"{LEFT_TO_RIGHT_MARK}{name}{LEFT_TO_RIGHT_MARK}" if leftward else name


def width_of(text: str, *, dpi: int) -> float:
    """How many pixels wide a line of text is drawn."""
    drawn = _drawn(text)
    literal = drawn.replace("$", r"\$")  # a pair of dollar signs would be mathematics
    return TextPath((0, 0), literal, size=SIZE * dpi / 72, prop=font_of(drawn)).get_extents().x1


def _drawn(text: str) -> str:
    text = unicodedata.normalize("NFC", text)
    _, lacking = _other_fonts(_beyond_dejavu(text))
    return "".join(_latin(character) if character in lacking else character for character in text)


def _latin(character: str) -> str:
    if unicodedata.category(character) == "Cc":
        return " "
    unknown = "" if unicodedata.category(character) in WITHOUT_SHAPE else f"U+{ord(character):04X}"
    return anyascii(character) or unknown


def _beyond_dejavu(text: str) -> frozenset[str]:
    (path, *_) = (entry for entry in fontManager.ttflist if entry.name == FAMILY and _is_plain(entry))
    return frozenset({*text} - {"\n"} - _covered(path, frozenset(text)))


@functools.cache
def _other_fonts(characters: frozenset[str]) -> tuple[tuple[str, ...], frozenset[str]]:
    """The families of installed fonts that have the characters, as few as it takes, and those none has."""
    families = []
    entries = sorted(
        (entry for entry in fontManager.ttflist if _is_plain(entry)), key=lambda entry: entry.fname
    )
    while characters:
        covered, family = max(
            ((_covered(entry, characters), entry.name) for entry in entries), key=lambda pair: len(pair[0])
        )
        if not covered:
            break
        families.append(family)
        characters -= covered
    return tuple(families), characters


def _covered(entry: FontEntry, characters: frozenset[str]) -> frozenset[str]:
    font = FT2Font(entry.fname, face_index=entry.index)
    return frozenset(character for character in characters if font.get_char_index(ord(character)))


def _is_plain(entry: FontEntry) -> bool:
    return entry.style == "normal" and entry.weight == REGULAR and not entry.name.startswith(LAST_RESORT)
