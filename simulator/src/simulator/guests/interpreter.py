"""Runs shell scripts on a disk as far as `shell` reads them. What it does not know succeeds, and does nothing.

Of a condition of which nothing can be said (an unknown command's output, a file of the image that is not played)
neither it nor its opposite holds.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from simulator.guests import shell, words
from simulator.guests.blocks import Blocks, Break, Continue, Stopped
from simulator.guests.programs import PROGRAMS, UNKNOWN, Result
from simulator.guests.shell import Block

ASSIGNMENT = re.compile(r"^(?:(?:readonly|export|local|declare)\s+(?:-\w+\s+)*)?([A-Za-z_]\w*)=(.*)$", re.DOTALL)
CONSOLE, NOWHERE = "/dev/console", "/dev/null"
DEEPEST = 8
"""Scripts that call each other."""

Action = Callable[[list[str]], Awaitable[Result]]


class _Return(Exception):
    def __init__(self, status: bool) -> None:
        super().__init__()
        self.status = status


@dataclass(kw_only=True)
class Interpreter(Blocks):
    """Runs scripts on the files of a disk. `actions`: programs that do more than to change files, by name; `ran` is
    told of each program that did something; `says` takes the lines that a script passes on by a loop or a function at
    the end of a pipe, `console` what is written to the console. `last`: the last line that was printed, which of a
    script that failed says why; `status`: its exit status."""

    actions: Mapping[str, Action]
    says: Callable[[str], None]
    console: Callable[[str], None]
    ran: Callable[[list[str]], Awaitable[None]]
    last: str = ""
    status: int = 0
    printed: Callable[[str], None] = lambda _: None
    """Takes what goes to the standard output."""
    _substituted: bool = True
    """How the last command substitution ended: the status of an assignment."""
    _depth: int = 0

    async def run(self, text: str) -> bool:
        """Whether the script succeeded. Raises whatever the actions raise."""
        self._strict = re.match(r"#!\S*sh -\w*e", text) is not None
        try:
            self.status = 1 if await self._block(shell.parse(text)) is False else 0
        except Stopped as stopped:
            self.status = stopped.status
        return self.status == 0

    async def _command(self, command: str) -> bool | None:
        negated = command.startswith("! ")
        status = await self._pipe(command.removeprefix("! ").strip())
        return None if status is None else status is not negated

    async def _pipe(self, command: str) -> bool | None:
        """Of a pipe what feeds it is run; a loop or a function at its end says it on. Filters are not known."""
        if command.startswith("("):
            return await self._block(shell.parse(command[1 : command.rindex(")")]))
        text, end = shell.pipe(command)
        if (found := ASSIGNMENT.match(text)) and shell.is_word(found[2]):
            self._substituted = True
            self._variables[found[1]] = words.unquoted(await self._expanded(found[2]))
            return self._substituted
        line = words.line(await self._expanded(text))
        last = words.line(await self._expanded(end)) if end else line
        kept = self.printed
        if end and (last.words[:1] == [shell.READING] or last.words[0] in self._functions):
            self.printed = self.says
        try:
            result = await self._program(words.globbed(line.words, self.files), line.given)
            if end and self.printed is not self.says and last.words[0] != "tee" and result.ok is not False:
                result = Result(result.ok, UNKNOWN)
            if last.target is None:
                self._print(result)
            else:
                self._write(last.target, result.text, appends=last.appends)
        finally:
            self.printed = kept
        self._variables["?"] = str(result.status) if result.ok is False else "0"
        return result.ok

    def _print(self, result: Result) -> None:
        for line in result.text.splitlines():
            self.last = line.strip() or self.last
            if result.ok is not False:
                self.printed(line)

    def _write(self, path: str, text: str, *, appends: bool) -> None:
        if path == CONSOLE:
            self.console(text)
        elif path == NOWHERE or path.startswith("&"):
            self.last = next((line.strip() for line in reversed(text.splitlines()) if line.strip()), self.last)
        else:
            self.files[path] = (self.files.get(path, "") if appends else "") + text

    async def _program(self, line: list[str], given: str) -> Result:
        if not line:
            return Result(True)
        name = line[0].rpartition("/")[2]
        if name in PROGRAMS:
            result = PROGRAMS[name](self.files, line[1:], given)
            await self.ran(line)
            return result
        for index, word in enumerate(line):
            # Behind a wrapper, too: `timeout 60 kubeadm ...`.
            if action := self.actions.get(word.rpartition("/")[2]):
                result = await action(line[index:])
                await self.ran(line[index:])
                if result.ok is False:
                    said = (result.text.strip() or f"exit status {result.status}").splitlines()[-1].strip()
                    return Result(False, f"{' '.join(line[index:]).partition(' -')[0]}: {said}", result.status)
                return result
        if name in self._functions:
            return await self._call(self._functions[name], line)
        return await self._builtin(name, line)

    async def _builtin(self, name: str, line: list[str]) -> Result:
        status = int(line[1]) if line[1:] and line[1].isdigit() else 0
        match name:
            case "exit":
                raise Stopped(status)
            case "return":
                raise _Return(status == 0)
            case "continue":
                raise Continue
            case "break":
                raise Break
            case "set":
                self._strict = self._strict or any(re.match(r"-\w*e", word) for word in line[1:])
            case "." | "source":
                await self._block(shell.parse(self.files.get(line[1], "") if line[1:] else ""))
            case _:
                return await self._script(line)
        return Result(True)

    async def _script(self, line: list[str]) -> Result:
        """Another script of the disk, by itself or as what a shell is to run."""
        by_shell = line[0].rpartition("/")[2] in ("bash", "sh")
        if by_shell and line[1:2] == ["-c"]:
            return Result(await self._block(shell.parse(" ".join(line[2:3]))))
        path = next((word for word in line if self.files.get(word, "").startswith("#!")), None)
        if path is None and by_shell:
            path = next((word for word in line[1:] if word in self.files), None)
        if path is None or self._depth >= DEEPEST:
            return Result(None)
        inner = Interpreter(
            files=self.files,
            actions=self.actions,
            says=self.says,
            console=self.console,
            ran=self.ran,
            printed=self.printed,
            pause=self.pause,
            _depth=self._depth + 1,
        )
        ok = await inner.run(self.files[path])
        self.last = inner.last or self.last
        return Result(ok, status=inner.status)

    async def _call(self, body: Block, line: list[str]) -> Result:
        kept = self._variables
        numbered = {str(place): word for place, word in enumerate(line[1:], 1)}
        given = {**numbered, "@": shlex.join(line[1:]), "*": " ".join(line[1:]), "#": str(len(line) - 1)}
        self._variables = {**kept, **given}
        try:
            status = await self._block(body)
        except _Return as returned:
            status = returned.status
        changed = {name: value for name, value in self._variables.items() if name not in given}
        self._variables = {**kept, **changed}
        return Result(status)

    async def _expanded(self, text: str) -> str:
        if "$" not in text:
            return text
        return await words.expanded(text, lambda name: self._variables.get(name, ""), self._output)

    async def _output(self, command: str) -> str:
        """What a command prints; nobody knows what an unknown one does."""
        lines: list[str] = []
        kept, self.printed = self.printed, lines.append
        status: bool | None
        try:
            status = await self._block(shell.parse(command))
        except Stopped as stopped:
            status = stopped.status == 0
        finally:
            self.printed = kept
        self._substituted = status is not False
        if status is False and not lines:
            return self.last
        return "\n".join(lines) if lines or status is not None else UNKNOWN
