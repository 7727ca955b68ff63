import os
import stat
import subprocess
import sys

import pytest

from groundkit.errors import InputError
from groundkit.outputs.atomic import atomic_path, prepare_folder, remove_leftovers, temporary_name, write_text


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


LEAVE = """
import os, sys
from pathlib import Path
from groundkit.outputs.atomic import temporary_name
folder = Path(sys.argv[1])
(folder / temporary_name(".png")).write_bytes(b"half")
(folder / temporary_name()).mkdir()
"""


def test_what_a_killed_process_has_left_is_removed_and_what_a_living_one_writes_is_not(tmp_path):
    subprocess.run([sys.executable, "-c", LEAVE, str(tmp_path)], check=True)
    assert len(list(tmp_path.iterdir())) == 2
    others = [".hidden", f".{'0' * 8}{os.getpid() + 1:08x}{'0' * 16}.png"]  # not ours, and of another machine
    for name in (*others, temporary_name(".png")):
        (tmp_path / name).write_text("")
    prepare_folder(tmp_path)
    assert len(list(tmp_path.iterdir())) == 3
    assert {path.name for path in tmp_path.iterdir()} > set(others)
    remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [".hidden"]
