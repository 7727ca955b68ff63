from pathlib import Path

import tiny_smolvlm


def save(folder: Path) -> None:
    """SmolVLM with ``do_image_splitting`` off."""
    tiny_smolvlm.save(folder, split=False)
