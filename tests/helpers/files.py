"""What lies in a folder."""

from pathlib import Path


def tree(folder: Path) -> dict[str, bytes]:
    """The content of every file but locks by its path within the folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.suffix != ".lock" and path.is_file()
    }
