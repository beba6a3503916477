"""A mapping that tells of each change of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from typing import Generic, Self, TypeVar

T = TypeVar("T")


class Watched(MutableMapping[str, T], Generic[T]):
    """`changed` is called after a value was set, and with None after it was removed; values are never None."""

    def __init__(self, items: Mapping[str, T] | None = None) -> None:
        self.changed: Callable[[str, T | None], None] | None = None
        self._items = dict(items or {})

    def __getitem__(self, key: str) -> T:
        return self._items[key]

    def __setitem__(self, key: str, value: T) -> None:
        self._items[key] = value
        if self.changed is not None:
            self.changed(key, value)

    def __delitem__(self, key: str) -> None:
        del self._items[key]
        if self.changed is not None:
            self.changed(key, None)

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __ior__(self, other: Mapping[str, T]) -> Self:
        self.update(other)
        return self
