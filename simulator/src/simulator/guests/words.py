"""The words of a command: expansions, quotes, redirections, patterns. Pure but for what it asks its caller."""

from __future__ import annotations

import re
import shlex
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from simulator.guests.programs import UNKNOWN

REDIRECTION = re.compile(r"^(\d|&)?(>>|>\||>|<<<|<)(?!\()(.*)$", re.DOTALL)
VARIABLE = re.compile(r"\$(?:\{([A-Za-z_]\w*|[@*#?\d])([^}]*)\}|([A-Za-z_]\w*|[@*#?\d]))")
EVERYTHING = '"$@"'


@dataclass(frozen=True)
class Line:
    """A command's words; where its output goes (None: the standard output), and what is on its input."""

    words: list[str]
    target: str | None = None
    appends: bool = False
    given: str = ""


def split(text: str) -> list[str]:
    """Words without their quotes."""
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


def unquoted(text: str) -> str:
    """One word without its quotes, which is not split, as in an assignment."""
    lexer = shlex.shlex(text, posix=True)
    lexer.whitespace, lexer.commenters, lexer.whitespace_split = "", "", True
    try:
        return lexer.get_token() or ""
    except ValueError:
        return text


def line(text: str) -> Line:
    """A command whose expansions are made. Only the standard output is followed."""
    kept, target, appends, given = list[str](), None, False, ""
    rest = iter(split(text))
    for word in rest:
        found = REDIRECTION.match(word)
        if found is None:
            kept.append(word)
            continue
        where = found[3] or next(rest, "")
        if found[2] == "<<<":
            given = where
        elif found[2] != "<" and found[1] in (None, "1", "&"):
            target, appends = where, found[2] == ">>"
    return Line(kept, target, appends, given)


def globbed(words: Iterable[str], paths: Iterable[str]) -> list[str]:
    """Patterns give way to the paths that they match, in order."""
    found = []
    for word in words:
        pattern = word.startswith("/") and any(one in word for one in "*?[")
        matches = [one for one in paths if _matches(one, word)] if pattern else []
        found += sorted(matches) or [word]
    return found


def _matches(path: str, pattern: str) -> bool:
    return path.count("/") == pattern.count("/") and fnmatchcase(path, pattern)


async def expanded(text: str, value: Callable[[str], str], output: Callable[[str], Awaitable[str]]) -> str:
    """With the values of variables and the output of commands in their places, still quoted."""
    found, index, quoted = "", 0, False
    while index < len(text):
        char = text[index]
        if char == "\\":
            found, index = found + text[index : index + 2], index + 2
        elif char == "'" and not quoted:
            end = text.find("'", index + 1) + 1 or len(text)
            found, index = found + text[index:end], end
        elif text.startswith(EVERYTHING, index):
            found, index = found + value("@"), index + len(EVERYTHING)
        elif text.startswith("$((", index):
            end = text.find("))", index) + 2
            found, index = found + UNKNOWN, end if end > 1 else len(text)
        elif text.startswith("$(", index):
            end = _closing(text, index + 1)
            found += _escaped(await output(text[index + 2 : end]), quoted=quoted)
            index = end + 1
        elif match := VARIABLE.match(text, index):
            found += _escaped(_valued(match, value), quoted=quoted)
            index = match.end()
        else:
            quoted = quoted is not (char == '"')
            found, index = found + char, index + 1
    return found


def _valued(match: re.Match[str], value: Callable[[str], str]) -> str:
    known = value(match[1] or match[3])
    if not match[2]:
        return known
    if default := re.match(r":?-(.*)", match[2]):
        return known or default[1]
    if known and (cut := re.match(r"(##?|%%?)(\*?)([^*?\[]+)(\*?)$", match[2])):
        return _shortened(known, cut[1], cut[3])
    return value("?") if match[1] == "PIPESTATUS" else UNKNOWN


def _shortened(value: str, how: str, mark: str) -> str:
    """`${x##*/}` and its kind: without what is before, or behind, the first or the last of the marks."""
    if mark not in value:
        return value
    if how[0] == "#":
        return value.rpartition(mark)[2] if how == "##" else value.partition(mark)[2]
    return value.partition(mark)[0] if how == "%%" else value.rpartition(mark)[0]


def _closing(text: str, start: int) -> int:
    """Where the parenthesis at `start` is closed."""
    depth = 0
    for index in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[index], 0)
        if depth == 0:
            return index
    return len(text)


def _escaped(value: str, *, quoted: bool) -> str:
    return re.sub(r'(["\\$`])' if quoted else r"(['\"\\])", r"\\\1", value)
