"""A make-believe GPU: tensors that say ``cuda:0`` or ``mps:0``, compute on the CPU, and refuse to mix with CPU tensors.

A wrapper around a CPU tensor says the device's name. A dispatch mode computes every operation on the tensors inside,
wraps what comes out, and raises what torch raises where tensors of the device meet CPU tensors of one dimension or
more. The kernels are the CPU's, so what a model computes there is bit for bit what it computes on the CPU.

On the make-believe Mac torch's chooser of attention kernels raises, and so does every float64 tensor, as on a real one.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend
from torch.overrides import handle_torch_function, has_torch_function
from torch.utils._device import _device_constructors
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map_only, tree_unflatten

aten = torch.ops.aten
_MOVES = {aten._to_copy.default, aten.copy_.default}
_INDEXED = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._unsafe_index.Tensor}
_MPS, _META = 13, 14  # of c10::DeviceType


class PretendTensor(torch.Tensor):
    """A tensor of a make-believe device around a CPU tensor, ``inner``."""

    inner: Tensor

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, inner: Tensor, device: torch.device | None = None, **_: Any) -> Any:
        if (
            device is None
        ):  # accelerate makes parameters anew by their class, also those that are on meta or here already
            return inner if isinstance(inner, PretendTensor) else torch.nn.Parameter(inner, requires_grad=False)
        wrapper = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            layout=inner.layout,
            device=device,
            requires_grad=inner.requires_grad,
        )
        wrapper.inner = inner
        return wrapper

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def __repr__(self, **_: Any) -> str:
        return f"PretendTensor({tuple(self.shape)}, {self.dtype}, {self.device})"

    def tolist(self) -> Any:
        return self.inner.tolist()

    def numpy(self, **_: Any) -> Any:
        raise TypeError(f"can't convert {self.device} device type tensor to numpy. Use Tensor.cpu() first.")

    __array__ = numpy

    def __setitem__(self, index: Any, value: Any) -> None:
        indices = tree_leaves(index)
        chosen = any(isinstance(each, Tensor) for each in indices)  # else torch copies, from the CPU as well
        if chosen and isinstance(value, Tensor) and not isinstance(value, PretendTensor) and value.ndim > 0:
            raise _two_devices(self.device, value.device, "index_put_")
        self.inner[tree_map_only(PretendTensor, _inner, index)] = _inner(value)

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise RuntimeError(f"{func} was called on a make-believe device outside of it")


def _inner(value: Any) -> Any:
    return value.inner if isinstance(value, PretendTensor) else value


def _two_devices(one: torch.device, other: torch.device, where: object) -> RuntimeError:
    return RuntimeError(
        f"Expected all tensors to be on the same device, but found at least two devices, {one} and {other}! ({where})"
    )


class PretendDevice(TorchDispatchMode):
    """While it is entered, all that is made on, moved to and computed on a make-believe device.

    Args:
        kind: ``cuda`` or ``mps``.
    """

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.device = torch.device(kind, 0)
        self.operations = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return self.compute(func, args, kwargs or {})

    def compute(self, func: Any, args: Any, kwargs: Any) -> Any:
        """The result of a function of torch, computed on the CPU, on the device where torch would have it."""
        flat, spec = tree_flatten((args, kwargs))
        ours = [each for each in flat if isinstance(each, PretendTensor)]
        wanted = kwargs.get("device")
        here = bool(ours) if wanted is None else torch.device(wanted).type == self.device.type
        if not ours and not here:
            return func(*args, **kwargs)
        if ours:
            self._refuse_mixtures(func, args, flat)
        self.operations += 1
        plain_args, plain_kwargs = tree_unflatten([self._plain(each) for each in flat], spec)
        result = func(*plain_args, **plain_kwargs)
        if func is aten.copy_.default:
            return args[0]
        given = {id(each.inner): each for each in ours}  # what an operation in place gives back

        def back(tensor: Tensor) -> Tensor:
            if id(tensor) not in given:
                return self._wrap(tensor) if here else tensor
            assert given[id(tensor)].shape == tensor.shape, f"{func} changes a shape in place"
            return given[id(tensor)]

        return tree_map_only(Tensor, back, result)

    def _wrap(self, tensor: Tensor) -> Tensor:
        if self.device.type == "mps" and tensor.dtype == torch.float64:
            raise TypeError(
                "Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64."
            )
        return PretendTensor(tensor, self.device)

    def _plain(self, value: Any) -> Any:
        if isinstance(value, PretendTensor):
            return value.inner
        return torch.device("cpu") if isinstance(value, torch.device) and value.type == self.device.type else value

    def _refuse_mixtures(self, func: Any, args: Any, flat: list[Any]) -> None:
        """Refuse CPU tensors with dimensions beside ours, but where torch itself moves them."""
        if func in _MOVES:
            return
        if func in _INDEXED and isinstance(args[0], PretendTensor):
            flat = [args[0], *args[2:3]]  # indices may lie on the CPU
        for each in flat:
            if isinstance(each, Tensor) and not isinstance(each, PretendTensor) and each.ndim > 0:
                raise _two_devices(self.device, each.device, func)


@contextmanager
def pretend(kind: str) -> Iterator[PretendDevice]:
    """Make this process believe that it has one device of a kind, ``cuda`` or ``mps``.

    Models are loaded on the CPU first and moved then, as groundkit does.
    """
    mode = PretendDevice(kind)
    with ExitStack() as stack:

        def patch(target: Any, name: str, value: Any) -> None:
            stack.enter_context(mock.patch.object(target, name, value))

        _device_constructors()  # remembers torch.tensor for ``with torch.device(...)``, so it must see the real one
        stack.callback(torch.__future__.set_overwrite_module_params_on_conversion, False)
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        stack.callback(torch._C._set_only_lift_cpu_tensors, torch._C._only_lift_cpu_tensors())
        torch._C._set_only_lift_cpu_tensors(True)
        patch(torch.nn.functional, "scaled_dot_product_attention", _attention_on(mode))
        patch(torch, "_fused_sdp_choice", _chooser_on(mode))
        patch(torch.Tensor, "to", _to_with_index(mode))
        patch(torch, "tensor", _tensor_of_scalars(torch.tensor))
        # Views of wrappers cannot be made in it.
        patch(torch.inference_mode, "__enter__", _enter_no_grad)
        patch(torch.inference_mode, "__exit__", _exit_no_grad)
        if kind == "cuda":
            torch._C._ensureCUDADeviceGuardSet()
            patch(torch.cuda, "_lazy_init", lambda: None)
            patch(torch.cuda, "is_available", lambda: True)
            patch(torch.cuda, "device_count", lambda: 1)
            patch(torch.cuda, "current_device", lambda: 0)
            patch(torch.cuda, "get_device_capability", lambda *_: (9, 0))
            patch(torch.cuda, "is_bf16_supported", lambda *_, **__: True)
            patch(torch.cuda, "empty_cache", lambda: None)
            patch(torch.cuda, "mem_get_info", lambda *_: (2**34, 2**34))
            patch(torch.cuda, "synchronize", lambda *_: None)
        else:
            stack.enter_context(_mps_guard())
            patch(torch.backends.mps, "is_available", lambda: True)
            patch(torch.mps, "empty_cache", lambda: None)
            patch(torch.mps, "recommended_max_memory", lambda: 2**34)
            patch(torch.mps, "current_allocated_memory", lambda: 0)
            patch(torch, "Event", mock.Mock)  # transformers waits for one in generate
        stack.enter_context(mode)
        yield mode


def _enter_no_grad(self: torch.inference_mode) -> None:
    self.before = torch.is_grad_enabled()  # type: ignore[attr-defined]
    if self.mode:
        torch.set_grad_enabled(False)


def _exit_no_grad(self: torch.inference_mode, *_: Any) -> None:
    torch.set_grad_enabled(self.before)  # type: ignore[attr-defined]


def _attention_on(mode: PretendDevice) -> Any:
    """Attention: torch would choose a kernel of the device's before it dispatches."""
    real = torch.nn.functional.scaled_dot_product_attention

    def scaled_dot_product_attention(query: Any, key: Any, value: Any, *args: Any, **kwargs: Any) -> Any:
        tensors = (query, key, value)
        if has_torch_function(tensors):
            return handle_torch_function(scaled_dot_product_attention, tensors, *tensors, *args, **kwargs)
        return mode.compute(real, (*tensors, *args), kwargs)

    return scaled_dot_product_attention


