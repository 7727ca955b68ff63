"""Language: from a referring expression to words, their roles, the object's direction, and a text encoder's tokens."""

from groundkit.language.direction import Direction, find_directions
from groundkit.language.magnets import DEFAULT_MAGNETS, PIPELINE_FIGURE_MAGNETS
from groundkit.language.phrase import Phrase, parse_phrase
from groundkit.language.selection import Selection
from groundkit.language.tokens import Token, tokenize
from groundkit.language.words import STOP_WORDS, Role, Word

__all__ = [
    "DEFAULT_MAGNETS",
    "PIPELINE_FIGURE_MAGNETS",
    "STOP_WORDS",
    "Direction",
    "Phrase",
    "Role",
    "Selection",
    "Token",
    "Word",
    "find_directions",
    "parse_phrase",
    "tokenize",
]
