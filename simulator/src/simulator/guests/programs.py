"""The small programs of scripts: those that look at files, print, or change files. Pure but for the files given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass

from simulator.guests.mounts import DIRECTORY_MARK, is_directory

UNKNOWN = "\ufffd"
"""In a value of which nothing is known."""
IMAGES_OWN = ("/usr/", "/opt/", "/lib/", "/bin/", "/sbin/", "/proc/", "/sys/", "/run/", "/dev/", "/boot/")
"""Where images have files that nobody plays: what is not there may be there all the same."""
KUBERNETES = ("kubeadm", "kubelet", "kubectl", "containerd")
"""The programs that are on the disk, or are not."""
PROGRAM_FOLDER = "/usr/bin/"

Files = MutableMapping[str, str]


@dataclass(frozen=True)
class Result:
    """How a program ended: whether it succeeded, None when nothing can be said of that; what it printed, and the exit
    status of one that failed."""

    ok: bool | None
    text: str = ""
    status: int = 1


def has_program(files: Mapping[str, str], name: str) -> bool:
    """Whether a program is there."""
    return name not in KUBERNETES or PROGRAM_FOLDER + name in files


def _test(files: Files, args: list[str], _: str) -> Result:
    words = [one for one in args if one not in ("]", "]]")]
    negated = words[:1] == ["!"]
    held = _holds(files, words[1:] if negated else words)
    return Result(None if held is None else held is not negated)


def _holds(files: Files, words: list[str]) -> bool | None:
    if any(UNKNOWN in word for word in words):
        return None
    match words:
        case ["-n", value]:
            return bool(value)
        case ["-z", value]:
            return not value
        case [value] if not value.startswith("-"):
            return bool(value)
        case [one, "=" | "==", other]:
            return one == other
        case [one, "!=", other]:
            return one != other
        case ["-e" | "-f" | "-s" | "-d" | "-r" | "-x" as how, path]:
            return _there(files, path, how)
    return None


def _there(files: Files, path: str, how: str) -> bool | None:
    program = path.rpartition("/")[2]
    if program in KUBERNETES and "bin/" in path:
        return has_program(files, program)
    if path in files:
        return how != "-d" and (how != "-s" or bool(files[path]))
    if is_directory(files, path):
        return how in ("-e", "-d", "-r", "-x", "-s")
    return None if path.startswith(IMAGES_OWN) else False


def _look_up(files: Files, args: list[str], _: str) -> Result:
    names = [one for one in args if not one.startswith("-")]
    return Result(all(has_program(files, one.rpartition("/")[2]) for one in names), " ".join(names))


def _echo(_: Files, args: list[str], __: str) -> Result:
    return Result(True, " ".join(args[1:] if args[:1] in (["-e"], ["-n"]) else args) + "\n")


def _printf(_: Files, args: list[str], __: str) -> Result:
    form, values = (args[0], args[1:]) if args else ("", [])
    text = form.replace("\\n", "\n").replace("%s", "\0").replace("%b", "\0").replace("%%", "%")
    for value in values:
        text = text.replace("\0", value, 1) if "\0" in text else text
    return Result(True, text.replace("\0", ""))


def _cat(files: Files, args: list[str], given: str) -> Result:
    paths = [one for one in args if not one.startswith("-")]
    missing = [one for one in paths if one not in files]
    if missing:
        known = not missing[0].startswith(IMAGES_OWN)
        return Result(False if known else None, f"cat: {missing[0]}: No such file or directory" if known else "")
    return Result(True, "".join(files[one] for one in paths) or (f"{given}\n" if given else ""))


def _grep(files: Files, args: list[str], given: str) -> Result:
    """`grep PATTERN FILE...`, `grep --invert-match --line-regexp --fixed-strings --file=FILE` of what is given."""
    listed = next((one.partition("=")[2] for one in args if one.startswith("--file=")), "")
    if listed in files and "--invert-match" in args:
        known = files[listed].splitlines()
        others = [line for line in given.splitlines() if line not in known]
        return Result(bool(others), "".join(f"{line}\n" for line in others))
    words = [one for one in args if not one.startswith("-")]
    if len(words) < 2 or any(UNKNOWN in word for word in words):
        return Result(None)
    known = [files[path] for path in words[1:] if path in files and UNKNOWN not in files[path]]
    return Result(any(words[0] in text for text in known) if known else None)


def _touch(files: Files, args: list[str], _: str) -> Result:
    for path in _paths(args):
        files.setdefault(path, "")
    return Result(True)


def _remove(files: Files, args: list[str], _: str) -> Result:
    for path in _paths(args):
        for known in [one for one in files if one == path or one.startswith(path.rstrip("/") + "/")]:
            del files[known]
    return Result(True)


def _make_directories(files: Files, args: list[str], _: str) -> Result:
    for path in _paths(args):
        if not is_directory(files, path):
            files[path.rstrip("/") + DIRECTORY_MARK] = ""
    return Result(True)


def _copy(files: Files, args: list[str], _: str) -> Result:
    *sources, target = _paths(args) or [""]
    missing = [one for one in sources if one not in files and not is_directory(files, one)]
    if missing:
        known = not missing[0].startswith(IMAGES_OWN)
        return Result(False if known else None, f"cp: cannot stat '{missing[0]}': No such file or directory")
    inside = target.endswith("/") or is_directory(files, target) or len(sources) > 1
    for source in sources:
        if source in files:
            name = source.rpartition("/")[2]
            files[f"{target.rstrip('/')}/{name}" if inside else target] = files[source]
    return Result(True)


def _move(files: Files, args: list[str], given: str) -> Result:
    copied = _copy(files, args, given)
    if copied.ok:
        for source in _paths(args)[:-1]:
            files.pop(source, None)
    return copied


def _install(files: Files, args: list[str], given: str) -> Result:
    """`install -d DIRECTORY...`, `install [-m MODE] SOURCE TARGET`."""
    paths, values = [], iter(args)
    for word in values:
        if word in ("-m", "-o", "-g"):
            next(values, "")
        elif not word.startswith("-"):
            paths.append(word)
    flags = [one for one in args if one.startswith("-") and not one.startswith("--")]
    return (_make_directories if any("d" in one for one in flags) else _copy)(files, paths, given)


def _paths(args: list[str]) -> list[str]:
    return [one for one in args if not one.startswith("-")]


def _clock(_: Files, args: list[str], __: str) -> Result:
    """`timedatectl show --property NTPSynchronized --value`: the clock of a VM is its host's."""
    return Result(True, "yes\n" if "NTPSynchronized" in " ".join(args) else "")


def _succeed(_: Files, __: list[str], ___: str) -> Result:
    return Result(True)


def _fail(_: Files, __: list[str], ___: str) -> Result:
    return Result(False)


Program = Callable[[Files, list[str], str], Result]
PROGRAMS: dict[str, Program] = {
    **dict.fromkeys(("[", "[[", "test"), _test),
    **dict.fromkeys(("command", "type", "which", "hash"), _look_up),
    "echo": _echo,
    "printf": _printf,
    "cat": _cat,
    "grep": _grep,
    "touch": _touch,
    "rm": _remove,
    "mkdir": _make_directories,
    "cp": _copy,
    "mv": _move,
    "install": _install,
    "timedatectl": _clock,
    ":": _succeed,
    "true": _succeed,
    "sleep": _succeed,
    "systemctl": _succeed,
    "false": _fail,
}
