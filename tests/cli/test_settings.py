import json

from groundkit.pipelines.ensemble import EnsembleConfig
from groundkit.pipelines.refam_config import RefAMClipConfig, RefAMConfig
from groundkit.pipelines.refam_video import VideoConfig
from groundkit.pipelines.vlsam import VLSAMConfig


def test_every_setting_of_every_pipeline_is_listed_with_what_it_means(command):
    rows = json.loads(command("settings", "--json").out)
    for kind in (RefAMConfig, RefAMClipConfig, VLSAMConfig, EnsembleConfig, VideoConfig):
        assert set(kind.model_fields) <= {row["setting"] for row in rows}
    assert all(row["description"] for row in rows)


def test_a_preset_shows_its_own_defaults(command):
    defaults = {row["setting"]: row["default"] for row in json.loads(command("settings", "decaf", "--json").out)}
    assert (defaults["grounding"], defaults["points"], defaults["overlap"]) == ("decaf", "cells", 0.7)
    table = command("settings", "cross-attention").out
    assert "filter_stop_words" in table
    assert "noise_level" in table


def test_an_unknown_pipeline_is_told_what_there_is(command):
    answer = command("settings", "sam")
    assert answer.code == 2
    assert "no settings of 'sam': use refam, cross-attention" in answer.err
