"""A FLUX pipeline of the real classes, tiny and untrained, saved to a folder like a real checkpoint."""

from pathlib import Path

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, FluxPipeline

from groundkit.weights.training import vae
from groundkit.weights.training.export import clip_text_encoder
from groundkit.weights.training.flux import build_text_encoder, build_transformer
from groundkit.weights.training.tokenizers import clip_tokenizer, t5_tokenizer


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
