"""What is read from a model in one pass: the attention between words and picture, layer by layer."""

from dataclasses import dataclass

from torch import Tensor

from groundkit.errors import AttentionError


def check_finite(maps: Tensor, model: object) -> None:
    """Refuse maps that hold NaN or infinity, which would become a mask like any other.

    Raises:
        AttentionError: naming the dtype that helps: float16 overflows in many text encoders and autoencoders.
    """
    if bool(maps.isfinite().all()):
        return
    dtype = str(getattr(model, "dtype", "")).removeprefix("torch.")
    remedy = 'use dtype="bfloat16" or dtype="float32"'
    if dtype == "float32":
        remedy = "the model's weights are damaged or do not fit; download them again"
    raise AttentionError(f"the attention is not finite in {dtype or 'this dtype'}: {remedy}")


@dataclass(frozen=True)
class AttentionMaps:
    """Attention between T text tokens and the patches of a picture (h x w) or a clip (t x h x w).

    Heads are reduced; tensors are on the CPU.

    Attributes:
        layers: names of the L layers, first to last.
        token_maps: float32 ``(L, T, h, w)``, of a clip ``(L, T, t, h, w)``, probabilities. For image->text, entry
            ``[l, j, y, x]`` is how much of the attention of patch (y, x) goes to token j; for text->image, how much of
            token j's goes to the patch.
        text_to_text: float32 ``(L, T, T)``, row i is how token i's attention is spread over the text; None for a model
            whose words are only looked at (cross-attention).
    """

    layers: tuple[str, ...]
    token_maps: Tensor
    text_to_text: Tensor | None

    def __post_init__(self) -> None:
        count, tokens = self.token_maps.shape[:2]
        if self.token_maps.ndim not in (4, 5) or count != len(self.layers):
            raise ValueError(
                f"token_maps must be ({len(self.layers)}, T, h, w) or ({len(self.layers)}, T, t, h, w), "
                f"got {tuple(self.token_maps.shape)}"
            )
        if self.text_to_text is not None and self.text_to_text.shape != (count, tokens, tokens):
            raise ValueError(f"text_to_text must be {(count, tokens, tokens)}, got {tuple(self.text_to_text.shape)}")
