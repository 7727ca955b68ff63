from pathlib import Path

from tiny_chat import TEXT, chat_template, tokenizer
from torch import nn
from transformers import (
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    Gemma3ImageProcessor,
    Gemma3Processor,
    Gemma3TextConfig,
    SiglipVisionConfig,
)


def save(folder: Path) -> None:
    """Gemma 3 with 5 x 5 image tokens of 2 x 2 patches, and two of three layers with a window of 12 tokens."""
    named = {"image_token": "<image_soft_token>", "boi_token": "<start_of_image>", "eoi_token": "<end_of_image>"}
    words = tokenizer(tuple(named.values()), extra_special_tokens=named)
    side = 80
    Gemma3Processor(
        Gemma3ImageProcessor(size={"height": side, "width": side}),
        words,
        chat_template="<s>" + chat_template("<start_of_image>"),
        image_seq_length=25,
    ).save_pretrained(folder)
    model = Gemma3ForConditionalGeneration(
        Gemma3Config(
            vision_config=SiglipVisionConfig(
                hidden_size=32,
                intermediate_size=64,
                num_hidden_layers=2,
                num_attention_heads=2,
                image_size=side,
                patch_size=8,
                vision_use_head=False,
            ),
            text_config=Gemma3TextConfig(
                vocab_size=len(words),
                head_dim=8,
                query_pre_attn_scalar=8,
                sliding_window=12,
                layer_types=["sliding_attention", "full_attention", "sliding_attention"],
                **TEXT,
            ),
            mm_tokens_per_image=25,
            image_token_index=words.image_token_id,
            boi_token_index=words.boi_token_id,
            eoi_token_index=words.eoi_token_id,
        )
    )
    nn.init.normal_(model.model.multi_modal_projector.mm_input_projection_weight)  # else 0 before training
    model.save_pretrained(folder)
