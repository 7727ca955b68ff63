"""The command groundkit serve: nano behind a port answers as the library does, and ends in order."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import urllib.request
import uuid
from pathlib import Path
from typing import Any

import pytest

import groundkit

SAMPLE = Path(__file__).parents[2] / "samples" / "scene_1.png"


def ask(address: str, phrase: str) -> dict[str, Any]:
    """The answer of ``POST /segment``, with the standard library alone."""
    mark = uuid.uuid4().hex
    parts = [f'--{mark}\r\nContent-Disposition: form-data; name="phrase"\r\n\r\n{phrase}\r\n'.encode()]
    parts += [f'--{mark}\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'.encode()]
    body = b"".join([*parts, SAMPLE.read_bytes(), f"\r\n--{mark}--\r\n".encode()])
    headers = {"Content-Type": f"multipart/form-data; boundary={mark}"}
    request = urllib.request.Request(f"{address}/segment", body, headers)
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with direct.open(request, timeout=120) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


@pytest.mark.slow
def test_nano_answers_as_the_library_does_and_a_termination_ends_it_in_order() -> None:
    options = ["serve", "--port", "0", "--offline", "--device", "cpu"]
    with subprocess.Popen([sys.executable, "-m", "groundkit", *options], stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            address = process.stderr.readline().split()[1]
            answer = ask(address, "the red cup")
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 128 + signal.SIGTERM
            assert process.stderr.read() == ""
        finally:
            process.kill()
    expected = groundkit.load("refam", device="cpu")(SAMPLE, "the red cup")
    (found,) = answer["results"]
    assert [each["rle"] for each in found["objects"]] == list(expected.run_lengths)
    assert [each["box"] for each in found["objects"]] == expected.boxes.tolist()


def test_a_port_that_is_taken_is_told_before_any_model_is_loaded(command: Any, pipeline: Any) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        answer = command("serve", "--port", str(other.getsockname()[1]))
    assert answer.code == 2
    assert "Address already in use; choose another" in answer.err
    assert pipeline.loaded_with == {}


def test_without_its_extra_the_command_says_what_to_install(
    command: Any, pipeline: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    answer = command("serve")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == "groundkit: error: groundkit serve needs uvicorn: pip install 'groundkit-vision[serve]'\n"
