"""Shell scripts read into blocks: commands, ifs, loops, functions. Pure. What is not understood is a command.

Enough of the language for scripts that set a machine up, none of it more exactly than they need: `case` is left out
whole, a group of commands is read as an `if`, of a pipe into `while read` only what feeds it.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from functools import lru_cache

HERE_DOCUMENT = re.compile(r"<<-?\s*(['\"]?)([A-Za-z_]\w*)\1")
INLINE_GROUP = re.compile(r"((?:\|\||&&|!|\bif)\s*)\{ ((?:[^{}\n]|\$\{[^}]*\})*?);?\s*\}(?=\s|;|$)")
GROUP = re.compile(r"^(.*?)\s*(\|\||&&)\s*\{(?:\s+(.*))?$", re.DOTALL)
FUNCTION = re.compile(r"^(?:function\s+)?([A-Za-z_][\w-]*)\s*(?:\(\s*\))\s*\{?\s*(.*)$", re.DOTALL)
FOR = re.compile(r"^for\s+(\w+)\s+in\s+(.*)$", re.DOTALL)
READING = "while"
"""What is left of a loop at the end of a pipe."""
OPENING = {"if": "fi", "for": "done", "while": "done", "until": "done", "case": "esac"}


@dataclass(frozen=True)
class If:
    """Conditions with what follows from each; the condition of an else is empty."""

    branches: tuple[tuple[str, Block], ...]


@dataclass(frozen=True)
class For:
    """What is done with each of some words."""

    name: str
    words: str
    body: Block


@dataclass(frozen=True)
class Loop:
    """What is done between the tries of a command, `until` it succeeds or while it does."""

    until: bool
    condition: str
    body: Block


@dataclass(frozen=True)
class Function:
    name: str
    body: Block


Node = str | If | For | Loop | Function
Block = tuple[Node, ...]


@lru_cache(maxsize=256)
def parse(text: str) -> Block:
    """The script as a block. A cluster's two nodes, and a boot and its next one, share most scripts."""
    return _Parser(split(_with_here_strings(text))).block(())


def _with_here_strings(text: str) -> str:
    """Here-documents as here-strings, which stay in their line."""
    lines = text.splitlines()
    kept, index = [], 0
    while index < len(lines):
        line, found = lines[index], HERE_DOCUMENT.search(lines[index])
        index += 1
        if found is not None and "<<<" not in line and not line.lstrip().startswith("#"):
            content = []
            while index < len(lines) and lines[index].strip() != found[2]:
                content.append(lines[index])
                index += 1
            index += 1
            line = HERE_DOCUMENT.sub("", line) + " <<< " + shlex.quote("\n".join(content))
        kept.append(line)
    return "\n".join(kept)


def split(text: str) -> list[str]:
    """A script's lines: ended by a newline or `;`, outside quotes and parentheses, without comments."""
    text = re.sub(r"(\|\||&&|\|)[ \t]*\n\s*", r"\1 ", _without_comments(text.replace("\\\n", " ")))
    text = INLINE_GROUP.sub(r"\1( \2 )", text)
    return [part for part in (one.strip() for one in _cut(text, ("\n", ";"))) if part]


def chain(line: str) -> list[tuple[str, str]]:
    """The commands of `a && b || c`, each with what is before it."""
    found = _cut(line, ("&&", "||"), keep=True)
    return list(zip(["", *found[1::2]], (one.strip() for one in found[::2]), strict=True))


def pipe(command: str) -> tuple[str, str]:
    """What feeds a pipe, and what is at its end; empty without one."""
    first, *others = _cut(command, (" | ", "|&"))
    return first.strip(), others[-1].strip() if others else ""


def is_word(text: str) -> bool:
    """Whether it is one word, whatever is quoted or substituted in it."""
    return len(_cut(text, (" ", "\t"))) == 1


