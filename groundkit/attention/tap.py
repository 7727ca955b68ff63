"""Read the attention of a model while it runs, whatever the model: nothing is patched, the output stays bit for bit.

Every attention of diffusers and transformers ends in ``torch.nn.functional.scaled_dot_product_attention``. A
``TorchFunctionMode`` sees each such call with its query and key, and the hooks of the model's own blocks say which
layer makes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from threading import get_ident, local
from traceback import walk_tb
from types import TracebackType
from typing import Any, Protocol, Self

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from groundkit import clock
from groundkit.attention.fused import attend
from groundkit.attention.softmax import AttentionCall, Heads, attention_entries
from groundkit.errors import AttentionError


class Reading(Protocol):
    """What a tap reads of an attention call: chosen entries (:class:`Selection`), or whatever else is made of them."""

    def read(self, call: AttentionCall, log_sum_exp: Tensor | None, row_chunk: int) -> Any: ...


@dataclass(frozen=True)
class Selection:
    """Which entries of softmax(scale q k^T + mask) are wanted. The softmax always runs over all keys.

    Attributes:
        rows: R query positions in the joint sequence, a slice or a 1-D int64 or bool tensor.
        columns: C key positions, likewise.
        heads: "mean" averages the heads as they are read, "all" keeps them.
    """

    rows: Tensor | slice
    columns: Tensor | slice
    heads: Heads = "mean"

    def __post_init__(self) -> None:
        for name, wanted in (("rows", self.rows), ("columns", self.columns)):
            if isinstance(wanted, Tensor) and (wanted.ndim != 1 or wanted.dtype not in (torch.int64, torch.bool)):
                raise ValueError(f"{name} must be 1-D int64 or bool, got {wanted.dtype} {tuple(wanted.shape)}")
        if self.heads not in ("mean", "all"):
            raise ValueError(f'heads must be "mean" or "all", got {self.heads!r}')

    def read(self, call: AttentionCall, log_sum_exp: Tensor | None, row_chunk: int) -> Tensor:
        """See :func:`~groundkit.attention.softmax.attention_entries`."""
        return attention_entries(
            call, self.rows, self.columns, heads=self.heads, log_sum_exp=log_sum_exp, row_chunk=row_chunk
        )


class AttentionTap:
    """Context manager that reads chosen attention entries of chosen layers of a running model.

    Run the model inside it, then ``read`` each selection. The model's output and gradients are those of a plain run,
    bit for bit, and the model is left as it was found, also when its forward raises. A second pass under the same tap
    overwrites the first, layer by layer; entering the tap again forgets everything read before. Taps nest, and a tap
    that is entered again while it is active stays the one tap it is.

    Query rows are those of the call itself, and a decoding step with a key cache has few: read a generated text from
    one forward pass over all of it. The tap sees the thread that entered it, whatever other threads do with
    the same model meanwhile, and a model that is not compiled.

    Args:
        layers: a name for each module whose forward makes exactly one attention call, such as a transformer block.
        selections: a name for each thing to read, the same for every layer.
        row_chunk: query rows worked on at a time; extra memory grows with it (see ``attention_entries``).
        stop: end the pass inside the attention call of the layer that runs last, once each layer was read. Nothing
            after it is run, neither in the model nor in the ``with`` block. Where taps are nested, the pass ends when
            every one of them allows it and has read its layers: a tap without ``stop`` sees the whole pass.

    Raises:
        AttentionError: on entering it in a second thread while it is active; while the model runs, when a layer makes a
            second attention call, applies dropout, attends over tensors that are not ``(B, H, N, D)``, or has no such
            row or column; on leaving the context without another exception, when a layer made no call.
    """

    def __init__(
        self,
        layers: Mapping[str, nn.Module],
        selections: Mapping[str, Reading],
        *,
        row_chunk: int = 128,
        stop: bool = False,
    ) -> None:
        if not layers or not selections or row_chunk < 1:
            raise ValueError("an AttentionTap needs at least one layer, one selection and one row in a chunk")
        self._layers = dict(layers)
        self._selections = dict(selections)
        self._row_chunk = row_chunk
        self._stop = stop
        self._entries: dict[tuple[str, str], Any] = {}  # (layer, selection)
        self._visits: list[_Visit] = []
        self._ran: set[str] = set()
        self._unread: set[str] = set()  # layers, in this pass
        self._depth = 0
        self._thread = 0
        self._cleanup = ExitStack()

    def __enter__(self) -> Self:
        if self._depth == 0:
            self._thread = get_ident()
            self._entries.clear()
            self._visits.clear()
            self._ran.clear()
            self._unread = set(self._layers)
            with ExitStack() as stack:
                for name, layer in self._layers.items():
                    # First in and last out, so that layers within layers leave in the reverse order of entering.
                    before = layer.register_forward_pre_hook(partial(self._enter_layer, name), prepend=True)
                    stack.callback(before.remove)
                    after = layer.register_forward_hook(partial(self._leave_layer, name), always_call=True)
                    stack.callback(after.remove)
                stack.enter_context(_AttentionMode(self))
                _active.taps.append(self)
                stack.callback(_active.taps.remove, self)
                self._cleanup = stack.pop_all()
        elif get_ident() != self._thread:
            raise AttentionError("this AttentionTap is active in another thread: make one for each thread")
        self._depth += 1
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        self._depth -= 1
        if self._depth > 0:
            return False
        self._cleanup.close()
        if kind is None:
            self._require_all_layers()
        if not isinstance(error, _Enough) or error.tap is not self:
            return False
        _unload(traceback)
        return True

    def read(self, selection: str, *, row: int | None = None) -> Tensor:
        """The entries of one selection, the layers in the order they were given.

        Args:
            selection: its name.
            row: of the batch, which alone is read; by default all are.

        Returns:
            float32 ``(L, B, R, C)`` for heads "mean", ``(L, B, H, R, C)`` for "all", on the device of the first layer;
            of one row without B.

        Raises:
            AttentionError: a layer made no attention call, or the layers differ in shape.
        """
        entries = self.read_layers(selection)
        if row is not None:
            entries = [layer[row] for layer in entries]
        shapes = {tuple(layer.shape) for layer in entries}
        if len(shapes) > 1:
            raise AttentionError(f"layers differ in shape ({shapes}): read them with one tap for each shape")
        return torch.stack([layer.to(entries[0].device) for layer in entries])

    def read_layers(self, selection: str) -> list[Any]:
        """What one selection read of each layer, in the order the layers were given, as it is.

        Raises:
            AttentionError: a layer made no attention call.
        """
        if selection not in self._selections:
            raise KeyError(f"no selection {selection!r}; there are {', '.join(self._selections)}")
        self._require_all_layers()
        return [self._entries[layer, selection] for layer in self._layers]

    def _require_all_layers(self) -> None:
        heard = {layer for layer, _ in self._entries}
        silent = [layer for layer in self._layers if layer not in heard]
        if not silent:
            return
        names = ", ".join(silent)
        if not self._ran.intersection(silent):
            raise AttentionError(
                f"no forward pass of {names} inside the tap: run the model that owns these layers in it"
            )
        raise AttentionError(
            f"no scaled_dot_product_attention call in {names}: switch the model to it, in diffusers by "
            'model.set_attention_backend("native"), in transformers by attn_implementation="sdpa", uncompiled'
        )

    def _enter_layer(self, name: str, layer: nn.Module, inputs: Any) -> None:
        if get_ident() == self._thread:
            self._ran.add(name)
            self._visits.append(_Visit(name))

    def _leave_layer(self, name: str, layer: nn.Module, inputs: Any, output: Any) -> None:
        if get_ident() != self._thread:
            return
        if self._visits and self._visits[-1].layer == name:  # else another's pre-hook raised before ours ran
            self._visits.pop()

    def _observe(self, call: AttentionCall) -> tuple[Tensor, Tensor | None]:
        """Run the call, and read it for every wanted layer that is running."""
        for visit in self._visits:
            visit.count(call)
        call = call.autocast()
        output, log_sum_exp = attend(call)
        for visit in self._visits:
            for name, selection in self._selections.items():
                try:
                    with clock.part("ours"):
                        self._entries[visit.layer, name] = selection.read(call, log_sum_exp, self._row_chunk)
                except IndexError as error:
                    raise AttentionError(
                        f"selection {name!r} goes beyond {visit.layer}, which has {call.query.shape[2]} queries and "
                        f"{call.key.shape[2]} keys: choose positions within them"
                    ) from error
            if visit.layer not in self._unread:  # a further pass
                self._unread = set(self._layers)
            self._unread.remove(visit.layer)
        if all(tap._stop and not tap._unread for tap in _active.taps):
            raise _Enough(self)
        return output, log_sum_exp


class _Enough(Exception):  # noqa: N818 (it is no error)
    """Ends a pass of which all is read. No BaseException: torch calls hooks behind an ``Exception`` alone."""

    def __init__(self, tap: AttentionTap) -> None:
        super().__init__("the pass has ended early")
        self.tap = tap


class _Active(local):
    """The taps that this thread has entered, from the outermost on."""

    def __init__(self) -> None:
        self.taps: list[AttentionTap] = []


_active = _Active()


def _unload(traceback: TracebackType | None) -> None:
    """Let accelerate's hooks send away the weights of the modules that were left early, as after a whole forward."""
    modules = [frame.f_locals.get("self") for frame, _ in walk_tb(traceback)]
    for module in reversed(dict.fromkeys(each for each in modules if isinstance(each, nn.Module))):
        if (hook := getattr(module, "_hf_hook", None)) is not None:
            hook.post_forward(module, None)


@dataclass
class _Visit:
    """One forward pass of one wanted layer, from its pre-hook to its hook."""

    layer: str
    calls: int = 0

    def count(self, call: AttentionCall) -> None:
        self.calls += 1
        if self.calls > 1:
            raise AttentionError(
                f"{self.layer} makes more than one attention call: name the attention submodule instead of the block"
            )
        if call.dropout_p > 0:
            raise AttentionError(f"{self.layer} drops attention entries at random: call model.eval() first")
        if call.query.ndim != 4:
            raise AttentionError(
                f"{self.layer} attends over {tuple(call.query.shape)}, not (batch, heads, tokens, head size): "
                "name another layer"
            )


class _AttentionMode(TorchFunctionMode):
    """Hands every attention call inside a wanted layer to the tap, and lets everything else pass."""

    def __init__(self, tap: AttentionTap) -> None:
        super().__init__()
        self._tap = tap

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if self._tap._visits:
            if func is torch.nn.functional.scaled_dot_product_attention:
                return self._tap._observe(AttentionCall(*args, **kwargs))[0]
            if func is attend:  # the call of a tap inside this one
                return self._tap._observe(*args)
        return func(*args, **kwargs)
