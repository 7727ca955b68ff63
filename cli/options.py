"""The options that commands share, and how they become a pipeline."""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import inspect
import os
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from groundkit import clock
from groundkit.batches import read_batch_size
from groundkit.cli.console import keep_quiet_of_what_is_logged, progress, say, say_what_is_logged, silence_libraries
from groundkit.cli.first_model import offer_real_model
from groundkit.errors import ConfigError
from groundkit.media.paths import expand_home
from groundkit.memory import paused_garbage_collection
from groundkit.outputs.formats import NAMES

if TYPE_CHECKING:
    from groundkit.pipelines.base import Pipeline
    from groundkit.settings import Given, Setting

OutputOption = Annotated[Path, typer.Option("--output", "-o", help="Folder for the results.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON list of records instead of file names.")]
PhraseOption = Annotated[
    list[str] | None,
    typer.Option("--phrase", "-p", help="What to look for; then all arguments are inputs. Repeatable."),
]
LabelledPhraseOption = Annotated[
    list[str] | None,
    typer.Option(
        "--phrase",
        "-p",
        metavar="PHRASE[=CLASS]",
        help="What to look for, and its class in data sets; then all arguments are inputs. Repeatable.",
    ),
]
ReportOption = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Also write one HTML file that shows every result, to open in a browser."),
]
RangeOption = Annotated[
    str,
    typer.Option(
        "--range",
        metavar="full|auto|LOW,HIGH",
        help="Which values become black and white in pictures of more than 8 bits per channel: full (the range of the "
        "data type), auto (the 2nd and 98th percentile of the values), or two numbers.",
    ),
]


FormatOption = Annotated[
    list[str] | None,
    typer.Option(
        "--format",
        "-f",
        metavar="FORMAT",
        help=f"For pictures: {', '.join(NAMES[:-1])} or {NAMES[-1]}. Repeatable; png and overlay by default. Videos "
        "give a film, one mask per frame, and lines of run lengths.",
    ),
]
MinEvidenceOption = Annotated[
    float | None,
    typer.Option(min=0, max=1, help="Minimum evidence, 0 to 1; below it, report nothing found. See --evidence."),
]
FailOnEmptyOption = Annotated[
    bool, typer.Option("--fail-on-empty", help="Exit with 1 when a phrase is found nowhere in an input.")
]


