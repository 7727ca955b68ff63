"""The tap on tiny models of the real classes. What the entries should be comes from a recorder that shares no code with
it: it keeps every query and key, and the oracle is a float64 softmax of them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from accelerate import cpu_offload
from accelerate.hooks import AlignDevicesHook
from diffusers import FluxTransformer2DModel, SD3Transformer2DModel
from pretend_device import pretend
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from torch.overrides import TorchFunctionMode
from transformers import LlamaConfig, LlamaForCausalLM

from groundkit.attention.tap import AttentionTap, Selection
from groundkit.errors import AttentionError

TEXT, PATCHES = 7, 12
Run = Callable[[], Tensor]


class Recorder(TorchFunctionMode):
    """Keeps the softmax of every attention call, in float64 ``(B, H, N, S)``, in the order of the calls."""

    def __init__(self) -> None:
        super().__init__()
        self.attentions: list[Tensor] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is scaled_dot_product_attention:
            query, key = (args + tuple(kwargs.values()))[:2]
            scores = query.detach().double() @ key.detach().double().mT
            self.attentions.append((scores / query.shape[-1] ** 0.5).softmax(-1))
        return func(*args, **(kwargs or {}))


@pytest.fixture(autouse=True)
def _one_seed() -> None:
    torch.manual_seed(0)


@pytest.fixture
def flux() -> FluxTransformer2DModel:
    return FluxTransformer2DModel(
        in_channels=4,
        num_layers=2,
        num_single_layers=2,
        attention_head_dim=16,
        num_attention_heads=3,
        joint_attention_dim=20,
        pooled_projection_dim=8,
        axes_dims_rope=(4, 4, 8),
    ).eval()


def flux_run(model: FluxTransformer2DModel, dtype: torch.dtype = torch.float32, seed: int = 1) -> Run:
    generator = torch.Generator().manual_seed(seed)
    image_ids = torch.zeros(PATCHES, 3)
    image_ids[:, 1:] = torch.cartesian_prod(torch.arange(3.0), torch.arange(4.0))
    inputs = {
        "hidden_states": torch.randn(2, PATCHES, 4, generator=generator).to(dtype),
        "encoder_hidden_states": torch.randn(2, TEXT, 20, generator=generator).to(dtype),
        "pooled_projections": torch.randn(2, 8, generator=generator).to(dtype),
        "timestep": torch.full((2,), 0.5, dtype=dtype),
        "img_ids": image_ids,
        "txt_ids": torch.zeros(TEXT, 3),
    }
    model.to(dtype)
    return lambda: model(**inputs, return_dict=False)[0]


def flux_layers(model: FluxTransformer2DModel) -> dict[str, nn.Module]:
    double = {f"double {index}": block for index, block in enumerate(model.transformer_blocks)}
    single = {f"single {index}": block for index, block in enumerate(model.single_transformer_blocks)}
    return double | single


IMAGE_TO_TEXT = Selection(slice(TEXT, None), slice(None, TEXT))


@pytest.mark.parametrize("grad", [nullcontext, torch.no_grad, torch.inference_mode])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_flux_double_and_single_blocks_are_read_and_compute_as_without_the_tap(
    flux: FluxTransformer2DModel, dtype: torch.dtype, grad: Callable[[], Any]
) -> None:
    run = flux_run(flux, dtype)
    heads = Selection(torch.tensor([TEXT + 3, 0]), torch.tensor([2, TEXT + 1]), heads="all")
    with grad():
        with Recorder() as recorder:
            expected_output = run()
        with AttentionTap(flux_layers(flux), {"image to text": IMAGE_TO_TEXT, "some heads": heads}) as tap:
            output = run()

    assert torch.equal(output, expected_output)
    expected = torch.stack(recorder.attentions).float()
    entries = tap.read("image to text")
    assert entries.shape == (4, 2, PATCHES, TEXT)
    torch.testing.assert_close(entries, expected[..., TEXT:, :TEXT].mean(2), rtol=1e-4, atol=1e-6)
    picked = expected[:, :, :, [TEXT + 3, 0]][..., [2, TEXT + 1]]
    torch.testing.assert_close(tap.read("some heads"), picked, rtol=1e-4, atol=1e-6)
    entries.mul_(2)  # also after inference_mode the reader owns an ordinary tensor


def test_gradients_are_those_without_the_tap(flux: FluxTransformer2DModel) -> None:
    run = flux_run(flux)
    gradients = []
    for context in (nullcontext(), AttentionTap(flux_layers(flux), {"map": IMAGE_TO_TEXT})):
        flux.zero_grad()
        with context:
            run().square().sum().backward()
        gradients.append([parameter.grad for parameter in flux.parameters()])
    assert all(torch.equal(plain, tapped) for plain, tapped in zip(*gradients, strict=True))


def sd3(dual_attention_layers: tuple[int, ...] = ()) -> tuple[SD3Transformer2DModel, Run]:
    model = SD3Transformer2DModel(
        sample_size=8,
        patch_size=2,
        in_channels=4,
        out_channels=4,
        num_layers=3,
        attention_head_dim=8,
        num_attention_heads=4,
        joint_attention_dim=20,
        caption_projection_dim=32,
        pooled_projection_dim=8,
        pos_embed_max_size=8,
        dual_attention_layers=dual_attention_layers,
        qk_norm="rms_norm",
    ).eval()
    image, text, pooled = torch.randn(2, 4, 8, 8), torch.randn(2, TEXT, 20), torch.randn(2, 8)
    return model, lambda: model(image, text, pooled, torch.tensor([500, 500]), return_dict=False)[0]


@torch.no_grad()
def test_sd3_joint_blocks_are_read_with_the_image_first() -> None:
    model, run = sd3()
    with Recorder() as recorder:
        expected_output = run()
    layers = {str(index): block for index, block in enumerate(model.transformer_blocks)}
    with AttentionTap(layers, {"map": Selection(slice(16), slice(16, None))}) as tap:
        assert torch.equal(run(), expected_output)
    expected = torch.stack(recorder.attentions)[..., :16, 16:].mean(2)
    torch.testing.assert_close(tap.read("map"), expected.float(), rtol=1e-4, atol=1e-6)


@torch.no_grad()
def test_a_block_with_two_attentions_asks_for_the_submodule_which_then_works() -> None:
    model, run = sd3(dual_attention_layers=(0,))
    block = model.transformer_blocks[0]
    message = "^block 0 makes more than one attention call: name the attention submodule instead of the block$"
    with pytest.raises(AttentionError, match=message), AttentionTap({"block 0": block}, {"map": IMAGE_TO_TEXT}):
        run()
    assert_as_found(model)

    with Recorder() as recorder:
        expected_output = run()
    with AttentionTap({"attn": block.attn, "attn2": block.attn2}, {"map": Selection(slice(16), slice(16))}) as tap:
        assert torch.equal(run(), expected_output)
    expected = [attention[:, :, :16, :16].mean(1) for attention in recorder.attentions[:2]]
    torch.testing.assert_close(tap.read("map"), torch.stack(expected).float(), rtol=1e-4, atol=1e-6)


def llama(attention: str) -> LlamaForCausalLM:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=50,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        attn_implementation=attention,
    )
    return LlamaForCausalLM(config).eval()


@pytest.mark.parametrize("padding", [0, 4], ids=["causal", "causal with left padding"])
@torch.no_grad()
def test_llama_with_grouped_heads_equals_eager_attention(padding: int) -> None:
    tokens = torch.randint(0, 50, (2, 11))
    mask = torch.ones_like(tokens)
    mask[1, :padding] = 0
    expected = torch.stack(llama("eager")(tokens, attention_mask=mask, output_attentions=True).attentions)
    model = llama("sdpa")
    plain = model(tokens, attention_mask=mask).logits
    selections = {
        "last rows": Selection(slice(padding, None), slice(None), heads="all"),
        "last": Selection(slice(-1, None), slice(2, 9)),
    }
    with AttentionTap({f"layer {i}": layer for i, layer in enumerate(model.model.layers)}, selections) as tap:
        assert torch.equal(model(tokens, attention_mask=mask).logits, plain)
    torch.testing.assert_close(tap.read("last rows"), expected[..., padding:, :], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(tap.read("last"), expected.mean(2)[..., -1:, 2:9], rtol=1e-4, atol=1e-6)


@torch.no_grad()
def test_llama_under_autocast_computes_as_without_the_tap() -> None:
    model, tokens = llama("sdpa"), torch.randint(0, 50, (2, 11))
    layers = {f"layer {index}": layer for index, layer in enumerate(model.model.layers)}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        expected = model(tokens).logits
        with AttentionTap(layers, {"map": Selection(slice(-1, None), slice(None))}) as tap:
            assert torch.equal(model(tokens).logits, expected)
    assert tap.read("map").dtype == torch.float32
    torch.testing.assert_close(tap.read("map").sum(-1), torch.ones(3, 2, 1), rtol=1e-4, atol=1e-4)


def test_a_model_on_another_backend_is_named_with_the_remedy() -> None:
    model = llama("eager")
    layers = {f"layer {index}": layer for index, layer in enumerate(model.model.layers)}
    tap = AttentionTap(layers, {"map": Selection(slice(None), slice(None))})
    message = (
        "no scaled_dot_product_attention call in layer 0, layer 1, layer 2: switch the model to it, in diffusers by "
        'model.set_attention_backend("native"), in transformers by attn_implementation="sdpa", uncompiled'
    )
    with pytest.raises(AttentionError) as error, tap:
        model(torch.tensor([[1, 2, 3]]))
    assert str(error.value) == message
    with pytest.raises(AttentionError) as error:
        tap.read("map")
    assert str(error.value) == message


def test_a_layer_that_never_ran_is_named(flux: FluxTransformer2DModel) -> None:
    other = nn.Identity()
    message = "^no forward pass of lost inside the tap: run the model that owns these layers in it$"
    tap = AttentionTap(flux_layers(flux) | {"lost": other}, {"map": IMAGE_TO_TEXT})
    with pytest.raises(AttentionError, match=message), tap:
        flux_run(flux)()
    assert_as_found(flux)


def function_modes() -> int:
    return torch._C._len_torch_function_stack()


def assert_as_found(model: nn.Module) -> None:
    assert function_modes() == 0
    for module in model.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
        assert not module._forward_hooks_always_called


def test_the_model_is_left_as_found(flux: FluxTransformer2DModel) -> None:
    with AttentionTap(flux_layers(flux), {"map": IMAGE_TO_TEXT}):
        assert function_modes() == 1
        flux_run(flux)()
    assert_as_found(flux)


@torch.no_grad()
def test_an_error_of_the_model_passes_unmasked_and_leaves_it_as_found(flux: FluxTransformer2DModel) -> None:
    class BrokenError(Exception):
        pass

    def fail(module: nn.Module, inputs: Any) -> None:
        raise BrokenError

    run = flux_run(flux)
    tap = AttentionTap(flux_layers(flux), {"map": IMAGE_TO_TEXT})
    inside = flux.transformer_blocks[1].attn.register_forward_pre_hook(fail)
    with pytest.raises(BrokenError), tap:
        run()
    inside.remove()
    assert_as_found(flux)

    inside = flux.transformer_blocks[1].attn.register_forward_pre_hook(fail)
    with tap:  # and an error caught inside leaves the tap fit for another run
        with pytest.raises(BrokenError):
            run()
        inside.remove()
        run()
    again = AttentionTap(flux_layers(flux), {"map": IMAGE_TO_TEXT})
    with again:
        run()
    assert torch.equal(tap.read("map"), again.read("map"))


def test_a_layer_that_cannot_be_hooked_leaves_the_others_as_found(flux: FluxTransformer2DModel) -> None:
    layers: dict[str, Any] = flux_layers(flux) | {"not a module": "attn"}
    with pytest.raises(AttributeError), AttentionTap(layers, {"map": IMAGE_TO_TEXT}):
        pass
    assert_as_found(flux)


@torch.no_grad()
def solo(model: FluxTransformer2DModel, run: Run, names: list[str], selection: Selection) -> Tensor:
    layers = flux_layers(model)
    with AttentionTap({name: layers[name] for name in names}, {"map": selection}) as tap:
        run()
    return tap.read("map")


@torch.no_grad()
def test_two_taps_on_one_model_both_read_what_each_reads_alone(flux: FluxTransformer2DModel) -> None:
    run, layers = flux_run(flux), flux_layers(flux)
    plain = run()
    whole = Selection(slice(None), slice(None), heads="all")
    outer_names, inner_names = ["single 1", "double 0"], ["double 0", "double 1"]
    outer = AttentionTap({name: layers[name] for name in outer_names}, {"map": IMAGE_TO_TEXT})
    inner = AttentionTap({name: layers[name] for name in inner_names}, {"map": whole})
    with outer, inner:
        assert torch.equal(run(), plain)
    assert torch.equal(outer.read("map"), solo(flux, run, outer_names, IMAGE_TO_TEXT))
    assert torch.equal(inner.read("map"), solo(flux, run, inner_names, whole))
    assert_as_found(flux)


@torch.no_grad()
def test_a_layer_and_its_own_submodule_are_both_read(flux: FluxTransformer2DModel) -> None:
    block = flux.transformer_blocks[0]
    with AttentionTap({"block": block, "attention": block.attn, "again": block}, {"map": IMAGE_TO_TEXT}) as tap:
        flux_run(flux)()
    first, second, third = tap.read("map")
    assert torch.equal(first, second)
    assert torch.equal(first, third)


@torch.no_grad()
def test_a_second_pass_overwrites_the_first(flux: FluxTransformer2DModel) -> None:
    first, second = flux_run(flux, seed=1), flux_run(flux, seed=2)
    with AttentionTap(flux_layers(flux), {"map": IMAGE_TO_TEXT}) as tap:
        first()
        early = tap.read("map")
        second()
    assert not torch.equal(early, tap.read("map"))
    assert torch.equal(tap.read("map"), solo(flux, second, list(flux_layers(flux)), IMAGE_TO_TEXT))


@torch.no_grad()
def test_a_pass_that_stops_early_reads_the_same_and_leaves_the_model_and_taps_around_it_as_found(
    flux: FluxTransformer2DModel,
) -> None:
    run, layers = flux_run(flux), flux_layers(flux)
    plain, whole = run(), solo(flux, run, list(layers)[:2], IMAGE_TO_TEXT)
    begun: list[str] = []
    hooks = [
        layer.register_forward_pre_hook(lambda *_, name=name: begun.append(name)) for name, layer in layers.items()
    ]
    behind = False
    with AttentionTap({"double 0": layers["double 0"]}, {"map": IMAGE_TO_TEXT}, stop=True) as around:
        backwards = {name: layers[name] for name in ("double 1", "double 0")}
        with AttentionTap(backwards, {"map": IMAGE_TO_TEXT}, stop=True) as tap:
            run()
            behind = True
        assert torch.equal(around.read("map")[0], whole[0])
    assert begun == ["double 0", "double 1"]
    assert not behind
    assert torch.equal(tap.read("map"), whole.flip(0))
    for hook in hooks:
        hook.remove()
    assert_as_found(flux)
    assert torch.equal(run(), plain)
    with pytest.raises(ZeroDivisionError), tap:  # another error is not taken for the end
        raise ZeroDivisionError


@torch.no_grad()
def test_a_tap_that_stops_takes_nothing_from_those_around_it(flux: FluxTransformer2DModel) -> None:
    layers = flux_layers(flux)
    first, second = flux_run(flux, seed=1), flux_run(flux, seed=2)
    plain, expected = second(), solo(flux, second, list(layers), IMAGE_TO_TEXT)

    def tap(*names: str, stop: bool) -> AttentionTap:
        return AttentionTap({name: layers[name] for name in names}, {"map": IMAGE_TO_TEXT}, stop=stop)

    with tap("single 1", stop=False) as whole, tap("double 1", "single 0", stop=True) as early:
        first()  # a tap that wants the whole pass gets it, each time
        assert torch.equal(second(), plain)
    assert torch.equal(torch.cat([early.read("map"), whole.read("map")]), expected[1:])

    with tap("single 0", stop=True) as later, tap("double 1", stop=True) as early, tap("double 0", stop=True) as first_:
        second()
    assert torch.equal(torch.cat([each.read("map") for each in (first_, early, later)]), expected[:3])


def test_gradients_after_a_pass_that_stopped_are_as_before(flux: FluxTransformer2DModel) -> None:
    run = flux_run(flux)

    def gradients() -> list[Tensor]:
        return list(torch.autograd.grad(run().sum(), list(flux.parameters())))

    before = gradients()
    with AttentionTap({"double 1": flux_layers(flux)["double 1"]}, {"map": IMAGE_TO_TEXT}, stop=True):
        run()
    assert torch.is_grad_enabled()
    assert all(map(torch.equal, before, gradients()))


@torch.no_grad()
def test_threads_stop_each_its_own_pass_of_one_model(flux: FluxTransformer2DModel) -> None:
    layers, runs = flux_layers(flux), {seed: flux_run(flux, seed=seed) for seed in range(4)}
    plain = {seed: run() for seed, run in runs.items()}
    expected = {seed: solo(flux, run, list(layers), IMAGE_TO_TEXT) for seed, run in runs.items()}
    together = threading.Barrier(len(runs))

    @torch.no_grad()
    def work(seed: int) -> bool:
        together.wait(timeout=60)
        names = list(layers)[: seed + 1]
        for _ in range(5):
            with AttentionTap({name: layers[name] for name in names}, {"map": IMAGE_TO_TEXT}, stop=True) as tap:
                runs[seed]()
                return False
            if not torch.equal(tap.read("map"), expected[seed][: seed + 1]) or not torch.equal(
                runs[seed](), plain[seed]
            ):
                return False
        return True

    with ThreadPoolExecutor(len(runs)) as pool:
        assert all(pool.map(work, runs))
    assert_as_found(flux)


@torch.no_grad()
def test_an_offloaded_model_loads_no_block_behind_the_end_and_sends_all_others_away(
    flux: FluxTransformer2DModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = flux_run(flux)
    plain, layers = run(), flux_layers(flux)
    whole = solo(flux, run, ["double 0", "double 1"], IMAGE_TO_TEXT)
    loaded: list[nn.Module] = []
    bring = AlignDevicesHook.pre_forward

    def watched(hook: AlignDevicesHook, module: nn.Module, *args: Any, **kwargs: Any) -> Any:
        loaded.append(module)
        return bring(hook, module, *args, **kwargs)

    monkeypatch.setattr(AlignDevicesHook, "pre_forward", watched)
    flux.own = nn.Parameter(torch.ones(1))  # of the model itself, which is running when the pass ends
    with pretend("cuda"):
        cpu_offload(flux, torch.device("cuda", 0))
        assert torch.equal(run().cpu(), plain)
        loaded.clear()
        with AttentionTap(
            {name: layers[name] for name in ("double 0", "double 1")}, {"map": IMAGE_TO_TEXT}, stop=True
        ) as t:
            run()
        torch.testing.assert_close(t.read("map").cpu(), whole)
        assert set(loaded) & set(layers["double 1"].modules())
        assert not set(loaded) & {module for name in ("single 0", "single 1") for module in layers[name].modules()}
        assert all(weight.is_meta for weight in flux.parameters())
        assert torch.equal(run().cpu(), plain)


@torch.no_grad()
def test_entering_anew_forgets_and_entering_again_while_active_does_not(flux: FluxTransformer2DModel) -> None:
    run = flux_run(flux)
    tap = AttentionTap(flux_layers(flux), {"map": IMAGE_TO_TEXT})
    with tap:
        run()
        with tap:
            assert function_modes() == 1
        tap.read("map")
        assert function_modes() == 1
    tap.read("map")
    with pytest.raises(AttentionError, match=r"^no forward pass of double 0, double 1, single 0, single 1 "), tap:
        pass
    assert_as_found(flux)


class Attention(nn.Module):
    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.dropout = dropout

    def forward(self, tokens: Tensor) -> Tensor:
        return scaled_dot_product_attention(tokens, tokens, tokens, dropout_p=self.dropout if self.training else 0.0)


@pytest.mark.parametrize(
    ("layer", "tokens", "selection", "message"),
    [
        (
            Attention(dropout=0.1),
            torch.ones(1, 2, 5, 4),
            Selection(slice(None), slice(None)),
            r"^layer drops attention entries at random: call model\.eval\(\) first$",
        ),
        (
            Attention(),
            torch.ones(2, 5, 4),
            Selection(slice(None), slice(None)),
            r"^layer attends over \(2, 5, 4\), not \(batch, heads, tokens, head size\): name another layer$",
        ),
        (
            Attention(),
            torch.ones(1, 2, 5, 4),
            Selection(slice(None), torch.tensor([0, 5])),
            "^selection 'map' goes beyond layer, which has 5 queries and 5 keys: choose positions within them$",
        ),
    ],
    ids=["dropout", "3-D", "beyond the keys"],
)
def test_what_cannot_be_read_says_what_to_do(
    layer: nn.Module, tokens: Tensor, selection: Selection, message: str
) -> None:
    with pytest.raises(AttentionError, match=message), AttentionTap({"layer": layer}, {"map": selection}):
        layer(tokens)


def test_layers_of_different_shape_are_read_with_a_tap_each() -> None:
    small, large = Attention(), Attention()
    with AttentionTap({"small": small, "large": large}, {"map": Selection(slice(None), slice(None))}) as tap:
        small(torch.ones(1, 2, 5, 4))
        large(torch.ones(1, 2, 6, 4))
    with pytest.raises(AttentionError, match=r"^layers differ in shape .*: read them with one tap for each shape$"):
        tap.read("map")


def test_calls_outside_the_wanted_layers_pass_untouched(flux: FluxTransformer2DModel) -> None:
    """A mode around the tap sees the plain calls of the unwanted layer, and those alone."""
    tokens = torch.ones(1, 2, 5, 4)
    wanted, unwanted = Attention(), Attention()
    with Recorder() as recorder, AttentionTap({"wanted": wanted}, {"map": Selection(slice(2), slice(3))}) as tap:
        unwanted(tokens)
        assert len(recorder.attentions) == 1
        wanted(tokens)
        unwanted(2 * tokens)
    assert len(recorder.attentions) == 2
    torch.testing.assert_close(tap.read("map"), torch.full((1, 1, 2, 3), 1 / 5))


@pytest.mark.parametrize("row_chunk", [1, 5, 1000])
@torch.no_grad()
def test_the_row_chunk_changes_nothing(flux: FluxTransformer2DModel, row_chunk: int) -> None:
    run = flux_run(flux)
    with AttentionTap(flux_layers(flux), {"map": IMAGE_TO_TEXT}, row_chunk=row_chunk) as tap:
        run()
    whole = solo(flux, run, list(flux_layers(flux)), IMAGE_TO_TEXT)
    torch.testing.assert_close(tap.read("map"), whole, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Selection(torch.ones(2, 2, dtype=torch.int64), slice(None)),
        lambda: Selection(slice(None), torch.ones(2)),
        lambda: Selection(slice(None), slice(None), heads="max"),  # type: ignore[arg-type]
        lambda: AttentionTap({}, {"map": IMAGE_TO_TEXT}),
        lambda: AttentionTap({"layer": nn.Identity()}, {}),
        lambda: AttentionTap({"layer": nn.Identity()}, {"map": IMAGE_TO_TEXT}, row_chunk=0),
    ],
    ids=["2-D rows", "float columns", "unknown heads", "no layers", "no selections", "empty chunk"],
)
def test_a_tap_checks_what_it_is_asked_for(wrong: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"must be|needs"):
        wrong()


def test_an_unknown_selection_lists_the_known_ones() -> None:
    tap = AttentionTap({"layer": nn.Identity()}, {"image": IMAGE_TO_TEXT, "text": IMAGE_TO_TEXT})
    with pytest.raises(KeyError, match="no selection 'map'; there are image, text"):
        tap.read("map")
