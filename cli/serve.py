"""groundkit serve: pictures and phrases over HTTP."""

from __future__ import annotations

from typing import Annotated

import typer

from groundkit.cli.console import say
from groundkit.cli.options import MinEvidenceOption, PipelineOptions, with_pipeline_options
from groundkit.errors import ConfigError


@with_pipeline_options()
def serve(
    chosen: PipelineOptions,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 lets other machines in, and nothing asks who they are.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8000,
    max_upload: Annotated[float, typer.Option(min=0.001, help="Largest uploaded picture, in MiB.")] = 32,
    max_waiting: Annotated[
        int, typer.Option(min=1, help="Requests that wait or run; further ones are refused with 503.")
    ] = 16,
    min_evidence: MinEvidenceOption = None,
) -> None:
    """Answer requests over HTTP: POST /segment with a picture and phrases, GET /health.

    One request runs at a time, the others wait. The models stay loaded.

    For example: curl -F image=@photo.jpg -F phrase="the red cup" http://127.0.0.1:8000/segment
    """
    config = chosen.config(min_evidence=min_evidence)
    try:
        import uvicorn

        from groundkit.service.app import Limits, make_app
    except ImportError as error:
        raise ConfigError(f"groundkit serve needs {error.name}: pip install 'groundkit-vision[serve]'") from error
    import socket

    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen(128)
        except OSError as error:
            raise ConfigError(f"--host {host} --port {port}: {error.strerror or error}; choose another") from error
        pipeline = chosen.load(chosen.loader(config))
        app = make_app(pipeline, Limits(max_bytes=int(max_upload * 2**20), max_waiting=max_waiting))
        if not chosen.quiet:
            say(f"http://{host}:{listener.getsockname()[1]} answers; stop with Ctrl-C")
        uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False)).run(sockets=[listener])
