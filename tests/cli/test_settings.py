import json
import tomllib

import pytest

from groundkit.errors import ConfigError
from groundkit.pipelines.ensemble import EnsembleConfig
from groundkit.pipelines.refam_config import RefAMConfig
from groundkit.pipelines.resolve import readings_for, resolve
from groundkit.pipelines.video_config import VideoConfig
from groundkit.pipelines.vlsam_config import VLSAMConfig


@pytest.fixture
def bare(tmp_path):
    """Folders of models that bring no settings of their own and have no published ones."""
    for file, kind in (("model_index.json", {"_class_name": "FluxPipeline"}), ("config.json", {"model_type": "llava"})):
        (tmp_path / "bare").mkdir(exist_ok=True)
        (tmp_path / "bare" / file).write_text(json.dumps(kind))
    return str(tmp_path / "bare")


def rows_of(command, *arguments):
    return {row["setting"]: row for row in json.loads(command("settings", *arguments, "--json").out)}


def test_every_setting_of_every_pipeline_is_listed_with_what_it_means(command):
    rows = json.loads(command("settings", "--json").out)
    for kind in (RefAMConfig, VLSAMConfig, EnsembleConfig, VideoConfig):
        assert {each.name for each in kind().list_settings()} <= {row["setting"] for row in rows}
    assert all(row["description"] for row in rows)


def test_a_preset_shows_its_own_values(command, bare):
    rows = rows_of(command, "decaf", "--model", bare)
    assert {row["from"] for row in rows.values()} == {"default", "method"}
    assert [rows[name]["value"] for name in ("flow", "prompter", "prompter.max_overlap")] == [
        "rollout",
        "hot_cells",
        0.7,
    ]
    table = command("settings", "cross-attention").out
    assert "kept_words" in table
    assert "noise_level" in table


def test_the_values_shown_are_those_of_the_model_that_is_read(command, bare):
    (reading,) = (each for each in readings_for("refam", "nano").own if each.preset is None)
    nano, real = rows_of(command, "refam"), rows_of(command, "refam", "--model", bare)
    default, read = RefAMConfig(), RefAMConfig.read(reading.settings)
    for name in reading.settings:
        shown = (read.flat()[name], "checkpoint", reading.source)
        assert tuple(nano[name][key] for key in ("value", "from", "source")) == shown
        assert (real[name]["value"], real[name]["from"]) == (default.flat()[name], "default")


@pytest.mark.parametrize("method", [["refam"], ["vlsam"], ["discover"], []])
def test_the_settings_of_a_model_that_is_not_there_are_an_error(command, method):
    answer = command("settings", *method, "--model", "nope", "--offline")
    assert (answer.code, answer.out) == (1, "")
    assert answer.err.startswith(
        f"groundkit: error: nope is no model for {''.join(method) or 'any pipeline'}, or is neither"
    )


@pytest.mark.parametrize("method", ["refam", "cross-attention", "vlsam", "decaf", "ensemble"])
def test_a_method_printed_as_toml_and_read_again_is_the_same_method(command, tmp_path, bare, method):
    given = ["--set", "min_evidence=0.25"]
    (tmp_path / "my.toml").write_text(command("settings", method, *given, "--toml").out, encoding="utf-8")
    before = rows_of(command, method, *given)
    after = rows_of(command, "--model", bare, "--config", "my.toml")
    assert {name: row["value"] for name, row in after.items()} == {name: row["value"] for name, row in before.items()}
    assert {row["from"] for row in after.values() if row["value"] is not None} == {"file"}
    assert '"null"' not in (tmp_path / "my.toml").read_text()


def test_a_value_that_is_set_to_null_over_the_models_own_survives_toml(command, tmp_path):
    given = ["--set", "preset=tuned", "--set", "heads=null"]
    (tmp_path / "my.toml").write_text(command("settings", "refam", *given, "--toml").out, encoding="utf-8")
    again = rows_of(command, "--config", "my.toml", "--set", "preset=tuned")
    assert (again["heads"]["value"], again["heads"]["from"]) == (None, "file")