def _cut(text: str, marks: tuple[str, ...], *, keep: bool = False) -> list[str]:
    """The text in parts, at marks outside quotes and parentheses."""
    parts, start, index = [], 0, 0
    quote, depth = "", 0
    while index < len(text):
        char = text[index]
        if char == "\\" and quote != "'":
            index += 2
            continue
        if quote:
            quote = "" if char == quote else quote
        elif char in "'\"":
            quote = char
        elif char in "()":
            depth = max(0, depth + (1 if char == "(" else -1))
        elif not depth:
            mark = next((one for one in marks if text.startswith(one, index)), None)
            if mark is not None:
                parts += [text[start:index], mark] if keep else [text[start:index]]
                index += len(mark)
                start = index
                continue
        index += 1
    return [*parts, text[start:]]


def _without_comments(text: str) -> str:
    return re.sub(r"(?m)(^|(?<=[;\s]))#[^\n'\"`]*$", "", re.sub(r"(?m)^\s*#.*$", "", text))


class _Parser:
    def __init__(self, lines: list[str]) -> None:
        self._lines = lines[::-1]

    def block(self, ends: tuple[str, ...]) -> Block:
        """Up to a line that begins with one of `ends`, which stays; or to the end."""
        nodes: list[Node] = []
        while self._lines and _word(self._lines[-1]) not in ends:
            nodes += self._node(self._lines.pop())
        return tuple(nodes)

    def _node(self, line: str) -> list[Node]:
        word, rest = _word(line), line.partition(" ")[2].strip()
        if word == "if":
            return [self._if(rest)]
        if word in ("while", "until"):
            return [Loop(word == "until", rest, self._body())]
        if word == "case":
            self._skip("esac")
            return []
        if found := FOR.match(line):
            return [For(found[1], found[2], self._body())]
        if found := FUNCTION.match(line):
            return [Function(found[1], self._braces(found[2]))]
        if found := GROUP.match(line):
            body = self._braces(found[3] or "")
            return [If(((found[1], body),) if found[2] == "&&" else ((found[1], ()), ("", body)))]
        if found := re.match(r"^(.*?\|)\s*while\s", line, re.DOTALL):
            self._body()
            return [f"{found[1]} {READING}"]
        if word == "{":
            return list(self._braces(line[1:].strip()))
        return [line] if word not in ("}", "fi", "done", "esac", "then", "do") else []

    def _if(self, condition: str) -> If:
        branches = []
        while True:
            body = self._after("then", ("elif", "else", "fi"))
            branches.append((condition, body))
            line = self._lines.pop() if self._lines else "fi"
            word, rest = _word(line), line.partition(" ")[2].strip()
            if word == "else":
                self._push(rest)
                branches.append(("", self.block(("fi",))))
                line = self._lines.pop() if self._lines else "fi"
            if word != "elif":
                return If(tuple(branches))
            condition = rest

    def _body(self) -> Block:
        body = self._after("do", ("done",))
        if self._lines:
            self._lines.pop()
        return body

    def _after(self, word: str, ends: tuple[str, ...]) -> Block:
        """The block behind `then` or `do`."""
        while self._lines and _word(self._lines[-1]) != word:
            self._lines.pop()
        if self._lines:
            self._push(self._lines.pop().partition(" ")[2].strip())
        return self.block(ends)

    def _braces(self, first: str) -> Block:
        """The rest of `{ ...; }`, of which `first` is there already."""
        if first == "{":
            first = ""
        elif not first and self._lines and self._lines[-1] == "{":
            self._lines.pop()
        self._push(first)
        body = self.block(("}",))
        if self._lines:
            self._lines.pop()
        return body

    def _skip(self, end: str) -> None:
        """Leave out what follows, up to the end that belongs to it."""
        while self._lines:
            word = _word(self._lines.pop())
            if word == end:
                return
            if word in OPENING:
                self._skip(OPENING[word])

    def _push(self, line: str) -> None:
        if line:
            self._lines.append(line)


def _word(line: str) -> str:
    return line.split(maxsplit=1)[0] if line else ""
