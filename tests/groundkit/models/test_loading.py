import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub.errors import (
    GatedRepoError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from groundkit.errors import AttentionError, ModelError
from groundkit.models.loading import check_model_folder, explain_loading_errors

# The Hub client changed its HTTP library more than once; of an answer its errors keep only these.
ANSWER = SimpleNamespace(headers={}, request=None)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            GatedRepoError("403 Client Error.\nCannot access gated repo", response=ANSWER),
            "owner/model: this model is gated; accept its terms at https://huggingface.co/owner/model "
            "and set HF_TOKEN to a token of that account",
        ),
        (
            RepositoryNotFoundError("404 Client Error", response=ANSWER),
            "owner/model: no such folder, and no such model on the Hub; check the name, "
            "or set HF_TOKEN if the model is private",
        ),
        (
            RevisionNotFoundError("404 Client Error", response=ANSWER),
            "owner/model: the model has no such revision; check the branch, tag or commit",
        ),
        (
            RemoteEntryNotFoundError("Entry not found.\nMore", response=ANSWER),
            "owner/model: a file is missing (Entry not found); download the whole model, or check the variant",
        ),
        *(
            (
                error,
                "owner/model: no such folder, and not in the local Hub cache; go online and run once without "
                "local_files_only=True or HF_HUB_OFFLINE to download it, or give a model folder",
            )
            for error in (LocalEntryNotFoundError("x"), OfflineModeIsEnabled("x"))
        ),
        (
            ConnectionError("x"),
            "owner/model: no such folder, not in the local Hub cache, and the Hub was not reached at "
            "https://huggingface.co; check the network, or give a model folder",
        ),
        (ValueError("Unrecognised model.\nMore"), "owner/model: cannot be loaded (Unrecognised model)"),
        (KeyError(), "owner/model: cannot be loaded (KeyError)"),
    ],
)
def test_each_failure_becomes_one_line_with_its_remedy(error: Exception, message: str) -> None:
    with pytest.raises(ModelError) as failure, explain_loading_errors("owner/model"):
        raise error
    assert str(failure.value) == message
    assert failure.value.__cause__ is error


def test_the_cause_behind_a_wrapped_error_decides() -> None:
    def load() -> None:
        try:
            raise GatedRepoError("403", response=ANSWER)
        except GatedRepoError as error:
            raise OSError("You are trying to access a gated repo.\nMake sure to have access to it.") from error

    with pytest.raises(ModelError, match="this model is gated"), explain_loading_errors("owner/model"):
        load()


def test_damaged_json_is_told_from_other_bad_values() -> None:
    with pytest.raises(ModelError, match="a JSON file of the model is damaged"), explain_loading_errors("folder"):
        json.loads("{")


def test_own_errors_and_interrupts_pass_unchanged() -> None:
    for error in (AttentionError("mine"), KeyboardInterrupt()):
        with pytest.raises(type(error)) as failure, explain_loading_errors("folder"):
            raise error
        assert failure.value is error


def test_a_folder_is_checked_for_its_files_and_a_hub_id_is_not(tmp_path: Path) -> None:
    (tmp_path / "preprocessor_config.json").touch()
    check_model_folder(tmp_path, "*processor_config.json")
    check_model_folder("owner/model", "config.json")
    with pytest.raises(ModelError) as failure:
        check_model_folder(tmp_path, "*processor_config.json", "model_index.json")
    assert str(failure.value) == (
        f"{tmp_path}: the folder has no model_index.json; copy or download the whole model folder again"
    )
