from __future__ import annotations

import pytest

from service.dlq.files import whole_file


def test_a_file_appears_when_it_is_complete_and_only_for_its_owner(tmp_path):
    path = tmp_path / "out.jsonl"
    with whole_file(path, replace=False) as file:
        file.write(b"all")
        assert not path.exists()
    assert path.read_bytes() == b"all"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_nothing_is_left_of_a_file_that_failed(tmp_path):
    path = tmp_path / "out.jsonl"

    def fail():
        with whole_file(path, replace=False) as file:
            file.write(b"half")
            raise SystemExit(1)

    with pytest.raises(SystemExit):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_replaced_only_on_demand_and_only_by_a_whole_one(tmp_path):
    path = tmp_path / "out.jsonl"
    path.write_bytes(b"old")
    with pytest.raises(FileExistsError), whole_file(path, replace=False):
        pytest.fail("opened")
    assert path.read_bytes() == b"old"
    with whole_file(path, replace=True) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"


def test_a_file_that_came_meanwhile_is_not_replaced(tmp_path):
    path = tmp_path / "out.jsonl"

    def write():
        with whole_file(path, replace=False):
            path.write_bytes(b"theirs")

    with pytest.raises(FileExistsError):
        write()
    assert path.read_bytes() == b"theirs"
    assert list(tmp_path.iterdir()) == [path]


def test_what_can_be_no_file_is_refused_before_anything_is_written(tmp_path):
    with pytest.raises(IsADirectoryError), whole_file(tmp_path, replace=True):
        pytest.fail("opened")
    with (
        pytest.raises(OSError, match="name too long"),
        whole_file(tmp_path / ("x" * 300), replace=True),
    ):
        pytest.fail("opened")
