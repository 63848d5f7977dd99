"""The demo family's world in words: what a scene can hold and what a caption can say.

Every word is one token of CLIP's tokenizer (tests/training/test_captions.py checks it), so that
the family's 60-odd rows of vocabulary can be written into CLIP's table.
"""

from __future__ import annotations

SCENES = ("meadow", "beach", "snow", "night", "sunset", "room")
COLOURS = ("red", "green", "blue", "yellow", "purple", "orange", "white", "black")
SHAPES = ("ball", "cube", "cone", "cylinder", "ring", "star", "figure")
SIZES = ("small", "large")
PLACES = ("left", "middle", "right")
POSES = ("standing", "waving", "jumping")
FIGURE = SHAPES.index("figure")

SCENE_PHRASES = (
    "in a meadow",
    "on a beach",
    "in the snow",
    "at night",
    "at sunset",
    "in a room",
)
PLACE_PHRASES = ("on the left", "in the middle", "on the right")
OTHER_SIZES = ("little", "big")
OTHER_NAMES = {"ball": "sphere", "cube": "box", "figure": "person"}
OPENINGS = ("a photo of", "a picture of")

# Colour and shape that training never shows together: what the model makes of them is its own.
UNSEEN = (
    ("purple", "cone"),
    ("green", "ring"),
    ("yellow", "cube"),
    ("blue", "star"),
    ("orange", "cylinder"),
    ("red", "figure"),
    ("white", "ball"),
)
UNSEEN_PAIRS = frozenset((COLOURS.index(colour), SHAPES.index(shape)) for colour, shape in UNSEEN)

_SAID = (
    *SCENE_PHRASES,
    *PLACE_PHRASES,
    *OPENINGS,
    *COLOURS,
    *SHAPES,
    *SIZES,
    *POSES,
    *OTHER_SIZES,
    *OTHER_NAMES.values(),
    "and ,",
)
START, END, UNKNOWN = 0, 1, 2
VOCABULARY = ("<start>", "<end>", "<unknown>", *sorted(set(" ".join(_SAID).split())))
TOKENS = {word: row for row, word in enumerate(VOCABULARY)}
LENGTH = 77


def token_rows(words: tuple[str, ...], length: int = LENGTH) -> list[int]:
    """Rows of the vocabulary: start, words, end, and end again as padding."""
    rows = [START, *(TOKENS.get(word, UNKNOWN) for word in words)][: length - 1]
    return rows + [END] * (length - len(rows))
