"""Which weight files are read, and that they are whole: the libraries would fill gaps with random numbers."""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from torch import nn

from groundkit.errors import ModelError

_FILE = re.compile(r"(?:diffusion_pytorch_|pytorch_)?model(?:\.(\w+))?(?:-\d+-of-\d+)?\.(?:safetensors|bin)")


def only_variant(folder: str | Path) -> str | None:
    """The variant of a folder's weights where it holds that one alone (``model.fp16.safetensors``), else None."""
    found = {named[1] for file in Path(folder).glob("*model*") if (named := _FILE.fullmatch(file.name))}
    return found.pop() if len(found) == 1 else None


def load_weights(
    kind: Any, folder: str | Path, *, source: str | Path, part: str = "", others: tuple[str, ...] = (), **options: Any
) -> Any:
    """``kind.from_pretrained(folder, **options)`` of a transformers class, whole or refused; see ``check_weights``.

    ``others`` begin the names of tensors of a larger model's other half, which are rightly left out.
    """
    if Path(folder).is_dir() and not options.get("variant"):
        options["variant"] = only_variant(folder)
    # Mismatches are taken note of here and refused below, by name; the library's own error names none.
    model, report = kind.from_pretrained(folder, output_loading_info=True, ignore_mismatched_sizes=True, **options)
    unexpected = [name for name in report["unexpected_keys"] if not name.startswith(others)]
    check_weights(source, model, {**report, "unexpected_keys": unexpected}, part)
    return model


def check_weights(source: str | Path, model: nn.Module, report: Mapping[str, Collection[Any]], part: str = "") -> None:
    """Compare what a model holds with what its files held.

    Args:
        source: the Hub id or folder; it opens the message.
        model: the loaded model. None of its tensors may be left on the meta device.
        report: what ``from_pretrained(output_loading_info=True)`` of diffusers or transformers returned beside it.
            Tied weights, which files hold once, are in no list of it.
        part: name of a pipeline's part.

    Raises:
        ModelError: tensors are missing, or have other shapes than config.json says; the first one is named.

    Warns:
        UserWarning: the files hold tensors that this architecture does not have.
    """
    weights = f"the weights of {part}" if part else "the weights"
    unset = [name for name, tensor in model.state_dict(keep_vars=True).items() if tensor.is_meta]
    missing = {*report["missing_keys"], *unset}
    if missing:
        raise ModelError(f"{source}: {weights} lack {_count(missing)}; copy or download the whole model again")
    if report["mismatched_keys"]:
        name, found, wanted = min(report["mismatched_keys"])
        raise ModelError(
            f"{source}: {weights} do not fit config.json ({name} has the shape {tuple(found)} instead of "
            f"{tuple(wanted)}); both must come from the same model"
        )
    if report["unexpected_keys"]:
        warnings.warn(
            f"{source}: {weights} hold {_count(report['unexpected_keys'])}, which a {type(model).__name__} of this "
            "config.json does not have; both should come from the same model",
            stacklevel=2,
        )


def _count(names: Collection[str]) -> str:
    return f"the tensor {min(names)}" if len(names) == 1 else f"{len(names)} tensors, such as {min(names)}"
