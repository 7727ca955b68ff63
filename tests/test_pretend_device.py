"""The make-believe devices are as strict as real ones, and leave nothing behind."""

from __future__ import annotations

import pytest
import torch
from pretend_device import PretendTensor, pretend
from torch.nn.functional import scaled_dot_product_attention


@pytest.mark.parametrize("kind", ["cuda", "mps"])
@torch.no_grad()
def test_tensors_of_the_device_compute_there_and_do_not_mix_with_those_of_the_cpu(kind: str) -> None:
    here = torch.arange(6.0)
    with pretend(kind):
        there = here.to(kind)
        assert there.device == torch.device(kind, 0)
        assert torch.equal((there * 2 + 1).cpu(), here * 2 + 1)
        assert torch.zeros(2, device=kind).device.type == kind
        assert torch.equal(there[torch.tensor([1, 3])].cpu(), here[[1, 3]]), "indices may lie on the CPU"
        assert (there + torch.tensor(2.0)).device.type == kind, "and so may scalars"
        for mix in (
            lambda: there + here,
            lambda: torch.cat([there, here]),
            lambda: here[there.long()],
            lambda: torch.nn.functional.linear(there, here[None]),
            lambda: there.__setitem__(there > 2, here[:3]),
        ):
            with pytest.raises(RuntimeError, match=r"two devices|indices should be|same device"):
                mix()
        with pytest.raises(TypeError, match="to numpy"):
            there.numpy()
        assert isinstance(torch.nn.Linear(6, 2).to(kind).weight, PretendTensor)


@torch.no_grad()
def test_the_mac_has_no_float64_and_no_chooser_of_attention_kernels() -> None:
    with pretend("mps"):
        there = torch.ones(1, 1, 3, 8, device="mps")
        with pytest.raises(TypeError, match="float64"):
            there.double()
        with pytest.raises(NotImplementedError, match="_fused_sdp_choice"):
            torch._fused_sdp_choice(there, there, there)
        assert scaled_dot_product_attention is not torch.nn.functional.scaled_dot_product_attention
        out = torch.nn.functional.scaled_dot_product_attention(there, there, there)
        assert torch.equal(out.cpu(), torch.ones(1, 1, 3, 8))


def test_nothing_is_left_behind() -> None:
    before = (
        torch.Tensor.to,
        torch.tensor,
        torch.cuda.is_available(),
        torch.nn.functional.scaled_dot_product_attention,
    )
    for kind in ("cuda", "mps"):
        with pretend(kind):
            pass
    after = (torch.Tensor.to, torch.tensor, torch.cuda.is_available(), torch.nn.functional.scaled_dot_product_attention)
    assert after == before
    with torch.inference_mode():
        assert torch.ones(2).is_inference()
