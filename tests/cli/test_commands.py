"""All commands: each explains itself, its examples parse, those that only look run, and shells complete it."""

from __future__ import annotations

import asyncio
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from cks_pool.app import COMMANDS, NAME, Command, app
from cks_pool.deployed import FLOWS
from cks_pool.reference import arguments_of, page
from tests.cli.conftest import Command as Run
from tests.cli.conftest import Said
from tests.pool.lab import Lab

ALL = {
    *("status", "pools", "sessions", "logs", "doctor"),
    *("assign", "release", "extend", "heartbeat"),
    *("cordon", "uncordon", "scale", "kubeconfig"),
    *("reset", "rebuild", "maintain", "run", "serve", "worker"),
    *("settings", "setup", "version", "completion", "token"),
}
SHELLS = ("bash", "zsh", "fish")
EXAMPLES = [(command, example) for command in COMMANDS for example in command.examples]


def test_these_are_all() -> None:
    assert {command.name for command in COMMANDS} == ALL
    assert len(COMMANDS) == len(ALL)


@pytest.mark.parametrize("of", COMMANDS, ids=lambda of: of.name)
async def test_each_explains_itself_with_an_example(of: Command, command: Run) -> None:
    said = await command(of.name, "--help")
    assert said.status == 0
    assert of.help.split(maxsplit=1)[0] in said.out
    for example in of.examples:
        assert f"{NAME} {example}" in said.out
    for argument in arguments_of(of.name):
        assert argument.parameter.help, f"{argument.name} of {of.name} is not explained"


@pytest.mark.parametrize("example", [example for _, example in EXAMPLES])
def test_examples_parse(example: str) -> None:
    app.parse_args(shlex.split(example), exit_on_error=False, print_error=False)


def test_every_flow_of_an_example_exists() -> None:
    named = [shlex.split(example)[1] for command, example in EXAMPLES if command.name == "run"]
    assert set(named) <= FLOWS.keys()


async def test_examples_that_only_look_run(lab: Lab, command: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://127.0.0.1:1/api")
    await lab.pool(2)
    await lab.state.ensure_pool("exam")
    await lab.state.assign("0042")
    for of, example in EXAMPLES:
        if of.reads and of.name not in ("logs", "completion", "doctor") and "--watch" not in example:
            said = await command(*shlex.split(example))
            assert (said.status, said.err) == (0, ""), example


def test_the_page_is_what_the_command_says() -> None:
    written = (Path(__file__).resolve().parents[2] / "docs" / "command.md").read_text()
    assert written == page(), "run python -m cks_pool.reference > docs/command.md"


class TestCompletion:
    @pytest.mark.parametrize("shell", SHELLS)
    async def test_the_script_parses_and_has_every_command(self, shell: str, command: Run, tmp_path: Path) -> None:
        script = tmp_path / "script"
        script.write_text((await command("completion", shell)).out)
        assert all(one.name in script.read_text() for one in COMMANDS)
        if shutil.which(shell):
            await asyncio.to_thread(subprocess.run, [shell, "-n", str(script)], check=True)

    async def test_it_knows_clusters_sessions_pools_and_flows(self, lab: Lab, command: Run) -> None:
        await lab.pool(2)
        await lab.state.assign("0042")
        assert offered(await command("__complete", "cordon", "")) == {"cluster1": "locked", "cluster2": "available"}
        assert offered(await command("__complete", "release", "")) == {"0042": "cluster1"}
        assert offered(await command("__complete", "status", "-p", "")) == {"default": ""}
        assert offered(await command("__complete", "run", "")).keys() == FLOWS.keys()
        assert "default" not in offered(await command("__complete", "status", "-n", "elsewhere", "-p", ""))

    async def test_nothing_is_offered_and_nothing_said_when_the_host_is_away(
        self, command: Run, tmp_path: Path
    ) -> None:
        away = str(tmp_path / "missing")
        said = await command("__complete", "cordon", "--kubeconfig", away, "")
        assert (said.status, said.err, offered(said)) == (0, "", {})

    async def test_bash_shows_what_it_is_told(self, lab: Lab, command: Run, tmp_path: Path) -> None:
        """As a user's shell does it, with the very script; what the command answered is played back."""
        await lab.pool(2)
        script, answer, program = tmp_path / "script", tmp_path / "answer", tmp_path / NAME
        script.write_text((await command("completion", "bash")).out)
        answer.write_text((await command("__complete", "cordon", "")).out)
        program.write_text(f'#!/bin/sh\n[ "$*" = "__complete cordon " ] && cat {answer}\n')
        program.chmod(0o755)
        lines = (
            f"source {script}; PATH={tmp_path}:$PATH",
            f"COMP_WORDS=({NAME} cordon ''); COMP_CWORD=2; COMP_LINE='{NAME} cordon '; COMP_POINT=${{#COMP_LINE}}",
            '_cks_pool; printf "%s\\n" "${COMPREPLY[@]}"',
        )
        shell = ["bash", "-c", "\n".join(lines)]
        found = await asyncio.to_thread(subprocess.run, shell, capture_output=True, text=True)
        assert [line.split()[0] for line in found.stdout.splitlines()] == ["cluster1", "cluster2"], found.stderr


def offered(said: Said) -> dict[str, str]:
    """What `__complete` offers, with its descriptions."""
    lines = [line for line in said.out.splitlines() if line and not line.startswith("\x1f")]
    return {value: rest for value, _, rest in (line.partition("\t") for line in lines)}
