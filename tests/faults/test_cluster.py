"""Two hosts on a cluster of three nodes, of which the one dies that leads the queue."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.trial import differing, run_trial


@pytest.mark.timeout(900)
def test_a_leader_that_dies_costs_no_event(tmp_path: Path) -> None:
    arguments = ["--only", "leader killed", "--away", "2", "--calm", "1"]
    arguments += ["--events", "3000", "--rate", "100"]
    code, result = run_trial("bench.cluster", tmp_path, *arguments)
    assert result["problems"] == []
    assert differing(result) == set()
    assert code == 0
    assert [effect["fault"] for effect in result["effects"]] == ["leader killed"]
    assert all(result["committed_by_host"].values())
