"""Keep on the GPU only the part of a model that runs."""

from __future__ import annotations

import functools
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import torch
from accelerate import cpu_offload
from accelerate.hooks import ModelHook, add_hook_to_module
from torch import nn

from groundkit.errors import ConfigError


class Stage:
    """A GPU that all offloaded parts take turns on: the one that runs is on it, the others wait in main memory.

    Attributes:
        device: the GPU.
        lock: held while a part runs, so that no other thread sends it away.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.lock = threading.RLock()
        self._part: Callable[[], nn.Module | None] = lambda: None  # a weak reference

    def add(self, *parts: nn.Module) -> None:
        """Keep parts in main memory; the ``forward`` of one, or the ``encode`` of an autoencoder, brings all here."""
        together = nn.ModuleList(parts).to("cpu")
        for part in parts:
            add_hook_to_module(part, _Entrance(self, together))

    def enter(self, part: nn.Module | None) -> None:
        """Send away the part that is here, then bring this one, if any."""
        here = self._part()
        if part is here:
            return
        if here is not None:
            here.to("cpu")
        self._part = lambda: None
        if part is None:
            return
        try:
            part.to(self.device)
        except Exception:  # half of it may be here, if the GPU is full
            part.to("cpu")
            raise
        self._part = weakref.ref(part)

    def lock_with(self, model: object) -> None:
        """Let the exclusive methods of a model whose parts are offloaded wait for those of all others."""
        vars(model)["_lock"] = self.lock


def stage_of(device: torch.device) -> Stage:
    """The one stage of a GPU; one without an index is the current GPU."""
    if device.index is None and device.type != "cpu":
        module = torch.get_device_module(device)
        index = module.current_device() if hasattr(module, "current_device") else 0  # torch.mps knows one alone
        device = torch.device(device.type, index)
    return _stage_of(device)


@functools.cache
def _stage_of(device: torch.device) -> Stage:
    return Stage(device)


class _Entrance(ModelHook):  # type: ignore[misc]
    def __init__(self, stage: Stage, parts: nn.Module) -> None:
        self._stage = stage
        self._parts = parts

    def pre_forward(self, module: nn.Module, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        self._stage.enter(self._parts)
        return args, kwargs


def check_offload(device: torch.device) -> None:
    """Raise ConfigError where there is nothing to move the parts to."""
    if device.type == "cpu":
        raise ConfigError("offload=True moves parts to a GPU one at a time; on the CPU leave it out")


def refuse_offloaded(offload: bool) -> None:
    """Raise ConfigError where a model that is to be moved moves by itself."""
    if offload:
        raise ConfigError("with offload=True parts move by themselves: load the model without it, to move it")


def offload_blocks(model: Any, stage: Stage) -> None:
    """Keep the blocks of a transformers model in main memory, and bring each to the stage's GPU while it runs.

    A part that is on the stage leaves it before the first block of a list runs. What is in no list of blocks
    (embeddings, projector, head) is moved there for good: families use some of it outside
    of its own ``forward``, where accelerate's hooks do not see it.
    """
    for blocks in _block_lists(model):
        for block in blocks:
            cpu_offload(block, stage.device)
        for block in blocks[:1]:
            block.register_forward_pre_hook(lambda *_: stage.enter(None))
    model._apply(lambda tensor: tensor if tensor.is_meta else tensor.to(stage.device))


def _block_lists(module: nn.Module) -> Iterator[nn.ModuleList]:
    """The outermost lists of modules."""
    for child in module.children():
        if isinstance(child, nn.ModuleList):
            yield child
        else:
            yield from _block_lists(child)
