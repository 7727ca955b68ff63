"""What a notebook shows of a result, and what a table holds of it."""

from __future__ import annotations

import base64
import html
import io
from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt

from groundkit.errors import GroundkitError

if TYPE_CHECKING:
    from pandas import DataFrame
    from PIL import Image

_MAX_SIDE = 1024  # of a picture in a notebook, in pixels, which would keep a large one in its file


class Shown:
    """A result that notebooks draw by themselves, and that becomes a picture or a table.

    Attributes:
        columns: of the table.
    """

    columns: ClassVar[tuple[str, ...]]

    @abstractmethod
    def picture(self) -> npt.NDArray[np.uint8]:
        """The result as a picture: uint8 ``(height, width, 3)`` RGB."""

    @abstractmethod
    def rows(self) -> list[dict[str, object]]:
        """The result as rows of a table, whose keys are the columns."""

    def to_pil(self) -> Image.Image:
        """The result as a picture, at full size.

        Example:
            >>> import groundkit
            >>> groundkit.load("refam")("scene.png", "the red cup").to_pil().size
            (256, 256)
        """
        from PIL import Image

        return Image.fromarray(self.picture())

    def to_pandas(self) -> DataFrame:
        """The result as a table.

        Raises:
            GroundkitError: pandas is not installed.

        Example:
            >>> import groundkit
            >>> table = groundkit.load("refam")("scene.png", "the red cup").to_pandas()
            >>> table.columns.tolist()
            ['phrase', 'score', 'evidence', 'x1', 'y1', 'x2', 'y2', 'area']
        """
        try:
            import pandas
        except ImportError as error:
            raise GroundkitError("a table needs pandas: pip install pandas") from error
        return pandas.DataFrame(self.rows(), columns=list(self.columns))

    def show(self) -> None:
        """Show the result: below the cell of a notebook, elsewhere in the system's viewer of pictures."""
        try:
            from IPython import get_ipython
            from IPython.display import display
        except ImportError:
            self.to_pil().show()
            return
        if get_ipython() is None:
            self.to_pil().show()
        else:
            display(self)

    def _repr_png_(self) -> bytes:
        """The picture as a PNG file, as a notebook asks for it."""
        picture = self.to_pil()
        picture.thumbnail((_MAX_SIDE, _MAX_SIDE))
        file = io.BytesIO()
        picture.save(file, "PNG")
        return file.getvalue()

    def _repr_html_(self) -> str:
        """The picture and what ``repr`` says, as a notebook asks for it."""
        data = base64.b64encode(self._repr_png_()).decode()
        said = html.escape(repr(self))
        return f'<div><img src="data:image/png;base64,{data}" alt="{said}"><p><code>{said}</code></p></div>'
