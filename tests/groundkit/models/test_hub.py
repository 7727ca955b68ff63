"""What the Hub answers, and that it is asked once: against a server on the loopback that speaks as the Hub does."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hub import Hub, asking, serving

SCRIPT = """
import json, sys, warnings
from groundkit.errors import ModelError
from groundkit.models.diffusion.families import diffusion_family
from groundkit.models.vision_language.families import load_vision_language
from groundkit.segmenters.load import load_segmenter
from groundkit.tracking.sam2 import Sam2Tracker

kinds = {"refam": diffusion_family, "vlsam": load_vision_language, "sam": load_segmenter}
kinds["tracker"] = Sam2Tracker.from_pretrained
answers = {}
for case in sys.argv[1:]:
    kind, source = case.split("=")
    try:
        answers[case] = type(kinds[kind](source)).__name__
    except ModelError as error:
        answers[case] = str(error)
print(json.dumps(answers))
"""


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    """A Hub with nano's own models under other names."""
    from groundkit.weights.catalog import nano_folder

    models = {"own/sam": nano_folder("sam"), "own/flux": nano_folder("flux"), "own/llava": nano_folder("llava")}
    with serving(models) as server:
        yield server


def ask(endpoint: str, home: Path, *cases: str, **variables: str) -> tuple[dict[str, str], str]:
    """What each load gave, and all of standard error."""
    environment = asking(endpoint, home, **variables)
    command = [sys.executable, "-c", SCRIPT, *cases]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    answers: dict[str, str] = json.loads(done.stdout)
    return answers, done.stderr


def test_each_refusal_is_one_line_after_one_question_without_the_libraries_noise(hub: Hub, tmp_path: Path) -> None:
    said = {
        "own/expired": "the Hub does not accept the token; renew it (hf auth login), or unset HF_TOKEN: "
        "public models need none",
        "own/unknown": "no such folder, and no such model on the Hub; check the name, "
        "or set HF_TOKEN if the model is private",
        "own/gated": "this model is gated; accept its terms at https://huggingface.co/own/gated "
        "and set HF_TOKEN to a token of that account",
        "own/forbidden": "the Hub refuses access (403); use a token that may read this model, "
        "and accept the model's terms",
        "own/limited": "the Hub asks to wait (429, too many requests); try again in a few minutes, "
        "or log in (hf auth login)",
        "own/broken": "the Hub has a fault of its own (503); try again later",
        "own/portal": f"what answers at {hub.address} is not the Hub; sign in to the network, "
        "and check proxy and HF_ENDPOINT",
    }
    cases = [f"{kind}={source}" for source in said for kind in ("refam", "vlsam", "sam", "tracker")]
    answers, noise = ask(hub.address, tmp_path, *cases, HF_TOKEN="hf_expired")
    for case in cases:
        source = case.partition("=")[2]
        assert answers[case] == f"{source}: {said[source]}"
    assert noise == ""
    assert {source: hub.asked[source] for source in said} == dict.fromkeys(said, 4)


def test_a_model_of_another_kind_names_the_option_that_takes_it_before_any_weights_are_asked_for(
    hub: Hub, tmp_path: Path
) -> None:
    hub.asked.clear()
    answers, noise = ask(hub.address, tmp_path, "refam=own/llava", "refam=own/sam", "vlsam=own/flux", "sam=own/llava")
    assert answers == {
        "refam=own/llava": 'own/llava: this is a llava model, not a diffusion pipeline; read it with pipeline="vlsam", '
        "or give one such as black-forest-labs/FLUX.1-schnell",
        "refam=own/sam": "own/sam: this is a sam model, not a diffusion pipeline; it works as the segmenter; "
        "here give one such as black-forest-labs/FLUX.1-schnell",
        "vlsam=own/flux": "own/flux: this is a diffusion pipeline (FluxPipeline), not a vision-language model; "
        'read it with pipeline="refam", or give one such as Qwen/Qwen2.5-VL-3B-Instruct',
        "sam=own/llava": 'own/llava: this is a llava model, not a SAM; read it with pipeline="vlsam", '
        "or give one such as facebook/sam-vit-base",
    }
    assert noise == ""
    assert max(hub.asked.values()) < 10
    assert not list(tmp_path.rglob("*.safetensors"))


def test_what_was_downloaded_once_is_used_when_the_hub_is_out_of_reach(hub: Hub, tmp_path: Path) -> None:
    first, noise = ask(hub.address, tmp_path, "sam=own/sam")
    assert (first, noise) == ({"sam=own/sam": "TransformersSam"}, "")
    nobody = "http://127.0.0.1:9"
    later, noise = ask(nobody, tmp_path, "sam=own/sam", "vlsam=own/other", "refam=flux")
    assert later == {
        "sam=own/sam": "TransformersSam",
        "vlsam=own/other": "own/other: no such folder, not in the local Hub cache, and the Hub was not reached at "
        f"{nobody}; check the network, or give a model folder",
        "refam=flux": "flux: no such folder, not in the local Hub cache, and the Hub was not reached at "
        f"{nobody}; did you mean black-forest-labs/FLUX.1-schnell? If not, check the network, or give a model folder",
    }
    assert noise == ""
