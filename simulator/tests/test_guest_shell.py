"""Scripts run on a disk: what of the shell's language is understood, and what is made of the rest."""

from __future__ import annotations

import pytest

from simulator.guests.interpreter import Interpreter
from simulator.guests.programs import Result

LIBRARY = """
fail() { echo "+why: $*"; exit 1; }
says() {
  local line
  while IFS= read -r line; do echo "$line" >/dev/console; done
}
attempt() {
  "$@" || fail "gave up"
}
"""


class Run:
    """A script's run, and what came of it."""

    def __init__(self, files: dict[str, str] | None = None) -> None:
        self.files = {"/lib.sh": LIBRARY, **(files or {})}
        self.said: list[str] = []
        self.did: list[str] = []
        self.failures = 0
        self.console = ""
        self.shell = Interpreter(
            files=self.files,
            actions={"act": self._act},
            says=self.said.append,
            console=self._console,
            ran=self._ran,
            pause=0.0,
        )

    async def _act(self, words: list[str]) -> Result:
        self.did.append(" ".join(words[1:]))
        if "fail" in words or self.failures:
            self.failures = max(0, self.failures - 1)
            return Result(False, "first\nthe reason\n", 7)
        return Result(True, "v1\n")

    async def _ran(self, _: list[str]) -> None:
        return

    def _console(self, text: str) -> None:
        self.console += text

    async def of(self, text: str) -> bool:
        return await self.shell.run(text)


@pytest.mark.parametrize(
    ("script", "done"),
    [
        ("if [ -e /here ]; then act yes; else act no; fi", ["yes"]),
        ("if [ ! -e /here ]; then act yes; elif test -d /dir; then act dir; fi", ["dir"]),
        ("if [ -e /not ] ||\n  [ -s /here ]; then act yes; fi", ["yes"]),
        ("[ -e /not ] && act one\n[ -e /not ] || act two", ["two"]),
        ("[ -e /not ] || { act one; act two; }", ["one", "two"]),
        ("if [ -e /here ] && { [ ! -e /not ] && true; }; then act yes; fi", ["yes"]),
        ("[ -e /not ] || {\n  act one\n  act two\n}\nact three", ["one", "two", "three"]),
        ("for x in a 'b c' /dir/*; do act \"$x\"; done", ["a", "b c", "/dir/1", "/dir/2"]),
        ("for x in a b c; do if [ $x = b ]; then continue; fi; act $x; done", ["a", "c"]),
        ("for x in a b c; do [ $x = b ] && break; act $x; done", ["a"]),
        ("x=1 # a remark\nreadonly y='2 3'\nact \"$x-${y}\" ${z:-4}", ["1-2 3 4"]),
        ("p=/a/b.c; act ${p##*/} ${p%/*} ${p%%.*}", ["b.c /a /a/b"]),
        ('have=$(act version); if [ "$have" != v2 ]; then act other; fi', ["version", "other"]),
        ("timeout 60 act wrapped", ["wrapped"]),
        ("DEBIAN_FRONTEND=x act with environment", ["with environment"]),
        ("say() { act \"$1\" $#; }\nsay 'a b' c", ["a b 2"]),
        ("f() { return 1; }\nif f; then act yes; else act no; fi", ["no"]),
        (". /lib.sh\nattempt act one", ["one"]),
        (
            "cat >/made <<'END'\n# if [ -e /here ]; then act no; fi\nEND\nact $(cat /made | tee x)",
            ["# if [ -e /here ]; then act no; fi"],
        ),
        ("case $1 in\na)\n  if x; then act no; fi\n  ;;\nesac\nact yes", ["yes"]),
        ("command -v kubeadm >/dev/null || act install", ["install"]),
        ("exit 0\nact never", []),
        ("( act one; act two )", ["one", "two"]),
    ],
)
async def test_a_script_does(script: str, done: list[str]) -> None:
    run = Run({"/here": "x", "/dir/1": "", "/dir/2": "", "/dir/sub/3": ""})
    assert await run.of(script)
    assert [" ".join(one.split()) for one in run.did] == done


