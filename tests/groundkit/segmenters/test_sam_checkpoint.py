from pathlib import Path

import pytest
import torch
from segment_anything import sam_model_registry

from groundkit.errors import ModelError
from groundkit.segmenters.sam_checkpoint import build_sam, infer_architecture, read_sam_checkpoint


@pytest.mark.parametrize("size", ["vit_b", "vit_l", "vit_h"])
def test_the_published_sizes_are_told_by_their_shapes(size: str) -> None:
    """The package's own builder is the oracle; on the meta device it takes no memory."""
    with torch.device("meta"):
        published = sam_model_registry[size]()
    model = build_sam(infer_architecture(published.state_dict()))
    assert {name: tensor.shape for name, tensor in model.state_dict().items()} == {
        name: tensor.shape for name, tensor in published.state_dict().items()
    }
    # What the shapes of the weights do not show.
    assert model.image_encoder.img_size == published.image_encoder.img_size
    assert model.prompt_encoder.input_image_size == published.prompt_encoder.input_image_size
    for ours, theirs in zip(model.image_encoder.blocks, published.image_encoder.blocks, strict=True):
        assert ours.window_size == theirs.window_size
        assert ours.attn.num_heads == theirs.attn.num_heads
        assert ours.attn.scale == theirs.attn.scale
        assert ours.norm1.eps == theirs.norm1.eps
    for ours, theirs in zip(model.mask_decoder.modules(), published.mask_decoder.modules(), strict=True):
        assert type(ours) is type(theirs)
        assert getattr(ours, "num_heads", None) == getattr(theirs, "num_heads", None)
    assert torch.equal(model.pixel_mean, torch.tensor([123.675, 116.28, 103.53]).view(3, 1, 1))
    assert torch.equal(model.pixel_std, torch.tensor([58.395, 57.12, 57.375]).view(3, 1, 1))


def test_a_half_precision_checkpoint_is_read_in_full(sam_checkpoint: Path, tmp_path: Path) -> None:
    tensors = {name: tensor.half() for name, tensor in torch.load(sam_checkpoint).items()}
    torch.save(tensors, tmp_path / "half.pth")
    model = read_sam_checkpoint(tmp_path / "half.pth")
    assert {tensor.dtype for tensor in model.state_dict().values()} == {torch.float32}


@pytest.mark.parametrize("key", ["", "model", "state_dict"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_what_a_training_loop_saves_is_the_same_model(
    sam_checkpoint: Path, tmp_path: Path, key: str, prefix: str
) -> None:
    whole = torch.load(sam_checkpoint)
    tensors = {prefix + name: tensor for name, tensor in whole.items()}
    torch.save({key: tensors, "epoch": 3} if key else tensors, tmp_path / "trained.pth")
    state = read_sam_checkpoint(tmp_path / "trained.pth").state_dict()
    assert state.keys() == whole.keys()
    assert all(torch.equal(state[name], whole[name]) for name in whole)


class Malicious:
    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (Path("run-by-unpickling"),))


NOT_A_SAM = "not a checkpoint of segment-anything; give one such as sam_vit_b_01ec64.pth"
NOT_TENSORS = "not a file of tensors, or a damaged one; download the checkpoint again"


def without_a_tensor(whole: Path, path: Path) -> None:
    tensors = torch.load(whole)
    del tensors["mask_decoder.iou_token.weight"]
    torch.save(tensors, path)


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (lambda whole, path: path.write_bytes(b""), NOT_TENSORS),
        (lambda whole, path: path.write_text("<html>404</html>"), NOT_TENSORS),
        (lambda whole, path: path.write_bytes(whole.read_bytes()[:5000]), NOT_TENSORS),
        (lambda whole, path: torch.save({"model": Malicious()}, path), NOT_TENSORS),
        (lambda whole, path: torch.save({"weight": torch.zeros(2)}, path), NOT_A_SAM),
        (lambda whole, path: torch.save({"model": {"weight": torch.zeros(2)}}, path), NOT_A_SAM),
        (lambda whole, path: torch.save([1, 2], path), NOT_A_SAM),
        (
            without_a_tensor,
            "the weights lack 1 of a SAM's tensors, such as mask_decoder.iou_token.weight; "
            "copy or download the checkpoint again",
        ),
        (
            lambda whole, path: torch.save({"model": {"image_encoder.trunk.pos_embed": torch.zeros(2)}}, path),
            "a checkpoint of SAM 2, not of SAM; as the tracker of a video, give facebook/sam2.1-hiera-tiny, "
            "and here a SAM such as sam_vit_b_01ec64.pth",
        ),
        (lambda whole, path: path.mkdir(), "this is a folder; give the .pth file in it"),
        (lambda whole, path: None, "no such file; give a SAM checkpoint (.pth) or a model folder"),
    ],
)
def test_what_is_no_sam_says_so(
    write: object, reason: str, sam_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "some.pth"
    write(sam_checkpoint, path)
    with pytest.raises(ModelError) as failure:
        read_sam_checkpoint(path)
    assert str(failure.value) == f"{path}: {reason}"
    assert not Path("run-by-unpickling").exists()
