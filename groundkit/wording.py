"""Words for numbers."""


def count_of(number: int, noun: str) -> str:
    """``1 result``, ``2 results``, ``1,200 results``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
