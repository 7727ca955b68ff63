"""A run on a Ray cluster: Ray Data hands units to actors that hold the models, and brings the records back.

Actors read inputs and write results themselves: both must be at the same paths on every machine, as on a shared disk.
The manifest is written by the driver alone.
"""

from __future__ import annotations

import json
import logging
import os
import pickle
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

from groundkit.errors import STOPS, ConfigError, GroundkitError, ModelError
from groundkit.run.manifest import Record
from groundkit.run.plan import Unit
from groundkit.run.worker import Job, Worker

_LARGEST_BLOCK = 8  # units whose records come back together
_PASSED_ON = ("HF_HUB_OFFLINE", "HF_HUB_DISABLE_PROGRESS_BARS", "TQDM_DISABLE", "TRANSFORMERS_VERBOSITY")


def on_ray(
    job: Job, units: Sequence[Unit], count: int | None = None, *, address: str | None = None, gpus: bool = True
) -> Generator[Record]:
    """Do units on actors; records come in the order of their ends.

    Args:
        job: how.
        units: what.
        count: of actors; by default one a GPU, or one a core where there are none.
        address: of a running cluster, ``auto`` for the one this machine belongs to, or None to start one here. A
            connection that exists already is used and left open.
        gpus: whether each actor holds one, where the cluster has any.

    Raises:
        ConfigError: when Ray is not installed, or the cluster does not answer.
        ModelError: when the actors cannot load the models.
        ConfigError, StageError: a setting that the models refuse, or a faulty stage.
    """
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise ConfigError('Ray is not installed: pip install "groundkit-vision[ray]"') from error
    ours = not ray.is_initialized()
    if ours:
        variables = {name: os.environ[name] for name in _PASSED_ON if os.environ.get(name)}
        try:
            ray.init(
                address,
                log_to_driver=job.debug,
                logging_level="warning",
                runtime_env={"env_vars": variables},
                **({} if address else {"include_dashboard": False, "num_cpus": count}),
            )
        except Exception as error:  # of no common class: no such address, no answer, a machine too slow to start
            where = f"does not answer at {address}" if address else "cannot be started here"
            raise ConfigError(f"Ray {where} ({str(error).splitlines()[0]})") from error
    try:
        yield from _records(job, units, count, gpus)
    except ray.exceptions.RayError as error:
        raise ModelError(
            f"the work on Ray ended ({str(error).strip().splitlines()[-1]}); --debug tells more"
        ) from error
    finally:
        if ours:
            ray.shutdown()


def _records(job: Job, units: Sequence[Unit], count: int | None, gpus: bool) -> Iterator[Record]:
    import ray
    import ray.data

    resources = ray.cluster_resources()
    gpus = gpus and resources.get("GPU", 0) >= 1
    count = min(count or max(1, int(resources.get("GPU" if gpus else "CPU", 1))), len(units))
    if not job.debug:
        logging.getLogger("ray.data").setLevel(logging.ERROR)  # it tells of its settings and of every stage
    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = context.print_on_execution_start = False
    # A block's records come back when all of it is done: small ones lose less by a kill, large ones cost less.
    blocks = min(len(units), max(4 * count, -(-len(units) // _LARGEST_BLOCK)))
    rows: list[dict[str, Any]] = [{"unit": pickle.dumps(unit)} for unit in units]
    dataset = ray.data.from_items(rows, override_num_blocks=blocks).map_batches(
        _Actor,
        fn_constructor_args=(job, str(Path.cwd())),
        batch_size=None,
        compute=ray.data.ActorPoolStrategy(size=count),
        num_cpus=1,
        num_gpus=1 if gpus else None,
    )
    for row in dataset.iter_rows():
        if row["refusal"]:
            raise pickle.loads(row["refusal"])
        yield json.loads(row["record"])


class _Actor:
    """A worker on some machine of the cluster."""

    def __init__(self, job: Job, folder: str) -> None:
        os.chdir(folder)  # what relative paths begin at
        self._refusal = b""
        try:
            self._worker = Worker(job)
        except GroundkitError as error:  # Ray would tell of a dead actor, with this as text somewhere in its message
            self._refusal = pickle.dumps(error)

    def __call__(self, batch: dict[str, Any]) -> Iterator[dict[str, list[Any]]]:
        if self._refusal:
            yield {"record": [""], "refusal": [self._refusal]}
            return
        # As text: records of pictures, videos and failures have no one table of columns.
        try:
            for record in self._worker.work([pickle.loads(unit) for unit in batch["unit"]]):
                yield {"record": [json.dumps(record)], "refusal": [b""]}
        except STOPS as error:  # a setting that the model refuses, or a faulty stage
            yield {"record": [""], "refusal": [pickle.dumps(error)]}
