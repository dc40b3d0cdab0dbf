"""The users that dynamic security knows: who administers it, who is disabled, and by whom.

A user whom we disable gets a role of that name, without any rights: it says until when, to people
and to whichever agent runs by then. A disabled user without one was disabled by a person.
"""

import datetime as dt
import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

_MARK: Final = "mqtt-ids-ban-until-"
_STAMP: Final = "%Y%m%dT%H%M%SZ"
_MARKED: Final = re.compile(rf"{_MARK}(\d{{8}}T\d{{6}}Z)-")
_CONTROL: Final = "$CONTROL/"


class User(NamedTuple):
    """One user. `marks` are the roles that we, or another agent, have given."""

    name: str
    disabled: bool
    marks: tuple[str, ...]
    administers: bool

    @property
    def ours(self) -> bool:
        """Whether an agent has disabled it."""
        return self.disabled and bool(self.marks)


class Powers(NamedTuple):
    """The roles and groups whose members may give the broker commands."""

    roles: frozenset[str]
    groups: frozenset[str]


def powers(roles: Iterable[object], groups: Iterable[object]) -> Powers:
    """Who may command, as told by listRoles and listGroups, verbose."""
    strong = frozenset(_name(role, "rolename") for role in roles if _commands(role))
    return Powers(
        strong,
        frozenset(
            _name(group, "groupname") for group in groups if strong & {*_names(group, "roles")}
        ),
    )


def user(told: object, powers: Powers) -> User:
    """One user as getClient, or listClients verbose, tells."""
    roles = _names(told, "roles")
    strong = powers.roles & {*roles} or powers.groups & {*_names(told, "groups")}
    return User(
        name=_name(told, "username"),
        disabled=isinstance(told, Mapping) and told.get("disabled") is True,
        marks=tuple(role for role in roles if _MARKED.match(role)),
        administers=bool(strong),
    )


def mark(name: str, until: float) -> str:
    """The role that says that we keep `name` out until this wall time."""
    return f"{_MARK}{dt.datetime.fromtimestamp(until, tz=dt.UTC):{_STAMP}}-{name}"


def ends(mark: str) -> float:
    """The wall time that a mark says; the beginning of time where it says none."""
    found = _MARKED.match(mark)
    if found is None:
        return 0.0
    try:
        return dt.datetime.strptime(found[1], _STAMP).replace(tzinfo=dt.UTC).timestamp()
    except ValueError:
        return 0.0


def _commands(role: object) -> bool:
    acls = role.get("acls") if isinstance(role, Mapping) else None
    return any(
        isinstance(acl, Mapping)
        and acl.get("acltype") == "publishClientSend"
        and acl.get("allow") is True
        and str(acl.get("topic")).startswith(_CONTROL)
        for acl in (acls if isinstance(acls, list) else ())
    )


def _names(told: object, what: str) -> list[str]:
    """The names in a list of roles or groups of something."""
    found = told.get(what) if isinstance(told, Mapping) else None
    key = {"roles": "rolename", "groups": "groupname"}[what]
    return [_name(each, key) for each in found] if isinstance(found, list) else []


def _name(told: object, key: str) -> str:
    return str(told.get(key, "")) if isinstance(told, Mapping) else ""
