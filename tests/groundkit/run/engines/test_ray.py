"""A local Ray cluster with two actors that hold nano leaves what one process does."""

import gc
import warnings
from functools import partial
from pathlib import Path

import pytest
from files import tree

import groundkit
from groundkit.errors import ConfigError
from groundkit.pipelines.video import read_config
from groundkit.run import runner
from groundkit.run.engines.here import here
from groundkit.run.plan import make_plan
from groundkit.run.runner import Listener, RunSettings
from groundkit.run.worker import Job

ray = pytest.importorskip("ray")

from groundkit.run.engines.ray import on_ray  # noqa: E402

# What Ray's own modules deprecate, and the processes that it starts and does not wait for.
pytestmark = [pytest.mark.ray, pytest.mark.slow]
pytestmark += [pytest.mark.filterwarnings(f"ignore::{kind}Warning") for kind in ("Deprecation", "Future", "Resource")]

SAMPLES = Path(__file__).parents[4] / "samples"


@pytest.fixture(scope="module")
def cluster():
    """A cluster on this machine with room for two actors."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
        yield
        ray.shutdown()
        gc.collect()  # what complains of being collected does it here, and not at the end of all tests


class Listens(Listener):
    def __init__(self):
        self.records = []

    def result(self, record):
        self.records.append(record)


def run(job, plan, engine):
    listener = Listens()
    runner.run(RunSettings(plan, job, engine, manifest={}), listener)
    return listener.records


def test_two_actors_leave_what_one_process_does_and_resume_its_manifest(cluster, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    (tmp_path / "broken.png").write_bytes(b"")
    sources = [SAMPLES / "scene_1.png", Path("broken.png"), SAMPLES / "scene_2.png", SAMPLES / "scene_3.png"]
    plan = make_plan([(str(source), ["the red cup", "the bird"]) for source in sources])
    job = Job(partial(groundkit.load, "refam", device="cpu"), Path("one"), ("png", "json", "coco"))
    run(job, plan, here)

    many = Job(job.load, Path("many"), job.formats)
    run(many, plan[:1], here)  # an earlier run, on one machine
    done = run(many, plan, partial(on_ray, count=2))
    assert sorted(record["name"] for record in done) == sorted(task.name for unit in plan[1:] for task in unit.tasks)
    one = {name: content.replace(b'"one/', b'"many/') for name, content in tree(tmp_path / "one").items()}
    assert tree(tmp_path / "many") == one


def test_settings_that_no_actor_can_load_are_a_usage_error(cluster, tmp_path):
    wrong = partial(read_config, {"no_such": 1})
    plan = make_plan([(str(SAMPLES / "scene_1.png"), ["the red cup"])])
    with pytest.raises(ConfigError, match="no_such"):
        list(on_ray(Job(wrong, tmp_path, ("png",)), plan, 1))
