"""What the catalog says of checkpoints, and which one a misspelt name is taken for."""

import pytest
import torch
from transformers import AutoModelForImageTextToText, Idefics3Config

from groundkit.weights.catalog import entries, full_name, similar

VOCABULARY = 49_280
EYE = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
# The language models: SmolLM2 of 135 and of 360 million parameters.
SMALL = {"hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30, "num_attention_heads": 9}
LARGE = {"hidden_size": 960, "intermediate_size": 2560, "num_hidden_layers": 32, "num_attention_heads": 15}


@pytest.mark.parametrize(
    ("source", "speech", "key_heads"),
    [
        ("HuggingFaceTB/SmolVLM-256M-Instruct", SMALL, 3),
        ("HuggingFaceTB/SmolVLM-500M-Instruct", LARGE, 5),
    ],
)
def test_the_size_of_a_smolvlm_is_that_of_its_parameters_in_bfloat16(
    source: str, speech: dict[str, int], key_heads: int
) -> None:
    config = Idefics3Config(
        vision_config={**EYE, "image_size": 512, "patch_size": 16},
        text_config={"model_type": "llama", **speech, "num_key_value_heads": key_heads, "vocab_size": VOCABULARY},
        scale_factor=4,
        tie_word_embeddings=False,
    )
    with torch.device("meta"):
        model = AutoModelForImageTextToText.from_config(config)
    (entry,) = (each for each in entries() if each.source == source)
    assert entry.size_gb == pytest.approx(2 * sum(each.numel() for each in model.parameters()) / 1e9, rel=0.01)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("flux", "black-forest-labs/FLUX.1-schnell"),
        ("black-forest-labs/FLUX.1-schnel", "black-forest-labs/FLUX.1-schnell"),
        ("FLUX.1-dev", "black-forest-labs/FLUX.1-dev"),
        ("flux1-dev", "black-forest-labs/FLUX.1-dev"),
        ("Qwen/Qwen2.5-VL-3B", "Qwen/Qwen2.5-VL-3B-Instruct"),
        ("qwen2.5vl-7b", "Qwen/Qwen2.5-VL-7B-Instruct"),
        ("llava", "llava-hf/llava-1.5-7b-hf"),
        ("facebook/sam_vit_base", "facebook/sam-vit-base"),
        ("sam2.1_hiera_tiny", "facebook/sam2.1-hiera-tiny"),
        ("mochi", "genmo/mochi-1-preview"),
        ("some/other-model", None),
        ("/no/such/folder", None),
        ("x", None),
        ("", None),
    ],
)
def test_a_misspelt_or_short_name_is_taken_for_the_checkpoint_that_is_most_alike(said: str, meant: str | None) -> None:
    entry = similar(said)
    assert (entry and entry.source) == meant


def test_an_alias_stands_for_its_hub_id_and_a_folder_of_its_name_goes_first(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert full_name("flux") == "black-forest-labs/FLUX.1-schnell"
    assert full_name("flux,nano,own/model") == "black-forest-labs/FLUX.1-schnell,nano,own/model"
    (tmp_path / "flux").mkdir()
    assert full_name("flux") == "flux"


def test_every_alias_is_of_one_entry_and_no_word_that_options_take() -> None:
    aliases = [entry.alias for entry in entries() if entry.alias]
    assert len(set(aliases)) == len(aliases)
    assert not {"nano", "auto", "flow"} & set(aliases)
