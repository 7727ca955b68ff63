"""A tiny CLIP of the real class, saved to a folder and loaded like a real one."""

from pathlib import Path

import pytest
import tiny_clip
import torch
from transformers import BertConfig, CLIPModel, CLIPTextModelWithProjection, CLIPTokenizer

from groundkit.errors import ModelError
from groundkit.language.vocabulary import CLIP_TEMPLATE, Vocabulary
from groundkit.models.clip_text import ClipText

NAMES = ["mug", "cup", "car", "teddy bear"]


@pytest.fixture
def clip(tmp_path: Path) -> tuple[Path, CLIPModel]:
    folder = tmp_path / "clip"
    return folder, tiny_clip.save(folder)


def features(folder: Path, model: CLIPModel, text: str) -> torch.Tensor:
    """The whole model's own text features of one text alone."""
    ids = CLIPTokenizer.from_pretrained(folder)(text, return_tensors="pt")
    with torch.no_grad():
        found: torch.Tensor = model.get_text_features(**ids, return_dict=True).pooler_output[0]
    return found


def test_texts_of_any_length_get_the_features_that_the_whole_clip_gives_them(clip: tuple[Path, CLIPModel]) -> None:
    folder, model = clip
    found = ClipText.from_pretrained(folder, local_files_only=True).embed_texts(NAMES)
    expected = torch.stack([features(folder, model, name) for name in NAMES])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
    assert found.shape == (4, 16)


def test_the_text_half_alone_gives_the_same(clip: tuple[Path, CLIPModel], tmp_path: Path) -> None:
    folder, _ = clip
    half = tmp_path / "half"
    CLIPTextModelWithProjection.from_pretrained(folder).save_pretrained(half)
    CLIPTokenizer.from_pretrained(folder).save_pretrained(half)
    one, other = (ClipText.from_pretrained(each, local_files_only=True) for each in (folder, half))
    torch.testing.assert_close(one.embed_texts(NAMES), other.embed_texts(NAMES))


def test_a_name_becomes_the_category_of_the_highest_cosine_of_photo_captions(clip: tuple[Path, CLIPModel]) -> None:
    folder, model = clip
    vocabulary = Vocabulary(
        NAMES, ClipText.from_pretrained(folder, local_files_only=True).embed_texts, template=CLIP_TEMPLATE
    )
    chosen = set()
    for name in ("dog", "lamp", "goblet", "x", "zebra", "oak", "tub"):
        own = features(folder, model, f"a photo of a {name}").double()
        others = torch.stack([features(folder, model, f"a photo of a {each}") for each in NAMES]).double()
        expected = NAMES[int(torch.cosine_similarity(others, own[None]).argmax())]
        assert vocabulary.category(name) == expected
        chosen.add(expected)
    assert len(chosen) > 1  # else any rule would pass


def test_a_text_longer_than_clip_can_read_is_cut(clip: tuple[Path, CLIPModel]) -> None:
    folder, _ = clip
    text = ClipText.from_pretrained(folder, local_files_only=True)
    assert text.embed_texts(["a" * 100]).isfinite().all()


def test_another_kind_of_model_and_a_missing_folder_are_refused_in_one_line(tmp_path: Path) -> None:
    BertConfig().save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="a model of type bert, not CLIP; try"):
        ClipText.from_pretrained(tmp_path, local_files_only=True)
    with pytest.raises(ModelError, match="no such folder") as refused:
        ClipText.from_pretrained(tmp_path / "none" / "at" / "all", local_files_only=True)
    assert "\n" not in str(refused.value)
