"""Acting as somebody else (`kubectl --as`): for those who may impersonate."""

from __future__ import annotations

from simulator.api.access.rbac import Authorizer, denied
from simulator.api.errors import bad_request
from simulator.api.requests import Request, Target, User

AUTHENTICATED = "system:authenticated"
_ACCOUNT = "system:serviceaccount:"


def impersonated(request: Request, user: User, authorizer: Authorizer) -> User:
    """Whom the request speaks for. Raises ApiError 403 when `user` may not speak for them, 400 for groups alone."""
    name = request.headers.get("impersonate-user", "")
    groups = [one.strip() for one in request.headers.get("impersonate-group", "").split(",") if one.strip()]
    if not name:
        if groups:
            raise bad_request("requested groups impersonation of without user")
        return user
    wanted = [_user_target(name), *(Target("impersonate", "", "v1", "groups", "", group) for group in groups)]
    for target in wanted:
        if not authorizer.decide(user, target).allowed:
            raise denied(user, target)
    if not groups and name.startswith(_ACCOUNT):
        groups = ["system:serviceaccounts", f"system:serviceaccounts:{name.split(':')[2]}"]
    if AUTHENTICATED not in groups and name != "system:anonymous":
        groups.append(AUTHENTICATED)
    return User(name, tuple(groups), request.headers.get("impersonate-uid", ""))


def _user_target(name: str) -> Target:
    if name.startswith(_ACCOUNT) and name.count(":") == 3:
        _, _, namespace, account = name.split(":")
        return Target("impersonate", "", "v1", "serviceaccounts", namespace, account)
    return Target("impersonate", "", "v1", "users", "", name)
