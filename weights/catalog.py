"""Checkpoints that groundkit is made for: where they are, how large, under which licence."""

import difflib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from groundkit.errors import ModelError
from groundkit.media.paths import expand_home

NANO = Path(__file__).parent / "nano"
NanoPart = Literal["flux", "llava", "sam"]
Kind = Literal["pipeline", "segmenter", "tracker"]
REAL_READER = "HuggingFaceTB/SmolVLM-500M-Instruct"  # the one to begin with
REAL_SEGMENTER = "facebook/sam-vit-base"


@dataclass(frozen=True)
class Entry:
    """One checkpoint.

    Attributes:
        name: short name for people.
        kind: ``pipeline`` for what ``--model`` takes, ``segmenter`` and ``tracker`` for what the options of these names
            take.
        source: hub id, or the word that the option takes.
        size_gb: download size in gigabytes, to plan by: as published, or computed from the number of parameters; None
            where we know of no figure.
        licence: its licence.
        note: what to know before use.
        sha256: first digits of the file's SHA-256 where its publisher states them.
        embedded: for a model that comes with groundkit, its part of nano.
    """

    name: str
    kind: Kind
    source: str
    size_gb: float | None
    licence: str
    note: str
    sha256: str = ""
    embedded: NanoPart | None = None


def nano_folder(part: NanoPart) -> Path:
    """Folder of an embedded model.

    Raises:
        ModelError: this installation has none.
    """
    folder = NANO / part
    if not folder.is_dir():
        raise ModelError(f"nano's weights are missing from {NANO}: install groundkit again, or name a model")
    return folder


def is_embedded(name: str | Path) -> bool:
    """Whether a name stands for embedded models."""
    return str(name) == "nano"


def source_of(name: str | Path, part: NanoPart) -> str | Path:
    """The folder or Hub id that a name stands for: for ``nano`` the folder of a part; ``~/`` is the home folder.

    Raises:
        ModelError: this installation has no embedded models.
    """
    return nano_folder(part) if is_embedded(name) else expand_home(name) if str(name).startswith("~") else name


def default_segmenter(model: str | Path) -> str:
    """The segmenter that goes with a model, or with several joined by commas, where none is named."""
    return "nano" if all(map(is_embedded, str(model).split(","))) else REAL_SEGMENTER


def entries() -> list[Entry]:
    """Every checkpoint of the catalog, the embedded ones first."""
    return [
        _embedded("nano FLUX", "pipeline", "flux", "for refam; synthetic scenes only"),
        _embedded("nano LLaVA", "pipeline", "llava", "for vlsam, decaf; synthetic scenes only"),
        _embedded("nano SAM", "segmenter", "sam", "synthetic scenes only"),
        Entry("FLUX.1 schnell", "pipeline", "black-forest-labs/FLUX.1-schnell", 33.7, "Apache-2.0", "12 B parameters"),
        Entry(
            "FLUX.1 dev",
            "pipeline",
            "black-forest-labs/FLUX.1-dev",
            33.7,
            "FLUX.1 [dev] Non-Commercial",
            "gated: accept the licence on its page, then set HF_TOKEN",
        ),
        Entry(
            "SmolVLM 500M",
            "pipeline",
            REAL_READER,
            1.02,
            "Apache-2.0",
            "for vlsam, decaf; runs on a laptop",
        ),
        Entry(
            "SmolVLM 256M",
            "pipeline",
            "HuggingFaceTB/SmolVLM-256M-Instruct",
            0.51,
            "Apache-2.0",
            "for vlsam, decaf; smallest",
        ),
        Entry("Qwen2.5-VL 3B", "pipeline", "Qwen/Qwen2.5-VL-3B-Instruct", None, "Qwen Research", "for vlsam, decaf"),
        Entry("Qwen2.5-VL 7B", "pipeline", "Qwen/Qwen2.5-VL-7B-Instruct", 16.58, "Apache-2.0", "for vlsam, decaf"),
        Entry("LLaVA-1.5 7B", "pipeline", "llava-hf/llava-1.5-7b-hf", None, "Llama 2", "for vlsam, decaf"),
        Entry(
            "Mochi 1",
            "pipeline",
            "genmo/mochi-1-preview",
            None,
            "Apache-2.0",
            "for videos; --variant bf16 is half the size",
        ),
        Entry("Wan 2.1 1.3B", "pipeline", "Wan-AI/Wan2.1-T2V-1.3B-Diffusers", None, "Apache-2.0", "for videos"),
        Entry("CogVideoX 2B", "pipeline", "THUDM/CogVideoX-2b", None, "Apache-2.0", "for videos"),
        Entry(
            "HunyuanVideo",
            "pipeline",
            "hunyuanvideo-community/HunyuanVideo",
            None,
            "Tencent Hunyuan Community",
            "for videos",
        ),
        Entry("LTX-Video", "pipeline", "Lightricks/LTX-Video", None, "LTX-Video Open Weights", "for videos"),
        Entry("SAM 2.1 tiny", "tracker", "facebook/sam2.1-hiera-tiny", None, "Apache-2.0", "fastest"),
        Entry("SAM 2.1 large", "tracker", "facebook/sam2.1-hiera-large", None, "Apache-2.0", "best"),
        Entry("EdgeTAM", "tracker", "yonigozlan/EdgeTAM-hf", None, "Apache-2.0", "for small machines"),
        Entry("SAM ViT-B", "segmenter", "facebook/sam-vit-base", 0.375, "Apache-2.0", "fastest"),
        Entry("SAM ViT-L", "segmenter", "facebook/sam-vit-large", 1.25, "Apache-2.0", ""),
        Entry("SAM ViT-H", "segmenter", "facebook/sam-vit-huge", 2.56, "Apache-2.0", "best"),
        Entry("SAM ViT-B file", "segmenter", "sam_vit_b_01ec64.pth", 0.375, "Apache-2.0", "original file", "01ec64"),
        Entry("SAM ViT-L file", "segmenter", "sam_vit_l_0b3195.pth", 1.25, "Apache-2.0", "original file", "0b3195"),
        Entry("SAM ViT-H file", "segmenter", "sam_vit_h_4b8939.pth", 2.56, "Apache-2.0", "original file", "4b8939"),
    ]


def find(source: str) -> Entry | None:
    """The entry of a Hub id, None for one that the catalog does not have."""
    return next((entry for entry in entries() if entry.source == source and entry.embedded is None), None)


def similar(name: str) -> Entry | None:
    """The checkpoint that a misspelt or shortened name stands for: "flux", "black-forest-labs/FLUX.1-schnel"."""

    def plain(text: str) -> str:
        return re.sub(r"[^a-z0-9]", "", text.lower())

    spellings: dict[str, Entry] = {}
    for entry in entries():
        if entry.embedded is None:
            for spelling in (entry.source, entry.source.rpartition("/")[2], entry.name):
                spellings.setdefault(plain(spelling), entry)
    for wanted in (plain(name), plain(name.rpartition("/")[2])):
        containing = [known for known in spellings if len(wanted) > 2 and wanted in known]
        close = containing or difflib.get_close_matches(wanted, spellings, n=1, cutoff=0.75)
        if close:
            return spellings[close[0]]
    return None


def _embedded(name: str, kind: Kind, part: NanoPart, note: str) -> Entry:
    size = sum(file.stat().st_size for file in (NANO / part).rglob("*")) / 1e9
    return Entry(name, kind, "nano", round(size, 3), "Apache-2.0", f"embedded; {note}", embedded=part)