@dataclass(frozen=True)
class PipelineOptions:
    """What every command that grounds phrases can be told about the method, its models and the machine."""

    pipeline: Annotated[
        str, typer.Option(metavar="NAME", help="Method: refam, cross-attention, vlsam, decaf or ensemble.")
    ] = "refam"
    model: Annotated[
        str,
        typer.Option(metavar="ID", help="Model to read: a Hub id or its alias (groundkit models), a folder, or nano."),
    ] = "nano"
    segmenter: Annotated[
        str,
        typer.Option(
            metavar="ID",
            help="Segment Anything model: a Hub id, a folder, a .pth file, nano, or auto: nano for nano models, "
            "facebook/sam-vit-base for real ones.",
        ),
    ] = "auto"
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto"
    dtype: Annotated[
        str,
        typer.Option(
            help="auto, float32, bfloat16 or float16. auto is bfloat16 where the GPU or processor computes in it, else "
            "float32; nano is always in float32."
        ),
    ] = "auto"
    segmenter_dtype: Annotated[
        str,
        typer.Option(
            help="Type of numbers of the segmenter's image encoder, and of a SAM 2 or EdgeTAM that follows: float32, "
            "bfloat16, float16, or auto: --dtype where it is named, else float32."
        ),
    ] = "auto"
    batch_size: Annotated[
        str,
        typer.Option(
            metavar="auto|N",
            help="Maximum number of noise samples, phrases or questions of one picture, or points that run as one "
            "batch. auto: as many as fit into free memory, at most 8 on a CPU and 32 on a GPU. Halved where memory "
            "runs out.",
        ),
    ] = "auto"
    offload: Annotated[bool, typer.Option("--offload", help="Keep on the GPU only the part that runs.")] = False
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit of the model on the Hub.")] = None
    variant: Annotated[str | None, typer.Option(help="Variant of the weight files, such as fp16.")] = None
    seed: Annotated[int, typer.Option(min=0, max=2**62, help="Seed of the noise.")] = 0
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Set a field of the method's configuration. Repeatable."),
    ] = None
    config_file: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="TOML or JSON file of such fields, and the pipeline that they are for; --set goes over it.",
        ),
    ] = None
    evidence: Annotated[
        bool,
        typer.Option(
            "--evidence/--no-evidence",
            help="Measure the evidence that the object is in the picture at all, 0 to 1: one more pass per picture.",
        ),
    ] = True
    offline: Annotated[bool, typer.Option("--offline", help="Never ask the Hugging Face Hub.")] = False
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose",
            "-v",
            help="Print the device, dtype, segmenter and settings that are used, and the peak memory.",
        ),
    ] = False
    timings: Annotated[
        bool,
        typer.Option(
            "--timings",
            help="Print where the time went: seconds, passes and tokens of each part, and the peak memory.",
        ),
    ] = False
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No messages and no progress.")] = False
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False

    @property
    def sam(self) -> str:
        """The segmenter, named or by default."""
        from groundkit.weights.catalog import default_segmenter

        return default_segmenter(self.model) if self.segmenter == "auto" else self.segmenter

    def config(self, *, min_evidence: float | None = None) -> Given:
        """The settings that are given: those of the file, ``--set`` over them, options over both.

        They and all names are checked before anything heavy is imported.

        Raises:
            ConfigError: a pipeline, device, dtype or setting that does not exist, or a value that it cannot take.
        """
        from groundkit.loading import check_names
        from groundkit.pipelines.resolve import resolve
        from groundkit.pipelines.video_config import VideoConfig

        given = read_settings(self.config_file, self.settings or [], pipeline=self.pipeline)
        if min_evidence is not None:
            given.add({"min_evidence": min_evidence}, "--min-evidence")
        if not self.evidence:
            if min_evidence:
                raise ConfigError("--min-evidence needs the evidence that --no-evidence switches off")
            given.add({"evidence": False}, "--no-evidence")
        method = {key: value for key, value in given.items() if key not in VideoConfig.model_fields}
        resolve(self.pipeline, method)
        check_names(self.device, self.dtype, self.segmenter_dtype)
        read_batch_size(self.batch_size)
        return given

    def effective(self, config: Mapping[str, Any]) -> list[Setting]:
        """Every setting of the method as it runs with ``config``."""
        from groundkit.pipelines.resolve import readings_for, resolve

        where: dict[str, Any] = {"revision": self.revision, "local_files_only": self.offline}
        readings = readings_for(self.pipeline, self.model, **where)
        return resolve(self.pipeline, config, readings).list_settings()

    def load(self, load: Callable[[], Pipeline]) -> Pipeline:
        """Load what ``loader`` gave, and tell what it is."""
        # Downloads have bars of their own.
        with progress(f"loading {self.model}", None, quiet=self.quiet or not self._local), without_garbage_collection():
            loaded = load()
        if self.verbose:
            for member in getattr(loaded, "members", [loaded]):
                model = getattr(member, "diffusion", None) or getattr(member, "vlm", None)
                device, dtype = (str(getattr(model, each, "?")).removeprefix("torch.") for each in ("device", "dtype"))
                asked = f"--device {self.device}, --dtype {self.dtype}"
                say(f"{member.name}: {member.model} on {device} in {dtype} ({asked})")
            sam_dtype = str(getattr(getattr(loaded, "segmenter", None), "dtype", "?")).removeprefix("torch.")
            say(f"segmenter: {self.sam} in {sam_dtype} (--segmenter-dtype {self.segmenter_dtype})")
        return loaded

    @property
    def _local(self) -> bool:
        """Whether nothing has to be downloaded, as far as the names tell."""
        return all(each == "nano" or Path(each).exists() for each in (*self.model.split(","), self.sam))

    def loader(self, config: Mapping[str, Any], output: Path | None = None) -> Callable[[], Pipeline]:
        """What loads the method with these settings, in this process or in another, to which it can be pickled.

        ``output`` is the folder for the results, if there is one. Libraries are told what they need.
        """
        # huggingface_hub and transformers read these once, when they are imported.
        if self.offline:
            os.environ["HF_HUB_OFFLINE"] = "1"
        if self.quiet or self._local or not sys.stderr.isatty():
            silence_libraries()
        if "nano" in self.model.split(",") and not self.quiet and sys.stderr.isatty() and not _holds_results(output):
            say(f"nano is a demo model for drawn scenes. For photographs: {real_models(self.pipeline)}")
        if self.segmenter == "auto" and self.sam != "nano" and not self.quiet:
            say(f"using the segmenter {self.sam}; choose another with --segmenter")
        if self.verbose:
            from groundkit.settings import as_text

            say_what_is_logged()
            effective = self.effective(config)
            told = (
                f"{e.name}={as_text(e.value)}{'' if e.origin == 'default' else f' ({e.origin})'}" for e in effective
            )
            say(f"settings: {', '.join(told)}")
        import groundkit

        return functools.partial(
            groundkit.load,
            self.pipeline,
            model=self.model,
            segmenter=None if self.segmenter == "auto" else self.segmenter,
            device=self.device,
            dtype=self.dtype,
            segmenter_dtype=self.segmenter_dtype,
            offload=self.offload,
            revision=self.revision,
            variant=self.variant,
            local_files_only=self.offline,
            config=config,
            batch_size=read_batch_size(self.batch_size),
        )


