"""Attention magnets: words that mean nothing here, appended so that attention to the background gathers on them."""

# The teaser figure of RefAM's project page: stop words and one colour. Its caption writes "." where "_" is drawn.
DEFAULT_MAGNETS = ("_", "with", "a", "the", "pink")

# The pipeline figure of the same page.
PIPELINE_FIGURE_MAGNETS = ("with", "to", "pink")
