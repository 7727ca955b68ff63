"""Vision-language models, one file per family; the file is named by the family's ``model_type``."""

from pathlib import Path

from groundkit.plugins import Registry

FAMILIES = Registry(
    Path(__file__).parent,
    __name__,
    "FAMILY",
    "groundkit.families",
    frozenset({"base", "chat", "conversations", "families", "look", "passes", "picture_sizes", "prefix"}),
)
