"""The tables of `scale`."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rich.table import Table

from benchmarks.crew import GATEWAYS, Crew, Spent
from benchmarks.takeover import Takeover
from benchmarks.usage import connections, memory
from benchmarks.wave import Wave

HOUR, MINUTE = 3600.0, 60.0
KINDS = ("worker", "gateway", "Prefect", "database", "simulator")


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title)
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _add(table: Table, *cells: str) -> None:
    """A row, which is said at once as well: all of it takes long, and may be ended before."""
    table.add_row(*cells)
    said = ", ".join(f"{column.header} {cell}" for column, cell in zip(table.columns, cells, strict=True))
    print(f"  {said}", flush=True)


@dataclass
class Tables:
    """A row for each measurement, as they come."""

    rests: Table = field(
        default_factory=lambda: _table(
            f"at rest, {GATEWAYS} gateways: of one process of a kind, or of all (calls; seconds of a core an hour)",
            *(
                "clusters",
                "workers",
                "maintenance",
                "calls a cluster and hour: workers",
                "gateways",
                "worker",
                "connections",
            ),
            *("gateway", "connections", *(f"{kind} CPU" for kind in KINDS)),
        )
    )
    costs: Table = field(
        default_factory=lambda: _table(
            "waves: all assigned at once, all reset at once; seconds of a core more than at rest",
            *("clusters", "workers", "assigned a minute", "gateway CPU each", "reset a minute"),
            *(f"{kind} CPU each" for kind in KINDS),
            *("calls each", "stored each", "worker", "gateway", "Prefect", "database"),
        )
    )
    waves: Table = field(
        default_factory=lambda: _table(
            "the workers meanwhile; late: ticks of their loops, ratio: to those of an idle loop beside them",
            *("clusters", "workers", "runs of each", "runs begin after", "longest", "late, median", "99 of 100"),
            *("longest", "ratio of 99", "heartbeats, longest"),
        )
    )
    takeovers: Table = field(
        default_factory=lambda: _table(
            "a worker is killed",
            *("clusters", "workers before", "resets", "of the killed", "taken over after", "longest"),
            *("available after", "longest"),
        )
    )

    def add_rest(self, clusters: int, crew: Crew, spent: Spent, rounds: int) -> None:
        """`rounds`: of maintenance meanwhile."""
        per = HOUR / spent.seconds
        pids, port = crew.pids(), int(crew.host.kube.server.rpartition(":")[2])
        each = [f"{spent.calls_of(caller) * per / clusters:.1f}" for caller in ("worker", "gateway")]
        held = []
        for kind in ("worker", "gateway"):
            held += [_mib(max(memory(pid) for pid in pids[kind])), f"{max(connections(p, port) for p in pids[kind])}"]
        used = [f"{spent.cpu[kind] * per:.0f} s" for kind in KINDS]
        _add(self.rests, f"{clusters}", f"{len(crew.workers)}", f"{rounds}", *each, *held, *used)

    def add_wave(self, clusters: int, crew: Crew, wave: Wave, idle: Mapping[str, float], stored: int) -> None:
        """`idle`: a process's share of a core at rest, which is left out; `stored`: bytes that the database grew by."""
        of, count = wave.sessions, f"{len(crew.workers)}"
        assigning, resetting = wave.assigning, wave.resetting
        pids = crew.pids()
        at_rest = {kind: idle[kind] * len(pids[kind]) for kind in KINDS}
        used = [f"{(resetting.cpu[kind] - at_rest[kind] * resetting.seconds) / of:.2f} s" for kind in KINDS]
        handing = (assigning.cpu["gateway"] - at_rest["gateway"] * assigning.seconds) / of
        held = [_mib(max((memory(pid) for pid in pids[kind]), default=0)) for kind in KINDS[:4]]
        _add(
            self.costs,
            *(f"{clusters}", count, f"{of / assigning.seconds * MINUTE:.0f}"),
            *(f"{handing * 1e3:.1f} ms", f"{of / resetting.seconds * MINUTE:.1f}", *used),
            *(f"{resetting.calls_of('worker') / of:.0f}", f"{stored / of / 1024:.0f} KiB", *held),
        )
        late = sorted(one for name, ticks in wave.ticks.items() if name != "idle" for one in ticks)
        ratio = _of_100(late, 99) / max(_of_100(wave.ticks["idle"], 99), 1e-4)
        _add(
            self.waves,
            *(f"{clusters}", count, " ".join(f"{wave.runs[name]}" for name in crew.workers)),
            *(_seconds(_of_100(wave.begun_after, part)) for part in (50, 100)),
            *(_ms(_of_100(late, part)) for part in (50, 99, 100)),
            *(f"{ratio:.1f}", _seconds(max(wave.beats, default=0.0))),
        )

    def add_takeover(self, clusters: int, done: Takeover) -> None:
        """One worker's death."""
        row = [f"{clusters}", f"{done.workers}", f"{done.resets}", f"{len(done.available)}"]
        for figures in (done.taken_over.values(), done.available.values()):
            row += [_seconds(statistics.median(figures)), _seconds(max(figures))] if figures else ["-", "-"]
        _add(self.takeovers, *row)


def _of_100(ordered: Sequence[float], part: int) -> float:
    """The figure that `part` of 100 do not exceed."""
    return ordered[max(0, -(-len(ordered) * part // 100) - 1)] if ordered else 0.0


def _seconds(figure: float) -> str:
    return f"{figure:.1f} s"


def _ms(figure: float) -> str:
    return f"{figure * 1e3:.0f} ms"


def _mib(figure: float) -> str:
    return f"{figure:.0f} MiB"
