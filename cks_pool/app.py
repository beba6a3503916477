"""The command's table of contents: each command, examples, and its code, which is imported when it is run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cyclopts import App, Group, Parameter

NAME = "cks-pool"

LOOKING = Group("Look", sort_key=1)
SESSIONS = Group("Sessions", sort_key=2)
CLUSTERS = Group("Clusters and pools", sort_key=3)
WORK = Group("Work and services", sort_key=4)
ITSELF = Group("This command", sort_key=5)


@dataclass(frozen=True)
class Command:
    """One command. `reads`: it changes nothing, here or on the host."""

    name: str
    code: str
    group: Group
    help: str
    examples: Sequence[str]
    reads: bool = False

    @property
    def epilogue(self) -> str:
        """The examples, as a help text ends with them."""
        return "\n".join(["Examples:", *[f"  {NAME} {example}".rstrip() for example in self.examples]])


COMMANDS = (
    Command(
        "status",
        "cks_pool.looking:status",
        LOOKING,
        "Show the clusters of a pool, and who waits for one.",
        ("status", "status -p exam -o wide", "status --watch", "status -o json"),
        reads=True,
    ),
    Command(
        "pools",
        "cks_pool.looking:pools",
        LOOKING,
        "List the Pools, with the counts of their clusters.",
        ("pools", "pools -o yaml"),
        reads=True,
    ),
    Command(
        "sessions",
        "cks_pool.looking:sessions",
        LOOKING,
        "List the sessions that wait or hold a cluster.",
        ("sessions", "sessions --all -o wide"),
        reads=True,
    ),
    Command(
        "assign",
        "cks_pool.sessions:assign",
        SESSIONS,
        "Hand a session a cluster; again for the same session it is the same cluster.",
        ("assign 0042", "assign 0042 --ttl 2h --wait 10m", "assign 0042 -p exam -o json"),
    ),
    Command(
        "release",
        "cks_pool.sessions:release",
        SESSIONS,
        "Take a session's cluster back; the worker resets it.",
        ("release 0042", "release 0042 --epoch 7"),
    ),
    Command(
        "extend",
        "cks_pool.sessions:extend",
        SESSIONS,
        "Give a session more time, cut to its Pool's maximum.",
        ("extend 0042", "extend 0042 1h"),
    ),
    Command(
        "heartbeat",
        "cks_pool.sessions:heartbeat",
        SESSIONS,
        "Say that a session's user is there.",
        ("heartbeat 0042",),
    ),
    Command(
        "cordon",
        "cks_pool.clusters:cordon",
        CLUSTERS,
        "Keep clusters from new sessions; who holds one keeps it.",
        ("cordon cluster1", "cordon cluster1 cluster2"),
    ),
    Command(
        "uncordon",
        "cks_pool.clusters:uncordon",
        CLUSTERS,
        "Let sessions have clusters again.",
        ("uncordon cluster1",),
    ),
    Command(
        "scale",
        "cks_pool.clusters:scale",
        CLUSTERS,
        "Set how many clusters a Pool has.",
        ("scale default --size 5",),
    ),
    Command(
        "kubeconfig",
        "cks_pool.kubeconfigs:kubeconfig",
        CLUSTERS,
        "Print the kubeconfig of a cluster, or merge it into a file, as kind does.",
        ("kubeconfig cluster1", "kubeconfig cluster1 --merge", "kubeconfig --session 0042 --file ./0042.yaml"),
    ),
    Command(
        "reset",
        "cks_pool.runs:reset",
        WORK,
        "Restore a cluster from its golden snapshots, and prove that it is clean.",
        ("reset cluster1", "reset --session 0042", "reset cluster1 --force --no-wait"),
    ),
    Command(
        "rebuild",
        "cks_pool.runs:rebuild",
        WORK,
        "Make an idle or broken cluster anew from the golden image.",
        ("rebuild cluster1",),
    ),
    Command(
        "maintain",
        "cks_pool.runs:maintain",
        WORK,
        "Have what the Pools need done now, or print what that would be.",
        ("maintain --dry-run", "maintain -p exam"),
    ),
    Command(
        "run",
        "cks_pool.runs:run",
        WORK,
        "Run a flow in this process, recorded by Prefect's server.",
        ("run bootstrap-pool size=3", "run assign-session session_id=0042 wait_seconds=60", "run pool-status"),
    ),
    Command(
        "setup",
        "cks_pool.setup:setup",
        WORK,
        "Make what an installation lacks: its Secrets, or what Prefect's server has to have.",
        ("setup secrets", "setup secrets --prefect", "setup prefect"),
    ),
    Command(
        "doctor",
        "cks_pool.doctor.command:doctor",
        LOOKING,
        "Check each thing that must be true, and say the cure where it is not.",
        ("doctor", "doctor -o json"),
        reads=True,
    ),
    Command(
        "logs",
        "cks_pool.logs:logs",
        LOOKING,
        "Print what happened to a cluster: its events and its flow runs, the newest last.",
        ("logs cluster1", "logs cluster1 --tail 100"),
        reads=True,
    ),
    Command(
        "serve",
        "cks_pool.serving:serve",
        WORK,
        "Serve the HTTP API and the page, until stopped.",
        ("serve", "serve --listen 127.0.0.1:8090"),
    ),
    Command(
        "worker",
        "cks_pool.serving:worker",
        WORK,
        "Run flows for Prefect in one warm process, and stand by for the pools.",
        ("worker", "worker --limit 20"),
    ),
    Command(
        "token",
        "cks_pool.serving:token",
        ITSELF,
        "Make a token for the HTTP API: its entry on stdout, itself on stderr.",
        ("token lms-2026-11 --role session --pool exam", "token grafana --role viewer -o json"),
    ),
    Command(
        "settings",
        "cks_pool.about:settings",
        ITSELF,
        "Print every setting with its default and meaning, as markdown.",
        ("settings",),
        reads=True,
    ),
    Command(
        "version",
        "cks_pool.about:version",
        ITSELF,
        "Print the version of this command and of what it works with.",
        ("version", "version -o json"),
        reads=True,
    ),
    Command(
        "completion",
        "cks_pool.completion:completion",
        ITSELF,
        "Print a shell's completion script; it knows clusters, sessions, Pools and flows.",
        ("completion bash", "completion zsh", "completion fish"),
        reads=True,
    ),
)


def _default(value: object) -> str | None:
    """What a help text says of a default: that a flag is off says nothing."""
    return None if value is False or value is None else str(value)


def _version() -> str:
    from importlib.metadata import version

    return version(NAME)


def _made() -> App:
    made = App(
        NAME,
        help="Pools of ready, disposable Kubernetes clusters.",
        help_epilogue=f"{NAME} COMMAND --help says more, with examples. Exit status: 0 done, 1 tried and failed, "
        "2 bad input or a part that cannot be reached.",
        help_format="plaintext",
        version=_version,
        group_commands=ITSELF,
        default_parameter=Parameter(negative=(), show_default=_default),
        suppress_keyboard_interrupt=False,
    )
    for command in COMMANDS:
        made.command(
            command.code, name=command.name, help=command.help, help_epilogue=command.epilogue, group=command.group
        )
    return made


app = _made()