@pytest.mark.parametrize(
    "condition",
    [
        '[ "$(unheard of)" = yes ]',
        '[ "$(unheard of | cut -f1)" != yes ]',
        "[ -x /usr/bin/thing ]",
        "grep -q x /etc/fstab",
        "unheard of",
    ],
)
async def test_of_what_nothing_is_known_neither_holds_nor_its_opposite(condition: str) -> None:
    run = Run()
    assert await run.of(f"if ! {condition}; then act no; fi\n{condition} || act no\n{condition} || exit 1")
    assert run.did == []


@pytest.mark.parametrize(
    ("script", "ok", "last"),
    [
        ("set -eEuo pipefail\nact fail\nact never", False, "act fail: the reason"),
        ("act fail --and more\nact later", True, "v1"),
        (
            '#!/bin/bash -e\nif ! out=$(act fail --x 2>&1); then echo "it: $out"; exit 3; fi',
            False,
            "it: act fail: the reason",
        ),
        (". /lib.sh\nact fail || fail 'no good'", False, "+why: no good"),
        ("set -e\nact fail || true", True, "act fail: the reason"),
        ("set -e\n[ -e /not ] && act never\nact later", True, "v1"),
        ("set -e\ntrue && act fail\nact never", False, "act fail: the reason"),
        ("set -e\nfalse", False, ""),
        ("false\nexit 5", False, ""),
        ("set -e\ncp /not /there", False, "cp: cannot stat '/not': No such file or directory"),
    ],
)
async def test_a_script_that_fails_says_why(script: str, ok: bool, last: str) -> None:
    run = Run()
    assert (await run.of(script), run.shell.last) == (ok, last)
    assert "never" not in run.did


async def test_until_it_works_is_tried_in_place() -> None:
    run = Run()
    run.failures = 2
    assert await run.of("set -e\nuntil act it; do sleep 5; done\nact next")
    assert run.did == ["it", "it", "it", "next"]


async def test_a_variable_has_the_lines_of_which_grep_passes_on_those_that_a_file_has_not() -> None:
    run = Run({"/all": "a\nc d\nb\n", "/known": "b\na\n"})
    others = 'grep --invert-match --line-regexp --fixed-strings --file=/known <<<"$all" || [ $? = 1 ]'
    assert await run.of(f'set -e\nall=$(cat /all)\nact "$({others})"\nall=a\nothers=$({others})\nact "$others"')
    assert run.did == ["c d", ""]


async def test_files_are_made_changed_and_removed() -> None:
    run = Run({"/a": "1\n", "/d/x": "", "/d/y": ""})
    script = """
touch /t /a
echo 'two words' >>/a
printf '%s-%s\\n' x y >/p
: >/empty
install -d /new; install -D -m 0600 /a /deep/b
cp /a /new/
mv /p /q
rm -rf /d /t/*
exec 9>/lock
echo quiet 2>/err >/dev/null
"""
    assert await run.of(script)
    assert run.files["/a"] == "1\ntwo words\n" == run.files["/deep/b"] == run.files["/new/a"]
    assert (run.files["/t"], run.files["/q"], run.files["/empty"]) == ("", "x-y\n", "")
    assert not {"/d/x", "/p", "/lock", "/err", "/dev/null"} & set(run.files)


async def test_what_is_piped_into_a_function_or_a_loop_is_said_and_the_rest_is_not() -> None:
    run = Run({"/prepare.sh": "#!/bin/sh\necho one\necho two >&2\nexit 3\n"})
    script = (
        ". /lib.sh\nset -e\necho a | says\necho b\necho c | while read -r x; do echo $x; done\necho d >/dev/console\n"
    )
    script += '/prepare.sh 2>&1 | says || fail "ended with ${PIPESTATUS[0]}"\n'
    assert not await run.of(script)
    assert run.said == ["a", "c", "one"]
    assert run.console == "d\n"
    assert (run.shell.status, run.shell.last) == (1, "+why: ended with 3")


async def test_a_shell_given_its_commands_runs_them() -> None:
    run = Run({"/sem/a": "", "/sem/b": ""})
    assert await run.of("sh -c 'test -e /done || rm -f /sem/a /sem/b'")
    assert not [one for one in run.files if one.startswith("/sem")]
