import os
import stat

import pytest

from groundkit.errors import InputError
from groundkit.outputs.atomic import atomic_path, write_text


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_nothing_half_written_stays_and_the_older_file_does(tmp_path, error):
    target = tmp_path / "mask.png"
    target.write_text("old")

    def fail_midway():
        with atomic_path(target) as temporary:
            assert temporary.parent == tmp_path
            assert temporary.suffix == ".png"
            temporary.write_text("half of it")
            raise error

    with pytest.raises(error):
        fail_midway()
    assert [file.name for file in tmp_path.iterdir()] == ["mask.png"]
    assert target.read_text() == "old"


def test_a_whole_file_replaces_the_older_one_with_ordinary_permissions(tmp_path):
    target = tmp_path / "deep" / "er" / "a.json"
    assert write_text(target, "ä") == target
    write_text(target, "new")
    assert target.read_text(encoding="utf-8") == "new"
    assert list(target.parent.iterdir()) == [target]
    mask = os.umask(0)
    os.umask(mask)
    assert stat.S_IMODE(target.stat().st_mode) == 0o666 & ~mask


def test_a_place_that_cannot_be_written_to_is_one_line_with_its_name(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"^cannot write .*file/mask\.png: (Not a directory|File exists)$"):
        write_text(tmp_path / "file" / "mask.png", "")
    with pytest.raises(InputError, match=r"^cannot write .*: File name too long$"):
        write_text(tmp_path / ("a" * 300), "")
