from pathlib import Path

from tiny_chat import TEXT, chat_template, tokenizer
from transformers import (
    LlamaConfig,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
    SmolVLMImageProcessor,
    SmolVLMProcessor,
    SmolVLMVideoProcessor,
)
from transformers.models.smolvlm import processing_smolvlm
from transformers.models.smolvlm.configuration_smolvlm import SmolVLMVisionConfig


def save(folder: Path, split: bool = True) -> None:
    """SmolVLM with 4 x 4 image tokens a view of 64 pixels: 2 x 3 tiles of the wide picture, 3 x 2 of the tall one."""
    if processing_smolvlm.num2words is None:
        processing_smolvlm.num2words = str  # it writes the number of a video's frames, and there is no video here
    words = tokenizer(("<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>", "<video>"))
    side = 64
    sizes = {"size": {"longest_edge": 3 * side}, "max_image_size": {"longest_edge": side}}
    SmolVLMProcessor(
        SmolVLMImageProcessor(do_image_splitting=split, **sizes),
        words,
        SmolVLMVideoProcessor(**sizes),
        image_seq_len=16,
        chat_template=chat_template("<image>"),
    ).save_pretrained(folder)
    SmolVLMForConditionalGeneration(
        SmolVLMConfig(
            vision_config=SmolVLMVisionConfig(
                hidden_size=32,
                intermediate_size=64,
                num_hidden_layers=2,
                num_attention_heads=2,
                image_size=side,
                patch_size=8,
            ),
            text_config=LlamaConfig(vocab_size=len(words), **TEXT),
            scale_factor=2,
            image_token_id=words.convert_tokens_to_ids("<image>"),
        )
    ).save_pretrained(folder)
