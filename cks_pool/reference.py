"""The page `docs/command.md`, written from the command itself: `python -m cks_pool.reference > docs/command.md`."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, cast

from cyclopts import Group

from cks_pool.app import COMMANDS, NAME, Command, app
from cks_pool.options import HOST

if TYPE_CHECKING:
    from cyclopts.argument import Argument

INTRODUCTION = f"""# The command

`{NAME}` looks at pools, hands out clusters, runs the work and finds out what is wrong. It speaks to the host's API as
kubectl would, and to Prefect's where a flow run is asked for; looking and sessions need no Prefect.
This page is written by `python -m cks_pool.reference`; `{NAME} COMMAND --help` says the same.

| exit status | means |
|---|---|
| 0 | done |
| 1 | tried and failed: a flow run that did not complete, no free cluster; of `doctor`: warnings |
| 2 | not tried: bad input, or a part that cannot be reached, said in one line with the cure; of `doctor`: errors |
| 130, 143 | stopped by Ctrl-C or SIGTERM |

Session IDs and names are taken as typed: `0042` is not 42. Durations are seconds, or as `90s`, `15m`, `1h30m`.
`-o json` and `-o yaml` have the names of the platform's JSON; `-o name` prints what kubectl takes.

```console
$ source <({NAME} completion bash)     # or zsh; fish: {NAME} completion fish | source
```

Every command that asks the host is told where it is, as kubectl is:
"""


def page() -> str:
    """The page."""
    host = [one for one in arguments_of("status") if _is_of_host(one)]
    parts = [INTRODUCTION + "\n" + _table(host)]
    for group in dict.fromkeys(command.group for command in COMMANDS):
        parts.append(f"## {group.name}")
        parts += [_section(command) for command in COMMANDS if command.group is group]
    return "\n\n".join(parts) + "\n"


def _section(command: Command) -> str:
    examples = "\n".join(f"$ {NAME} {example}" for example in command.examples)
    options = [one for one in arguments_of(command.name) if not _is_of_host(one)]
    parts = [f"### {command.name}", command.help, f"```console\n{examples}\n```"]
    return "\n\n".join([*parts, _table(options)] if options else parts)


def arguments_of(name: str) -> list[Argument]:
    """What the command takes, as its help shows it."""
    # Within the stack, what all commands have by default counts.
    with app.app_stack([name]):
        found = app[name].assemble_argument_collection(parse_docstring=True)
    return [one for one in found if one.parse and one.show]


def _is_of_host(argument: Argument) -> bool:
    return HOST in cast(tuple[Group, ...], argument.parameter.group)


def _table(arguments: list[Argument]) -> str:
    return "\n".join(["| | |", "|---|---|", *[_row(one) for one in arguments]])


def _row(argument: Argument) -> str:
    names = ", ".join(f"`{name}`" for name in argument.names if name.startswith("-"))
    default = argument.field_info.default
    notes = [f"one of {', '.join(choices)}"] if (choices := argument.get_choices()) else []
    notes += [f"{default} by default"] if isinstance(default, (str, int)) and default is not False else []
    notes += ["required"] if argument.required else []
    note = f" ({'; '.join(notes)})" if notes else ""
    return f"| {names or f'`{argument.name}`'} | {argument.parameter.help or ''}{note} |"


if __name__ == "__main__":
    sys.stdout.write(page())
