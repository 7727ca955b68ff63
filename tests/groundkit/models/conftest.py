"""Models of the real classes, tiny and untrained, saved to a folder like a real checkpoint."""

import functools
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline

from groundkit.weights.training import vae
from groundkit.weights.training.export import clip_text_encoder
from groundkit.weights.training.flux import build_text_encoder, build_transformer
from groundkit.weights.training.tokenizers import clip_tokenizer, t5_tokenizer


@pytest.fixture(scope="session")
def load_tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Loads, as a model of a class and with options, what ``tiny_<family>.py`` in a folder of tests saves."""

    @functools.cache
    def save(tests: Path, family: str) -> Path:
        folder = tmp_path_factory.mktemp(family)
        torch.manual_seed(0)
        sys.path.insert(0, str(tests))
        try:
            importlib.import_module(f"tiny_{family}").save(folder)
        finally:
            sys.path.pop(0)
        return folder

    def load(tests: Path, family: str, kind: Any, **options: Any) -> Any:
        return kind.from_pretrained(save(tests, family), local_files_only=True, **options)

    return load


@pytest.fixture(scope="session")
def flux_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    clip, t5 = clip_tokenizer(), t5_tokenizer()
    transformer = build_transformer(heads=2, double=2, single=1)
    for name, parameter in transformer.named_parameters():
        if "norm" in name and name.endswith("weight"):  # modulations start at zero: every block would do nothing
            torch.nn.init.normal_(parameter, std=0.2)
    pipeline = FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=vae.build(),
        text_encoder=clip_text_encoder(len(clip)),
        tokenizer=clip,
        text_encoder_2=build_text_encoder(len(t5)),
        tokenizer_2=t5,
        transformer=transformer,
    )
    pipeline.vae.register_to_config(shift_factor=0.1, scaling_factor=0.5)
    folder = tmp_path_factory.mktemp("flux")
    pipeline.save_pretrained(folder)
    return folder