def listed_formats() -> str:
    """``coco, cutout or png``: the formats, for help texts."""
    *names, last = NAMES
    return f"{', '.join(names)} or {last}"


def real_models(pipeline: str) -> str:
    """What to add to a command with nano, so that it reads a small real model."""
    from groundkit.pipelines.vlsam_config import PRESETS
    from groundkit.weights.catalog import REAL_READER

    return f"{'' if pipeline in PRESETS else '--pipeline vlsam '}--model {REAL_READER}"


def _holds_results(output: Path | None) -> bool:
    """Whether an earlier run has written there: it has said what this one need not say again."""
    return output is not None and output.is_dir() and any(output.iterdir())


@contextlib.contextmanager
def without_garbage_collection() -> Iterator[None]:
    """What is imported and loaded inside stays to the end of the process: it is never searched for garbage."""
    with paused_garbage_collection():
        yield
        gc.freeze()
        atexit.register(gc.unfreeze)  # if the interpreter is taken down, then in order


def with_pipeline_options(
    *, without: Collection[str] = (), **defaults: Any
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add the fields of ``PipelineOptions`` to a command's options; it gets them as one argument, ``chosen``.

    Args:
        without: fields that are no options of the command.
        defaults: those that the command has instead.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        return _with_options(command, without, defaults)

    return decorate


def _with_options(
    command: Callable[..., None], without: Collection[str], defaults: Mapping[str, Any]
) -> Callable[..., None]:
    shared = [
        each.replace(default=defaults.get(each.name, each.default))
        for each in inspect.signature(PipelineOptions, eval_str=True).parameters.values()
        if each.name not in without
    ]
    names = [each.name for each in shared]
    own = [each for each in inspect.signature(command, eval_str=True).parameters.values() if each.name != "chosen"]

    @functools.wraps(command)
    def run(*, context: typer.Context, **values: Any) -> None:
        values = {name: _expanded(name, value) for name, value in values.items()}
        if {"model", "pipeline"} <= {*names}:
            values = offer_real_model(context, values)
        chosen = PipelineOptions(**{name: values.pop(name) for name in names})
        try:
            with _telling_timings() if chosen.timings else contextlib.nullcontext():
                command(**values, chosen=chosen)
        finally:
            if chosen.verbose:
                keep_quiet_of_what_is_logged()
                _tell_memory()

    context = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    parameters = [context, *(each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in (*own, *shared))]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    return run


@contextlib.contextmanager
def _telling_timings() -> Iterator[None]:
    """Print at the end of the ``with`` block where its time went, however it ends."""
    measured = clock.Timings()
    try:
        with clock.timings() as measured, clock.part("command line"):
            yield
    finally:
        say(f"timings\n{measured}")


def _tell_memory() -> None:
    """Print the peak memory of this process, and on the GPU."""
    if memory := clock.peak_told(clock.peak_memory(), clock.peak_gpu()):
        say(memory)


def _expanded(name: str, value: Any) -> Any:
    """A path or a model with ``~/`` for the home folder, also where no shell has seen it; an alias as its Hub id."""
    if isinstance(value, Path):
        return expand_home(value)
    if isinstance(value, str) and name in ("model", "segmenter", "tracker", "vocabulary_model"):
        from groundkit.weights.catalog import full_name

        value = full_name(value)
        return ",".join(str(expand_home(each)) if each.startswith("~") else each for each in value.split(","))
    return value


def read_settings(config_file: Path | None, assignments: list[str], *, pipeline: str | None = None) -> Given:
    """Merge a configuration file and ``key=value`` texts, which win.

    Args:
        config_file: TOML or JSON; its key ``pipeline`` says which one it is for, and is no setting.
        assignments: ``key=value`` texts.
        pipeline: which one the settings are read for; None for any.

    Raises:
        ConfigError: for a file that cannot be read or is for another pipeline, or an assignment that is none.
    """

    from groundkit.settings import Given

    given = Given()
    if config_file is not None:
        held = read_config_file(config_file)
        meant = held.pop("pipeline", None)
        if meant is not None and pipeline not in (None, meant):
            raise ConfigError(f"{config_file} holds settings of {meant}, not of {pipeline}: use --pipeline {meant}")
        given.add(held, "file")
    given.add(read_assignments(assignments), "--set")
    return given


def pipeline_of(config_file: Path | None) -> str | None:
    """The pipeline that a configuration file is for, where it says so.

    Raises:
        ConfigError: for a file that cannot be read.
    """
    meant = None if config_file is None else read_config_file(config_file).get("pipeline")
    return None if meant is None else str(meant)


def read_assignments(assignments: list[str]) -> dict[str, Any]:
    """Read ``key=value`` texts. Raises ConfigError for a text of another form."""
    settings = {}
    for assignment in assignments:
        key, separator, value = assignment.partition("=")
        if not separator or not key.strip():
            raise ConfigError(f"--set {assignment}: write key=value, such as noise_level=0.3")
        settings[key.strip()] = _value(key.strip(), value.strip())
    return settings


def read_config_file(path: Path) -> dict[str, Any]:
    """Read a TOML or JSON file. Raises ConfigError where it cannot be read or holds no keys and values."""
    import json
    import tomllib

    path = expand_home(path)
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors begin a file with a byte-order mark
        settings = json.loads(text) if path.suffix.lower() == ".json" else tomllib.loads(text)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # not UTF-8, not JSON, not TOML
        raise ConfigError(
            f"{path} is no valid {'JSON' if path.suffix.lower() == '.json' else 'TOML'}: {error}"
        ) from error
    if not isinstance(settings, dict):
        raise ConfigError(f"{path} must hold one object of keys and values")
    return settings


def _value(key: str, text: str) -> Any:
    """A list or a quoted text is read as TOML and null as nothing; the rest stays text for the field to interpret."""
    import tomllib

    if text == "null":
        return None
    if not text.startswith(("[", '"', "'")):
        return text
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError as error:
        if text[0] == "[" and text[-1] == "]":
            return text  # [with, a]: the field takes it apart
        raise ConfigError(f"--set {key}={text}: {error}") from error
