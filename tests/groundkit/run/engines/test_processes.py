"""Several processes with nano: the same results as one, errors that come through, and a worker that dies."""

import multiprocessing
import os
import signal
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

import groundkit
from groundkit import clock
from groundkit.errors import ConfigError, ModelError
from groundkit.pipelines.base import Pipeline
from groundkit.pipelines.video import read_config
from groundkit.run.engines.here import here
from groundkit.run.engines.processes import _tell, on_processes
from groundkit.run.plan import make_plan
from groundkit.run.worker import Job

SAMPLES = Path(__file__).parents[4] / "samples"
PHRASES = ["the red cup", "the bird"]


@pytest.fixture
def nano(tmp_path, monkeypatch):
    monkeypatch.setenv("TQDM_DISABLE", "1")
    monkeypatch.setenv("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return Job(partial(groundkit.load, "refam", device="cpu"), tmp_path / "out", ("png", "json"))


@pytest.fixture
def plan(tmp_path):
    (tmp_path / "broken.png").write_bytes(b"")
    sources = [SAMPLES / "scene_1.png", tmp_path / "broken.png", SAMPLES / "scene_2.png", SAMPLES / "scene_3.png"]
    return make_plan([(str(source), PHRASES) for source in sources])


def by_name(records):
    return sorted(records, key=lambda record: record["name"])


def test_two_processes_find_and_write_what_one_does(nano, plan, tmp_path):
    together = by_name(on_processes(nano, plan, 2))
    written = {path.name: path.read_bytes() for path in nano.output.iterdir()}
    for path in nano.output.iterdir():
        path.unlink()
    assert together == by_name(here(nano, plan))
    assert {path.name: path.read_bytes() for path in nano.output.iterdir()} == written
    assert len(together) == 2 * len(plan)
    assert multiprocessing.active_children() == []


def test_the_times_of_two_processes_are_summed(nano, plan):
    with clock.timings() as measured:
        records = list(on_processes(replace(nano, timed=True), plan, 2))
    read = [record for record in records if "error" not in record]
    assert measured["text encoder"].passes >= len(read) > 0
    assert measured["SAM encoder"].passes == len({record["input"] for record in read})
    assert os.getpid() in measured.processes
    assert len(measured.processes) > 1
    assert clock.WAITING not in measured.parts
    assert sum(part.seconds for part in measured.parts.values()) == pytest.approx(measured.seconds)


def test_a_worker_that_dies_fails_what_it_was_on_and_another_does_the_rest(nano, plan):
    records = on_processes(nano, plan, 1)
    got = [next(records)]
    (worker,) = multiprocessing.active_children()
    os.kill(worker.pid, signal.SIGKILL)
    got += records
    assert len(by_name(got)) == len({record["name"] for record in got}) == 2 * len(plan)
    died = [record for record in got if record.get("error") == "the worker died on it (SIGKILL)"]
    assert 1 <= len(died) <= len(PHRASES)
    assert got[-1]["files"] == ["scene_3-the-bird.json", "scene_3-the-bird.png"]


def test_what_cannot_be_loaded_is_raised_as_in_one_process(nano, plan, tmp_path):
    wrong = partial(read_config, {"no_such": 1})
    with pytest.raises(ConfigError, match="no_such"):
        list(on_processes(Job(wrong, tmp_path, ("png",)), plan, 2))
    dying = Job(partial(os._exit, 7), tmp_path, ("png",))
    with pytest.raises(ModelError, match=r"^a worker died while it loaded the models \(exit code 7\)"):
        list(on_processes(dying, plan, 2))
    assert multiprocessing.active_children() == []


class Refuses(Pipeline):
    """Its model has no head 9."""

    name, model, segmenter = "refuses", "none", None

    def outcomes(self, image, phrases, *, seed=0):
        raise ConfigError("no head 9")


def test_a_setting_that_the_model_refuses_ends_the_run_as_in_one_process(plan, tmp_path):
    for engine in (here, partial(on_processes, count=2)):
        with pytest.raises(ConfigError, match="no head 9"):
            list(engine(Job(Refuses, tmp_path / "out", ("png",)), plan))
    assert multiprocessing.active_children() == []


def test_a_warning_of_a_worker_speaks_of_the_command_line_s_options(capsys):
    _tell(UserWarning('config={"max_pixels": 4000000} shows finer detail'), UserWarning)
    _tell(DeprecationWarning("for developers"), DeprecationWarning)
    assert capsys.readouterr().err == "groundkit: warning: --set max_pixels=4000000 shows finer detail\n"
