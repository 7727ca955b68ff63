"""The table of ``csv`` as Parquet, which pandas, DuckDB and Spark read with its types."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

from groundkit.errors import ConfigError
from groundkit.outputs.atomic import atomic_path
from groundkit.outputs.data_set import DataSet, DataSetRun, Pictured, pictured
from groundkit.outputs.formats.base import Format, Source
from groundkit.outputs.formats.csv import COLUMNS, rows
from groundkit.results import Discovery, Grounding

_TEXTS = ("picture", "path", "phrase", "label")


def need_pyarrow() -> None:
    """Raise ConfigError when pyarrow is not installed."""
    if find_spec("pyarrow") is None:
        raise ConfigError('parquet needs pyarrow: pip install "groundkit-vision[parquet]", or use csv')


def write_parquet(path: Path, pictures: Sequence[Pictured]) -> Path:
    """Write the table. Raises ConfigError when pyarrow is not installed."""
    need_pyarrow()
    import pyarrow
    from pyarrow import parquet

    kinds = {name: pyarrow.string() if name in _TEXTS else pyarrow.int64() for name in COLUMNS}
    kinds["score"] = pyarrow.float64()
    table = pyarrow.Table.from_pylist(rows(pictures), pyarrow.schema(list(kinds.items())))
    with atomic_path(path) as temporary:
        parquet.write_table(table, temporary)
    return path


class ParquetRun(DataSetRun):
    """``parquet/objects.parquet``."""

    file: ClassVar[str] = "parquet"

    def check(self, path: Path) -> None:
        need_pyarrow()
        super().check(path)

    def write(self, data: DataSet, folder: Path) -> list[Path]:
        return [write_parquet(folder / "objects.parquet", data.pictures)]


class Parquet(Format):
    """The objects of one result."""

    ending = ".parquet"
    run = ParquetRun

    def write(self, result: Grounding | Discovery, path: Path, source: Source) -> list[Path]:
        return [write_parquet(path, [pictured(result, source)])]


FORMAT = Parquet()
