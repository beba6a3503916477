"""How a resource is named in paths and in what webhooks are asked."""

from __future__ import annotations

from typing import NamedTuple


class GVR(NamedTuple):
    """A resource: its group (empty for the core group), version and plural name."""

    group: str
    version: str
    plural: str

    def path(self, namespace: str | None = None, name: str = "", subresource: str = "") -> str:
        """The path of the collection or of one object (and its subresource)."""
        root = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        inside = f"/namespaces/{namespace}" if namespace else ""
        tail = "".join(f"/{part}" for part in (name, subresource) if part)
        return f"{root}{inside}/{self.plural}{tail}"
