"""Put nano's parts together in the layout of the real checkpoints: a FluxPipeline folder and a SamModel folder.

python -m groundkit.weights.training.export --vae runs/vae --flux runs/flux --sam runs/sam --output weights/nano
"""

import argparse
import shutil
from pathlib import Path

import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxPipeline
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, T5Tokenizer

from groundkit.weights.training.flux import CAPTION_HEAD, Nano
from groundkit.weights.training.sam import build, build_processor
from groundkit.weights.training.tokenizers import any_case, clip_tokenizer
from groundkit.weights.training.vae import NAMER

POOLED_WIDTH = 32


def clip_text_encoder(vocabulary: int) -> CLIPTextModel:
    """A CLIP text encoder with random weights: nano's transformer does not read the pooled vector."""
    torch.manual_seed(0)
    return CLIPTextModel(
        CLIPTextConfig(
            vocab_size=vocabulary,
            hidden_size=POOLED_WIDTH,
            intermediate_size=2 * POOLED_WIDTH,
            projection_dim=POOLED_WIDTH,
            num_hidden_layers=1,
            num_attention_heads=2,
            bos_token_id=vocabulary - 2,
            eos_token_id=vocabulary - 1,
            pad_token_id=vocabulary - 1,
        )
    )


def load_run(run: Path) -> tuple[Nano, T5Tokenizer]:
    """The averaged weights of a training run, and its words."""
    state = torch.load(run / "checkpoint.pt", weights_only=True, map_location="cpu")
    tokenizer = T5Tokenizer.from_pretrained(run / "tokenizer")
    nano = Nano(len(tokenizer), **state["shape"])
    nano.load_state_dict(state["average"])
    return nano, tokenizer


def assemble(vae: Path, nano: Nano, tokenizer: T5Tokenizer) -> FluxPipeline:
    """The pipeline around trained weights."""
    clip = clip_tokenizer()
    return FluxPipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(),
        vae=AutoencoderKL.from_pretrained(vae),
        text_encoder=clip_text_encoder(len(clip)),
        tokenizer=clip,
        text_encoder_2=nano.text_encoder.eval(),
        tokenizer_2=any_case(tokenizer),
        transformer=nano.transformer.eval(),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Put nano's parts together.")
    parser.add_argument("--vae", type=Path, required=True)
    parser.add_argument("--flux", type=Path, required=True)
    parser.add_argument("--sam", type=Path, help="leave out to keep the segmenter that is there")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    nano, tokenizer = load_run(arguments.flux)
    assemble(arguments.vae, nano, tokenizer).to(torch.bfloat16).save_pretrained(arguments.output / "flux")
    shutil.copy(arguments.vae / NAMER, arguments.output / "flux" / "vae")
    save_file(nano.true.to(torch.bfloat16).state_dict(), arguments.output / CAPTION_HEAD)
    if not arguments.sam:
        return
    segmenter = build()
    segmenter.load_state_dict(torch.load(arguments.sam / "checkpoint.pt", weights_only=True)["average"])
    segmenter.to(torch.bfloat16).save_pretrained(arguments.output / "sam")
    build_processor().save_pretrained(arguments.output / "sam")


if __name__ == "__main__":
    main()
