"""The service over HTTP: its answers are the library's, and whatever else is sent is refused in one line."""

from __future__ import annotations

import base64
import io
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from pycocotools import mask as coco_mask

from groundkit.errors import PhraseError
from groundkit.pipelines.base import Pipeline
from groundkit.results import Failure, Grounding
from groundkit.service.app import Limits, make_app


class Bright(Pipeline):
    """Finds the pixels brighter than 128, refuses "bad", breaks at "broken", and waits at "slow"."""

    name, model = "refam", "fake"

    def __init__(self, make_grounding: Callable[..., Grounding]) -> None:
        self.make_grounding = make_grounding
        self.go_on = threading.Event()
        self.started = threading.Event()
        self.running = 0
        self.segmenter: Any = type("Sam", (), {"name": "fake sam"})()

    def outcomes(
        self, image: npt.NDArray[np.uint8], phrases: Sequence[str], *, seed: int = 0
    ) -> Iterator[Grounding | Failure]:
        self.running += 1
        assert self.running == 1, "two requests run at once"
        for phrase in phrases:
            if phrase == "broken":
                self.running -= 1
                raise ZeroDivisionError("a secret path /home/me")
            if phrase == "slow":
                self.started.set()
                self.go_on.wait(30)
            if phrase == "bad":
                yield Failure(phrase, PhraseError("the phrase is bad: say something else"))
                continue
            y, x = np.nonzero(image[..., 0] > 128)
            box = (int(x.min()), int(y.min()), int(x.max()) + 1, int(y.max()) + 1)
            yield self.make_grounding(box, image=image, phrase=phrase, model=self.model)
        self.running -= 1


@pytest.fixture
def pipeline(make_grounding: Callable[..., Grounding]) -> Bright:
    return Bright(make_grounding)


@pytest.fixture
def client(pipeline: Bright) -> TestClient:
    limits = Limits(max_bytes=100_000, max_phrases=3, max_waiting=2)
    return TestClient(make_app(pipeline, limits), raise_server_exceptions=False)


def picture(left: int = 10) -> bytes:
    pixels = np.zeros((48, 64, 3), np.uint8)
    pixels[10:20, left:40] = 255
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def post(client: TestClient, content: bytes, *phrases: str, **fields: Any) -> Any:
    return client.post("/segment", files={"image": ("any.png", content)}, data={"phrase": list(phrases), **fields})


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")
def test_masks_are_those_of_the_library_as_run_lengths_and_as_png(client: TestClient, pipeline: Bright) -> None:
    expected = pipeline(picture(), "cup")
    answer = post(client, picture(), "cup", "bad").json()
    assert (answer["width"], answer["height"], answer["pipeline"], answer["model"]) == (64, 48, "refam", "fake")
    found, refused = answer["results"]
    (one,) = found["objects"]
    assert np.array_equal(coco_mask.decode(one["rle"]).astype(bool), expected.masks[0])
    assert (one["box"], one["area"]) == (expected.boxes[0].tolist(), 300)
    assert refused == {**refused, "objects": [], "error": "the phrase is bad: say something else"}
    (as_png,) = post(client, picture(), "cup", mask="png").json()["results"][0]["objects"]
    assert as_png["rle"] is None
    drawn = np.asarray(Image.open(io.BytesIO(base64.b64decode(as_png["png"]))))
    assert np.array_equal(drawn == 255, expected.masks[0])


def test_health_tells_what_runs(client: TestClient) -> None:
    told = client.get("/health").json()
    assert told["status"] == "ok"
    assert (told["pipeline"], told["model"], told["segmenter"], told["waiting"]) == ("refam", "fake", "fake sam", 0)


@pytest.mark.parametrize(
    ("content", "phrases", "fields", "code", "told"),
    [
        (b"no picture", ["cup"], {}, 422, "image: "),
        (picture()[:60], ["cup"], {}, 422, "image: the picture is damaged or incomplete"),
        (b"", ["cup"], {}, 422, "image: "),
        (picture(), [], {}, 422, "phrase: Field required"),
        (picture(), ["cup"], {"mask": "jpeg"}, 422, "mask: Input should be 'rle', 'png' or 'none'"),
        (picture(), ["cup"], {"seed": -1}, 422, "seed: "),
        (picture(), ["a", "b", "c", "d"], {}, 422, "4 phrases for one picture: at most 3"),
        (b"x" * 200_000, ["cup"], {}, 413, "the upload is too large: at most 0.0953674 MiB"),
    ],
)
def test_what_cannot_be_done_is_refused_in_one_line(
    client: TestClient, content: bytes, phrases: list[str], fields: dict[str, Any], code: int, told: str
) -> None:
    answer = post(client, content, *phrases, **fields)
    assert answer.status_code == code
    assert list(answer.json()) == ["error"]
    assert answer.json()["error"].startswith(told)
    assert "\n" not in answer.json()["error"]


def test_an_upload_that_hides_its_size_is_stopped_while_it_is_read(client: TestClient) -> None:
    sent = 0

    def body() -> Iterator[bytes]:
        nonlocal sent
        yield b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n'
        for _ in range(100):
            sent += 10_000
            yield bytes(10_000)

    answer = client.post("/segment", content=body(), headers={"Content-Type": "multipart/form-data; boundary=x"})
    assert answer.status_code == 413


def test_a_fault_of_ours_is_one_line_without_a_traceback_and_goes_to_the_log(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, "groundkit"):
        answer = post(client, picture(), "broken")
    assert (answer.status_code, answer.json()) == (500, {"error": "a fault of groundkit: see its log"})
    assert "ZeroDivisionError" in caplog.text
    assert post(client, picture(), "cup").status_code == 200


def test_no_path_is_read_and_no_page_asks_another_server(client: TestClient) -> None:
    assert client.post("/segment", data={"image": "/etc/passwd", "phrase": "cup"}).status_code == 422
    assert client.get("/docs").status_code == 404
    assert "/segment" in client.get("/openapi.json").json()["paths"]


def test_requests_run_one_at_a_time_and_those_beyond_the_queue_are_told_to_come_again(
    client: TestClient, pipeline: Bright
) -> None:
    with client, ThreadPoolExecutor(4) as pool:
        first = pool.submit(post, client, picture(), "slow")
        assert pipeline.started.wait(30)
        second = pool.submit(post, client, picture(20), "cup")
        while client.get("/health").json()["waiting"] < 2:
            pass
        third = post(client, picture(), "cup")
        assert third.status_code == 503
        assert third.json() == {"error": "2 requests wait already: try again later"}
        assert third.headers["Retry-After"] == "1"
        pipeline.go_on.set()
        assert first.result().status_code == 200
        assert second.result().json()["results"][0]["objects"][0]["box"] == [20, 10, 40, 20]
    assert client.get("/health").json()["waiting"] == 0
