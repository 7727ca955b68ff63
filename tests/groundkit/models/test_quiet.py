"""The libraries' noise is silenced for loading alone, whatever threads load at once."""

from __future__ import annotations

import logging
import sys
import warnings

import pytest
from diffusers.utils import logging as diffusers_logging
from transformers.utils import logging as transformers_logging

from groundkit.models.quiet import quiet_libraries


def state() -> tuple[object, ...]:
    levels = [logging.getLogger(name).level for name in ("huggingface_hub", "transformers", "diffusers")]
    bars = [library.is_progress_bar_enabled() for library in (transformers_logging, diffusers_logging)]
    return *levels, *bars, list(warnings.filters)


def test_who_leaves_first_of_two_leaves_the_other_quiet_and_the_last_one_puts_all_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: False, raising=False)
    transformers_logging.enable_progress_bar()
    before = state()
    first, second = quiet_libraries(), quiet_libraries()
    first.__enter__()
    during = state()
    second.__enter__()  # as a second thread does while the first one loads
    first.__exit__(None, None, None)
    assert state() == during != before
    assert not transformers_logging.is_progress_bar_enabled()
    second.__exit__(None, None, None)
    assert state() == before


def test_warnings_of_the_libraries_are_ignored_and_those_of_others_are_not() -> None:
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        with quiet_libraries():
            warnings.warn_explicit("noise", UserWarning, "hub.py", 1, module="huggingface_hub.file_download")
            warnings.warn_explicit("ours", UserWarning, "a.py", 1, module="groundkit.media.images")
    assert [str(each.message) for each in told] == ["ours"]
