"""What a format is: one file for each result, and for some one file for all the results of a run.

>>> class Labels(Format):
...     ending = "-labels.txt"
...     def write(self, result, path, source):
...         return [write_text(path, "\\n".join(result.labels) + "\\n")]
>>> FORMAT = Labels()
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol

if TYPE_CHECKING:
    from groundkit.results import Discovery, Grounding

Part = Literal["image", "heatmap", "steps"]


@dataclass(frozen=True)
class Source:
    """Where a result comes from, for formats that write it down.

    Attributes:
        name: the input as the user named it.
        place: its absolute path, ``-`` for standard input; empty where it is not known.
        stem: a name for the input that no other input of the run has, such as ``photo``.
        owner: a digest of the command and the input, see ``outputs.ours.owner``; empty outside a run.
        formats: all formats in which the result is written.
        label: the class of what was found; the phrase where it is empty.
    """

    name: str = ""
    place: str = ""
    stem: str = ""
    owner: str = ""
    formats: tuple[str, ...] = ()
    label: str = ""


class Format(ABC):
    """A way to write one result.

    Attributes:
        ending: what is added to the base name of a file, such as ``-overlay.png``.
        needs: what it reads of a result beside masks, scores, boxes and points. A batch keeps neither heatmaps nor
            steps: a phrase is grounded again when such a format is asked for later.
        per_label: whether a discovery is written once for each label, as a ``Grounding``, and not as a whole.
        run: for a format with one file for all results of a run, what collects them; ``write`` is not called then.
    """

    ending: ClassVar[str]
    needs: ClassVar[frozenset[Part]] = frozenset()
    per_label: ClassVar[bool] = False
    run: ClassVar[type[RunFormat] | None] = None

    @abstractmethod
    def write(self, result: Grounding | Discovery, path: Path, source: Source) -> list[Path]:
        """Write one result to ``path``, and return the files that were written.

        Raises:
            ConfigError: a result that this format cannot show.
            InputError: when the place cannot be written to.
        """

    @property
    def takes_discoveries(self) -> bool:
        """Whether it can write what was discovered, which has neither heatmaps nor steps."""
        return not self.needs & {"heatmap", "steps"}


class RunFormat(Protocol):
    """One file or folder for all the results of a run.

    Attributes:
        file: its name in the folder of the results, such as ``coco.json``.
    """

    file: ClassVar[str]

    def __init__(self, command: str, categories: Sequence[str] = (), *, whole: bool = False) -> None:
        """Begin.

        Args:
            command: what makes the run, such as ``groundkit segment``.
            categories: labels that are known before, numbered in their order; others follow as they come.
            whole: whether everything that the folder holds will be added. Otherwise what earlier runs of the same
                command have written stays, but for the pictures and phrases that are added.
        """

    def check(self, path: Path) -> None:
        """Raise ConfigError, before the work, when ``path`` is there and another command or program has written it."""

    def add(self, result: Grounding | Discovery, source: Source) -> None:
        """Add a result. The picture of one that comes from a batch's manifest is black."""

    def finish(self, path: Path) -> list[Path]:
        """Write all results to ``path``, and return the files; none where nothing was added."""


def mask_names(path: Path, count: int) -> list[Path]:
    """One path per mask: ``path`` itself for a single one, ``cup-mask1.png``, ``cup-mask2.png`` for several."""
    if count == 1:
        return [path]
    return [path.with_name(f"{path.stem}-mask{number}{path.suffix}") for number in range(1, count + 1)]