def test_a_file_chooses_its_pipeline_and_is_refused_for_another_one(command, pipeline, tmp_path, bare):
    (tmp_path / "my.toml").write_text('pipeline = "vlsam"\nlayers = "all"\n')
    assert command("segment", "a.png", "cup", "--config", "my.toml", "--model", bare).code == 0
    assert pipeline.loaded_with["pipeline"] == "vlsam"
    told = "my.toml holds settings of vlsam, not of refam: use --pipeline vlsam"
    for arguments in (["segment", "a.png", "cup", "--pipeline", "refam"], ["settings", "refam"]):
        answer = command(*arguments, "--config", "my.toml")
        assert (answer.code, answer.err) == (2, f"groundkit: error: {told}\n")
    with pytest.raises(ConfigError, match="these settings are for vlsam, not for refam"):
        resolve("refam", tomllib.loads((tmp_path / "my.toml").read_text()))
    resolve("vlsam", tomllib.loads((tmp_path / "my.toml").read_text()))


def test_in_a_pipe_a_setting_is_a_line_of_tabs_as_set_takes_its_value(command):
    lines = [line.split("\t") for line in command("settings", "cross-attention").out.splitlines()]
    values = {name: (method, value, origin) for method, name, value, origin, _ in lines}
    assert values["magnets"] == ("cross-attention", "none", "method")
    assert values["evidence"] == ("cross-attention", "true", "default")
    assert values["heads"] == ("cross-attention", "null", "default")


def test_a_value_that_is_given_says_where(command, tmp_path):
    (tmp_path / "my.toml").write_text("max_peaks = 2\nnoise_samples = 3\n", encoding="utf-8-sig")
    rows = rows_of(command, "refam", "--config", "my.toml", "--set", "max_peaks=4")
    assert (rows["max_peaks"]["value"], rows["max_peaks"]["from"]) == (4, "--set")
    assert (rows["noise_samples"]["value"], rows["noise_samples"]["from"]) == (3, "file")


@pytest.mark.parametrize("nothing", ["none", "NONE", "null", "", "()", "[]", "( )"])
def test_every_spelling_of_no_magnets_means_none_of_them(command, nothing):
    assert rows_of(command, "refam", "--set", f"magnets={nothing}")["magnets"]["value"] == []


@pytest.mark.parametrize("two", ["with,a", "with, a", "(with,a)", "[with,a]", '["with", "a"]', "[with, 'a']"])
def test_every_spelling_of_two_magnets_means_these(command, two):
    assert rows_of(command, "refam", "--set", f"magnets={two}")["magnets"]["value"] == ["with", "a"]


def test_none_means_all_heads_where_they_may_be_unset(command):
    assert rows_of(command, "refam", "--set", "heads=none")["heads"]["value"] is None
    assert rows_of(command, "refam", "--set", "heads=2,3")["heads"]["value"] == [2, 3]


def test_an_unknown_pipeline_setting_or_choice_is_told_what_is_most_like_it(command):
    answer = command("settings", "refan")
    assert answer.code == 2
    assert "no pipeline named 'refan', did you mean refam? Use one of refam, cross-attention" in answer.err
    assert (
        "no setting named 'max_peeks', did you mean max_peaks?"
        in command("settings", "refam", "--set", "max_peeks=1").err
    )
    told = command("settings", "vlsam", "--set", "refinement=mask-in").err
    assert told.endswith("should be 'none', 'cascade', 'mask_in' or 'mask_out'; did you mean mask_in?\n")


def test_the_settings_of_discovery_are_listed_by_themselves(command):
    assert "min_support" in rows_of(command, "discover")
    assert "min_support" not in rows_of(command, "vlsam")
    assert "layers" not in rows_of(command, "discover")
