import inspect
import subprocess
import sys
from importlib.metadata import version

import pytest

from groundkit.cli import options
from groundkit.cli.main import app
from groundkit.errors import ConfigError

COMMANDS = ("segment", "batch", "discover", "follow", "export", "explain", "eval", "models", "settings")


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_imports_nothing_heavy(command):
    code = (
        "import sys; from groundkit.cli.main import run; "
        f"code = run({[*command.split(), '--help']!r}); "
        "heavy = {'torch', 'transformers', 'diffusers', 'cv2', 'PIL', 'huggingface_hub', 'rich', 'numpy'}; "
        "heavy &= set(sys.modules); "
        "sys.exit(f'{code} {heavy}' if code or heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("Usage: groundkit")


def test_the_installed_command_prints_its_version():
    done = subprocess.run(
        [sys.executable, "-c", "from groundkit.cli.main import run; raise SystemExit(run(['--version']))"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, f"groundkit {version('groundkit-vision')}\n")


def test_a_traceback_is_shown_with_debug_only(command):
    plain = command("explain", "missing.png", "cup")
    assert plain == (1, "", "groundkit: error: missing.png: no such file or folder; check the path\n")
    debug = command("explain", "missing.png", "cup", "--debug")
    assert debug.code == 1
    assert debug.err.startswith("Traceback (most recent call last):")
    assert debug.err.endswith(plain.err)


PRINTERS = {
    "by typer": "typer.echo('x' * 100)",
    "by our console": "put('x' * 100)",
    "by rich": "console.print('x' * 70)",
    "by print": "print('x' * 100)",
}


@pytest.mark.parametrize("printer", PRINTERS)
def test_a_reader_that_goes_away_ends_a_command_quietly_as_sigpipe_does(printer):
    code = (
        "import sys, typer\n"
        "from rich.console import Console\n"
        "from groundkit.cli.console import put\n"
        "from groundkit.cli.main import app, run\n"
        "console = Console()\n"
        "@app.command('flood')\n"
        "def flood() -> None:\n"
        f"    for _ in range(100000): {PRINTERS[printer]}\n"
        "sys.exit(run(['flood']))"
    )
    flood = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with flood:
        assert flood.stdout.readline().startswith("xxx")
        flood.stdout.close()
        assert flood.stderr.read() == ""
    assert flood.returncode == 141


def test_our_warnings_are_one_line_and_those_of_libraries_are_silent(command, pipeline, recwarn):
    import warnings

    original = pipeline.outcomes

    def outcomes(image, phrases, *, seed=0):
        warnings.simplefilter("always")
        warnings.warn("the last 3 tokens are ignored", stacklevel=2)
        warnings.warn("for developers", FutureWarning, stacklevel=2)
        return original(image, phrases, seed=seed)

    pipeline.outcomes = outcomes
    assert command("segment", "a.png", "cup", "--model", "m", "--segmenter", "s").err == (
        "groundkit: warning: the last 3 tokens are ignored\ngroundkit: a.png: 'cup': found, mask 0.90\n"
    )


@pytest.mark.parametrize(
    ("assignment", "value"),
    [
        ("key=10-18", "10-18"),
        ("key=10", "10"),  # a text field may want it; number fields convert it
        ("key=", ""),
        ("key=a=b", "a=b"),
        ("key=null", None),
        ("key=[1, 2]", [1, 2]),
        ('key=["a", "the"]', ["a", "the"]),
        ("key=[]", []),
        ('key="null"', "null"),
    ],
)
def test_a_setting_is_text_unless_it_is_a_list_quoted_or_null(assignment, value):
    assert options.read_settings(None, [assignment]) == {"key": value}


def test_settings_come_from_toml_or_json_and_assignments_win(tmp_path):
    (tmp_path / "a.toml").write_text("max_peaks = 2\nmagnets = ['a']\n")
    (tmp_path / "a.json").write_text('{"max_peaks": 2, "heads": null}')
    for _ in range(2):
        assert options.read_settings(tmp_path / "a.toml", ["max_peaks=3"]) == {"max_peaks": "3", "magnets": ["a"]}
        assert options.read_settings(tmp_path / "a.json", []) == {"max_peaks": 2, "heads": None}
        for path in tmp_path.iterdir():  # a byte-order mark, as Windows writes it, changes nothing
            path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.toml", "max_peaks = ", r"a\.toml is no valid TOML: "),
        ("a.json", "{", r"a\.json is no valid JSON: "),
        ("a.json", "[" * 100_000, r"a\.json is no valid JSON: "),
        ("a.json", "[1]", r"a\.json must hold one object of keys and values"),
    ],
)
def test_a_bad_configuration_file_is_one_line(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=message) as caught:
        options.read_settings(tmp_path / name, [])
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError, match=r"^--set key=\[1: "):
        options.read_settings(None, ["key=[1"])


def test_commands_are_thin() -> None:
    """Each parses options, makes one call and prints."""
    for command in app.registered_commands:
        assert command.callback is not None
        lines, _ = inspect.getsourcelines(inspect.unwrap(command.callback))
        assert len(lines) <= 80, command.name
