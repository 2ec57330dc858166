"""Names in any script can be read in pictures, and where they are in other letters it is said."""

import dataclasses
import logging

import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib.font_manager import fontManager
from matplotlib.image import imread

from geoattn_jax.figures import (
    annotated_strip,
    attended_regions,
    canvas,
    confusion_matrix,
    learning_curves,
    lettering,
)
from geoattn_jax.figures.lettering import embedded, font_of, legible

OWN = ["Кухня", "Πλύσιμο", "سلام عليكم", "שטיפת ידיים", "Բարեւ", "გამარჯობა", "Ça été", "đậu phụ", "$_{wash"]
OTHERS = {
    "日本語": "RiBenYu",
    "ひらく door": "hiraku door",
    "한국어": "HanGugEo",
    "สวัสดี": "swasdi",
    "नमस्ते": "nmste",
}


@pytest.fixture(autouse=True)
def fonts(monkeypatch):
    """Matplotlib's own fonts alone, whatever is installed on the machine."""
    own = [entry for entry in fontManager.ttflist if "mpl-data" in entry.fname]
    monkeypatch.setattr(fontManager, "ttflist", own)
    lettering._other_fonts.cache_clear()
    yield own
    lettering._other_fonts.cache_clear()


@pytest.fixture
def said(caplog):
    with caplog.at_level(logging.WARNING):
        yield caplog


@pytest.fixture
def square_font(tmp_path, fonts):
    """A font in which the characters of 手洗 are filled squares."""
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for corner in ((0, 1000), (1000, 1000), (1000, 0)):
        pen.lineTo(corner)
    pen.closePath()
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder([".notdef", "square"])
    builder.setupCharacterMap({ord(character): "square" for character in "手洗"})
    builder.setupGlyf(dict.fromkeys([".notdef", "square"], pen.glyph()))
    builder.setupHorizontalMetrics(dict.fromkeys((".notdef", "square"), (1100, 0)))
    builder.setupHorizontalHeader(ascent=1000, descent=0)
    builder.setupNameTable({"familyName": "Squares", "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(tmp_path / "squares.ttf")
    plain = next(entry for entry in fonts if entry.name == lettering.FAMILY)
    fonts.append(
        dataclasses.replace(
            plain, fname=str(tmp_path / "squares.ttf"), name="Squares", style="normal", weight=400
        )
    )


def test_scripts_of_matplotlibs_font_are_drawn_as_they_are(said):
    assert legible(OWN) == OWN
    assert font_of(*OWN).get_family() == [lettering.FAMILY]
    assert not said.messages


def test_other_scripts_become_latin_letters_and_it_is_said_once(said):
    assert legible([*OTHERS, *OWN, *OTHERS]) == [*OTHERS.values(), *OWN, *OTHERS.values()]
    (message,) = said.messages
    for name, drawn in OTHERS.items():
        assert message.count(f"{name!r} as {drawn!r}") == 1
    assert not any(name in message for name in OWN)


def test_a_font_that_has_the_characters_is_used(said, square_font):
    assert legible(["手洗 a", "手を"]) == ["手洗 a", "手o"]
    assert font_of("手洗 a").get_family() == [lettering.FAMILY, "Squares"]
    (message,) = said.messages
    assert "show '手を' as '手o';" in message
    wide, narrow = canvas.text_width("手洗手洗"), canvas.text_width("手洗")
    size = lettering.SIZE * canvas.DPI / 72
    assert wide == pytest.approx(4.3 * size, abs=1)
    assert narrow == pytest.approx(2.1 * size, abs=1)


def test_the_fonts_characters_are_on_the_page(tmp_path, square_font):
    with canvas.png(tmp_path / "page.png", width=80, height=30) as figure:
        canvas.add_text(figure, "手", left=10, top=5, va="top")
    black = imread(tmp_path / "page.png")[..., :3].mean(axis=-1) < 0.1
    size = lettering.SIZE * canvas.DPI / 72
    assert black.sum() == pytest.approx(size**2, rel=0.15)


@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        ("e\u0301te\u0301", "été"),  # as macOS writes file names
        ("a\tb\rc", "a b c"),
        ("手\U000e0100", "Shou"),
        ("\U000f0000", "U+F0000"),  # of private use
    ],
)
def test_marks_and_unknown_characters(text, drawn):
    assert legible([text]) == [drawn]


def picture(path, text):
    with canvas.png(path, width=300, height=30) as figure:
        canvas.add_text(figure, text, left=5, top=5, va="top")
    return imread(path)[..., :3]


def test_a_name_from_right_to_left_keeps_its_place_in_a_line(tmp_path):
    line = picture(tmp_path / "line.png", f"2. {embedded('سلام')} 0.63")
    start = picture(tmp_path / "start.png", "2.")
    end = 5 + canvas.text_width("2.")
    np.testing.assert_array_equal(line[:, :end], start[:, :end])
    turned = picture(tmp_path / "turned.png", "2. سلام 0.63")
    assert (turned[:, :end] != start[:, :end]).any()
    assert embedded("cut") == "cut"


def test_dollar_signs_are_no_mathematics(tmp_path):
    assert canvas.text_width("$x$") > canvas.text_width("x$") > canvas.text_width("x")
    page, without = (picture(tmp_path / "page.png", text) for text in ("a $x$ b", "a x b"))
    assert (page < 1).sum() > (without < 1).sum()


NAMES = [*OWN, *OTHERS]
ONE_FRAME = np.full((1, 24, 32, 3), 200, np.uint8)
BOX = np.tile(np.array([[3.0, 4.0], [3.0, 12.0], [9.0, 12.0], [9.0, 4.0]]), (1, 1, 1))
DRAW = {
    "confusion_matrix": lambda path: confusion_matrix(path, np.eye(len(NAMES), dtype=int), NAMES),
    "learning_curves": lambda path: learning_curves(
        path, {name: (np.arange(3), np.arange(3)) for name in NAMES}, ylabel="loss"
    ),
    "annotated_strip": lambda path: annotated_strip(path, ONE_FRAME, {NAMES[-1]: BOX}, NAMES[:-1]),
    "attended_regions": lambda path: attended_regions(
        path, {name: {"small": np.ones((5, 7, 3))} for name in NAMES}
    ),
}


@pytest.mark.parametrize("draw", DRAW.values(), ids=DRAW)
def test_pictures_with_names_in_all_scripts(tmp_path, said, draw):
    """A character without a shape would be a warning of matplotlib's, that is, an error here."""
    figure = draw(tmp_path / "figure.png")
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert min(box.x0, box.y0) >= 0
    assert box.x1 <= width
    assert box.y1 <= height
    assert all(" as " in message for message in said.messages)
    if draw is not DRAW["attended_regions"]:
        assert len(said.messages) == 1
