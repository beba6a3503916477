"""Tokens that the gateway knows: a file of their hashes, a mounted Secret's key, read again when it changed.

    - name: lms-2026-11       # for the log
      role: session           # session, viewer, operator
      pool: exam              # of role session only; left out: all Pools
      sha256: 9f86d081…       # of the token; the token itself is nowhere

Several at once, so that one can be rotated: add the new one, let the platform use it, remove the old one.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
from pathlib import Path
from typing import Annotated, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from gateway.access.roles import Caller, Role, check_role_of_pool
from pool.core.errors import InvalidInput
from pool.core.fields import PoolName

logger = logging.getLogger(__name__)

PREFIX = "cks_"
"""What our tokens begin with, so that scanners of repositories find them."""


class TokenEntry(BaseModel):
    """One entry of the file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[ -~]+$")]
    role: Role
    pool: PoolName | None = None
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

    @model_validator(mode="after")
    def _of_one_pool(self) -> Self:
        try:
            check_role_of_pool(self.role, self.pool)
        except InvalidInput as error:
            raise PydanticCustomError("pool_of_role", "{problem}", {"problem": str(error)}) from None
        return self

    @property
    def caller(self) -> Caller:
        """Who shows this token."""
        return Caller(self.name, self.role, self.pool)


_ENTRIES: TypeAdapter[list[TokenEntry]] = TypeAdapter(list[TokenEntry])


def new_token(name: str, role: Role, pool: str | None = None) -> tuple[str, TokenEntry]:
    """A new token, to be shown once, and its entry. Raises InvalidInput."""
    token = PREFIX + secrets.token_urlsafe(32)
    check_role_of_pool(role, pool)
    try:
        return token, TokenEntry(name=name, role=role, pool=pool, sha256=hashed(token))
    except ValidationError as error:
        raise _bad("token", error) from None


def as_yaml(entry: TokenEntry) -> str:
    """The entry as it is put into the file."""
    return yaml.safe_dump([entry.model_dump(mode="json", exclude_none=True)], sort_keys=False)


def hashed(token: str) -> str:
    """The hash by which it is known. Tokens are long and random, so it needs no salt."""
    return hashlib.sha256(token.encode()).hexdigest()


def parsed(text: str, where: str) -> list[TokenEntry]:
    """The entries of a file. Raises InvalidInput that names the entry, never its content."""
    try:
        return _ENTRIES.validate_python(yaml.safe_load(text) or [])
    except yaml.YAMLError:
        raise InvalidInput(where, expected="a YAML list of tokens", actual="no YAML", cure=CURE) from None
    except ValidationError as error:
        raise _bad(where, error) from None


class Tokens:
    """The file's entries as of now. A file that cannot be read any more leaves in force what was read before."""

    def __init__(self, path: Path) -> None:
        """Raises InvalidInput if there is nothing to begin with."""
        self._path = path
        self._version = _version(path)
        try:
            self._entries = parsed(path.read_text(), str(path))
        except (OSError, UnicodeDecodeError) as error:
            raise InvalidInput(str(path), expected="a file of tokens", actual=str(error), cure=CURE) from None

    def find(self, token: str) -> Caller | None:
        """Whose token it is. Every entry is compared, in constant time."""
        self._read_again()
        shown, found = hashed(token), None
        for entry in self._entries:
            if hmac.compare_digest(entry.sha256, shown):
                found = entry.caller
        return found

    def _read_again(self) -> None:
        version = _version(self._path)
        if version == self._version:
            return
        self._version = version
        try:
            self._entries = parsed(self._path.read_text(), str(self._path))
            logger.info("%d tokens read again from %s", len(self._entries), self._path)
        except (OSError, UnicodeDecodeError, InvalidInput) as error:
            logger.error("tokens stay as they were: %s", error)


CURE = "`cks-pool token` prints an entry; docs/api.md says how they are mounted"


def _version(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size


def _bad(where: str, error: ValidationError) -> InvalidInput:
    first = error.errors(include_input=False)[0]
    field = ".".join(str(part) for part in first["loc"]) or "entry"
    return InvalidInput(where, expected=f"{field}: {first['msg']}", actual="something else", cure=CURE)