def _chooser_on(mode: PretendDevice) -> Any:
    real = torch._fused_sdp_choice

    def choose(query: Any, *args: Any, **kwargs: Any) -> int:
        if not isinstance(query, PretendTensor):
            return real(query, *args, **kwargs)
        if mode.device.type == "mps":
            raise NotImplementedError(
                "The operator 'aten::_fused_sdp_choice' is not currently implemented for the MPS device."
            )
        return int(SDPBackend.MATH.value)  # kernels of CUDA's do not exist here

    return choose


def _to_with_index(mode: PretendDevice) -> Any:
    """``Tensor.to`` asks a device that is named without its number which of them is the current one."""
    real = torch.Tensor.to

    def to(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        def numbered(value: Any) -> Any:
            named = isinstance(value, (str, torch.device)) and str(value) == mode.device.type
            return mode.device if named else value

        return real(self, *map(numbered, args), **{name: numbered(value) for name, value in kwargs.items()})

    return to


def _tensor_of_scalars(real: Any) -> Any:
    """``torch.tensor`` reads scalars of a device behind the back of a dispatch mode."""

    def tensor(data: Any, **kwargs: Any) -> Tensor:
        return real(tree_map_only(PretendTensor, _inner, data), **kwargs)  # type: ignore[no-any-return]

    return tensor


@contextmanager
def _mps_guard() -> Iterator[None]:
    """Elsewhere than on a Mac torch has no guard for MPS and refuses tensors that say so; lend it that of meta tensors.

    Raises:
        OSError, ValueError: this build of torch does not show its list of guards.
    """
    library = next((Path(torch.__file__).parent / "lib").glob("libc10.*"))
    guards = (ctypes.c_void_p * (_META + 1)).in_dll(
        ctypes.CDLL(str(library)), "_ZN3c104impl26device_guard_impl_registryE"
    )
    before = guards[_MPS]
    guards[_MPS] = before or guards[_META]
    try:
        yield
    finally:
        guards[_MPS] = before
