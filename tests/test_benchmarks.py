"""Benchmarks run, in tiny sizes; what they measure is for people to read, never for a test to judge."""

from __future__ import annotations

import pytest

from benchmarks.__main__ import NAMES, main


@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_runs_and_prints_its_table(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([name, "--quick"]) == 0
    assert "ratio" in capsys.readouterr().out


def test_an_unknown_benchmark_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["speed-of-light"])
    assert stopped.value.code == 2
    assert f"there are {', '.join(NAMES)}" in capsys.readouterr().err
