"""Which kinds an API server serves at the moment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from simulator.api.kinds import Kind
from simulator.api.store import Collection


class Registry:
    """Kinds by group and plural; `generation` counts changes, so that what is derived from it can be cached."""

    def __init__(self, kinds: Iterable[Kind] = ()) -> None:
        self._kinds: dict[Collection, Kind] = {}
        self.generation = 0
        for kind in kinds:
            self.add(kind)

    def add(self, kind: Kind) -> None:
        """Serve `kind`, in place of the one of that name."""
        self._kinds[kind.group, kind.plural] = kind
        self.generation += 1

    def remove(self, collection: Collection) -> None:
        if self._kinds.pop(collection, None):
            self.generation += 1

    def get(self, collection: Collection) -> Kind | None:
        return self._kinds.get(collection)

    def served(self, group: str, version: str, plural: str) -> Kind | None:
        """The kind, if it is served in that version."""
        kind = self._kinds.get((group, plural))
        return kind if kind and version in kind.versions else None

    def of_object(self, api_version: str, kind: str) -> Kind | None:
        """The kind of an object, as an ownerReference names it."""
        group = api_version.rpartition("/")[0]
        for found in self._kinds.values():
            if found.kind == kind and found.group == group:
                return found
        return None

    def __iter__(self) -> Iterator[Kind]:
        return iter(list(self._kinds.values()))

    def groups(self) -> dict[str, list[str]]:
        """Versions of each group, the preferred one first."""
        groups: dict[str, dict[str, None]] = {}
        for kind in self._kinds.values():
            versions = groups.setdefault(kind.group, {})
            if kind.storage in kind.versions:
                versions.setdefault(kind.storage)
            for version in kind.versions:
                versions.setdefault(version)
        return {group: sorted(versions, key=priority, reverse=True) for group, versions in groups.items()}


def priority(version: str) -> tuple[int, int, int, str]:
    """Kubernetes' order of versions: v2 above v1 above v1beta1 above v1alpha1 above other names."""
    stable = {"": 3, "beta": 2, "alpha": 1}
    digits = version[1:]
    for word in ("alpha", "beta", ""):
        major, _, minor = digits.partition(word) if word else (digits, "", "0")
        if version[:1] == "v" and major.isdigit() and minor.isdigit():
            return stable[word], int(major), int(minor), ""
    return 0, 0, 0, version
