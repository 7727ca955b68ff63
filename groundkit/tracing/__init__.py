"""``groundkit.trace``: the attention of somebody's own call of a diffusers pipeline or a transformers model."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

from groundkit.attention.choices import AttentionDirection
from groundkit.attention.maps import AttentionMaps
from groundkit.errors import AttentionError, ConfigError, unknown
from groundkit.media.images import ImageSource, read_image

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from transformers import PreTrainedModel, ProcessorMixin


class Watch(AbstractContextManager["Watch"], Protocol):
    """Reads a model while it runs; see ``tracing.diffusion`` and ``tracing.vision_language``.

    Attributes:
        pictures: for each picture, the maps of each step.
    """

    pictures: list[list[AttentionMaps]]

    def whole(self, steps: Sequence[AttentionMaps]) -> AttentionMaps:
        """The maps of one picture over all steps."""


class Trace:
    """What a model attended to inside the ``with`` block of :func:`trace`.

    A picture is one row of the batch that the model was called with: one for each prompt, or several with
    ``num_images_per_prompt``. With classifier-free guidance the rows of the negative prompt are left out. A step is one
    pass of the transformer, or in ``generate`` the pass over the question and then one pass for each word.

    Example:
        >>> import groundkit
        >>> pipe = groundkit.load("refam").diffusion.pipeline
        >>> with groundkit.trace(pipe, layers="0-0") as trace:
        ...     latents = pipe(["a cup", "a hat"], num_inference_steps=2, height=64, width=64, output_type="latent")
        >>> trace
        <Trace: 2 pictures, 2 and 2 steps>
        >>> trace.of(picture=1)["hat"].numpy().shape
        (1, 1, 1, 4, 4)
    """

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def __enter__(self) -> Self:
        self._watch.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._watch.__exit__(kind, error, traceback)

    def __len__(self) -> int:
        """How many pictures were read."""
        return len(self._watch.pictures)

    def __repr__(self) -> str:
        steps = " and ".join(str(len(each)) for each in self._watch.pictures) or "no"
        return f"<Trace: {len(self)} picture{'s' * (len(self) != 1)}, {steps} steps>"

    def steps(self, picture: int = 0) -> Sequence[AttentionMaps]:
        """The maps of one picture, step by step.

        Raises:
            IndexError: there is no such picture.
        """
        pictures = self._watch.pictures
        if not pictures:
            raise AttentionError("nothing was read: call the pipeline or model inside the `with groundkit.trace` block")
        if not 0 <= picture < len(pictures):
            raise IndexError(f"there are pictures 0 to {len(pictures) - 1}, not {picture}")
        return pictures[picture]

    def of(self, picture: int) -> AttentionMaps:
        """The maps of one picture over all steps: their mean, or after ``generate`` those of all words together.

        Raises:
            IndexError: there is no such picture.
        """
        return self._watch.whole(self.steps(picture))

    @property
    def maps(self) -> AttentionMaps:
        """The maps of the only picture over all steps.

        Raises:
            AttentionError: nothing was read, or there are several pictures: ``of(picture)`` takes one of them.
        """
        if len(self) > 1:
            raise AttentionError(f"{len(self)} pictures were read: take one with of(picture), 0 to {len(self) - 1}")
        return self.of(0)

    def __getitem__(self, word: str) -> AttentionMaps:
        """The maps of a word: ``trace.maps[word]``.

        Raises:
            KeyError: there is no such word.
        """
        return self.maps[word]


def trace(
    model: DiffusionPipeline | PreTrainedModel,
    processor: ProcessorMixin | None = None,
    *,
    images: Sequence[ImageSource] | None = None,
    layers: str = "all",
    heads: Sequence[int] | None = None,
    keep_heads: bool = False,
    direction: str = "image_to_text",
) -> Trace:
    """Read the attention between words and picture while a pipeline or model of yours runs.

    Nothing is patched, and what your call returns stays bit for bit what it is without. The model must compute its
    attention by torch's ``scaled_dot_product_attention`` (the default of both libraries) and must not be compiled.

    Args:
        model: a diffusers pipeline, or a vision-language model of transformers, of any family that groundkit reads.
        processor: that of the vision-language model; a pipeline has its own tokenizers.
        images: the pictures that a vision-language model is shown, one per text; needed where it cuts them into tiles.
        layers: ``all``, ``late``, a range such as ``10-18``, or names with commas.
        heads: indices of the heads; all of them by default.
        keep_heads: keep every head by itself instead of their mean.
        direction: of a pipeline, ``image_to_text`` (patches looking at words) or ``text_to_image``; words of a
            vision-language model look at the picture.

    Returns:
        A context manager; after its block it holds the maps, see :class:`Trace`. In memory (float32) each step of each
        picture has layers x heads x words x image tokens.

    Raises:
        ModelError: a pipeline or model of no family that groundkit reads.
        ConfigError: a layer, head or direction that does not exist, or a model without its processor.
        AttentionError: while the model runs, a layer whose attention cannot be read, or text that was not encoded
            inside the block (``prompt_embeds``).

    Example:
        >>> import groundkit
        >>> pipe = groundkit.load("refam").diffusion.pipeline  # a FluxPipeline, as diffusers loads it
        >>> with groundkit.trace(pipe) as trace:
        ...     picture = pipe("the red cup", num_inference_steps=2, height=128, width=128).images[0]
        >>> trace["cup"].mean_layers().numpy().shape
        (1, 1, 1, 8, 8)
        >>> len(trace.steps())
        2
    """
    from diffusers import DiffusionPipeline
    from torch.nn import Module

    if not isinstance(model, DiffusionPipeline | Module):
        raise ConfigError(
            "trace watches a call of your own model: give a loaded diffusers pipeline, or a transformers model and its "
            f"processor, not {model if isinstance(model, str) else type(model).__name__!r}; to read a phrase and a "
            "picture by name: groundkit.load(...).attention(picture, phrase)"
        )
    wanted = None if heads is None else tuple(heads)
    if isinstance(model, DiffusionPipeline):
        from groundkit.models.diffusion.families import family_around
        from groundkit.models.options import ReadOptions
        from groundkit.tracing.diffusion import DiffusionWatch

        options = ReadOptions(layers=layers, heads=wanted, keep_heads=keep_heads, direction=_direction(direction))
        return Trace(DiffusionWatch(family_around(model), options))
    from groundkit.models.vision_language.families import family_beside
    from groundkit.tracing.vision_language import VisionLanguageWatch

    if processor is None:
        raise ConfigError("a vision-language model is traced with its processor: groundkit.trace(model, processor)")
    pictures = None if images is None else [read_image(image) for image in images]
    family = family_beside(model, processor)
    return Trace(
        VisionLanguageWatch(model, family, layers=layers, heads=wanted, keep_heads=keep_heads, images=pictures)
    )


def _direction(name: str) -> AttentionDirection:
    try:
        return AttentionDirection(name)
    except ValueError:
        raise ConfigError(unknown("direction", name, [each.value for each in AttentionDirection])) from None
