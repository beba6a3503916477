"""Tokens of every role, in a file as the gateway reads it."""

from __future__ import annotations

from pathlib import Path

from gateway.access.roles import Role
from gateway.access.tokens import as_yaml, new_token


def tokens_of_all_roles(path: Path, pool: str | None = None) -> dict[Role, str]:
    """Write the file; `pool` is the one that the sessions' token is for."""
    made = {role: new_token(f"the {role}", role, pool if role is Role.SESSION else None) for role in Role}
    path.write_text("".join(as_yaml(entry) for _, entry in made.values()))
    return {role: token for role, (token, _) in made.items()}


def bearer(token: str) -> dict[str, str]:
    """The header that shows it."""
    return {"Authorization": f"Bearer {token}"}
