from pathlib import Path

import tiny_internvl


def save(folder: Path) -> None:
    """InternVL with one tile at most."""
    tiny_internvl.save(folder, most_tiles=1)
