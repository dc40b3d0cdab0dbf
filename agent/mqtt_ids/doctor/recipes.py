"""Configuration that closes a gap, step by step, to be copied as it stands.

Paths are Debian's. Where a step may not fit as it is, a `#` line in it says so.
"""

import shlex
from pathlib import PurePath
from typing import Final, Literal

import msgspec

from mqtt_ids.doctor.findings import Findings

__all__ = [
    "Step",
    "access_rules",
    "dynamic_role",
    "every_line",
    "log_to_file",
    "readable",
    "rerun",
    "reserved",
    "rotated",
]

LOG: Final = "/var/log/mosquitto/mosquitto.log"
CONF: Final = "/etc/mosquitto/conf.d/mqtt-ids.conf"
ACL: Final = "/etc/mosquitto/acl"
PASSWORDS: Final = "/etc/mosquitto/passwd"
PID: Final = "/run/mosquitto/mosquitto.pid"  # as Debian's configuration names it
ROTATION: Final = "/etc/logrotate.d/mosquitto"  # takes the place of Debian's own
OFTEN: Final = "/etc/cron.d/mosquitto-log"
FILES: Final = "/etc/tmpfiles.d/mosquitto-log.conf"
BROKER: Final = "mosquitto"  # its user and group
READERS: Final = "mosquitto-log"  # the group of those who may read the log
USER: Final = "ids"
ROLE: Final = "mqtt-ids"
OTHERS: Final = "not-mqtt-ids"  # the role of those who must not use our topics
RESTART: Final = "sudo systemctl restart mosquitto"
_NOT_ITS_OWN: Final = frozenset({"log", "var", "tmp", "home", "root", "etc", ""})


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to do: `lines` are the whole of a file, or what to add to one, or commands.

    `when` says in which case, where that could not be found out.
    """

    do: Literal["write", "add", "run", "read"]
    where: str | None = None
    when: str | None = None
    lines: tuple[str, ...]


def log_to_file(findings: Findings, path: str | None = None) -> tuple[Step, ...]:
    """A log with everything in it, in memory, bounded, and readable for us."""
    path = path or LOG
    return (
        Step(
            do="add",
            where=CONF,
            lines=(
                "# without log_dest, if mosquitto.conf has a `log_dest file` of its own",
                f"log_dest file {path}",
                "log_type all",
                "connection_messages true",
            ),
        ),
        *_in_memory(path),
        *_rotation(path),
        *_permission(path, findings, mount=_is_its_own(path)),
        rerun(findings, path),
        Step(
            do="add",
            where=CONF,
            when="where no file can be shared, such as with Home Assistant's app, instead",
            lines=("log_dest topic", "log_type all"),
        ),
    )


def every_line(path: str, findings: Findings) -> tuple[Step, ...]:
    """More lines in the log that there is; many more, so that it needs a bound."""
    lines = ("log_type all", "connection_messages true")
    return (Step(do="add", where=CONF, lines=lines), *rotated(path, findings))


def rotated(path: str, findings: Findings) -> tuple[Step, ...]:
    """Bounded, and in memory."""
    return (
        *_in_memory(path),
        *_rotation(path),
        *_permission(path, findings, mount=_is_its_own(path)),
    )


def readable(path: str, findings: Findings) -> tuple[Step, ...]:
    """Open to us, and still so after a rotation."""
    return (*_rotation(path), *_permission(path, findings, mount=False))


def rerun(findings: Findings, path: str) -> Step:
    """See whether it worked."""
    broker = shlex.quote(findings.broker)
    return Step(do="run", lines=(f"mqtt-ids doctor --broker {broker} --log {shlex.quote(path)}",))


def _in_memory(path: str) -> tuple[Step, ...]:
    """A tmpfs, where the folder is the log's own: an SD card wears, and a flood fills it."""
    if not _is_its_own(path):
        return ()
    folder = PurePath(path).parent
    options = f"size=64m,mode=0755,uid={BROKER},gid={BROKER},nosuid,nodev,noexec"
    return (Step(do="add", where="/etc/fstab", lines=(f"tmpfs {folder} tmpfs {options} 0 0",)),)


def _rotation(path: str) -> tuple[Step, ...]:
    """Looked at each five minutes: a debug log grows by about 110 bytes a message."""
    rotate = (
        f"{path} {{",
        "    size 8M",
        "    rotate 1",
        "    missingok",
        "    nocompress",
        f"    create 0640 {BROKER} {READERS}",
        "    postrotate",
        f'        kill -HUP "$(cat {PID})"',
        "    endscript",
        "}",
    )
    often = f"*/5 * * * * root /usr/sbin/logrotate --state /run/mosquitto-log.state {ROTATION}"
    return (
        Step(do="write", where=ROTATION, lines=rotate),
        Step(do="write", where=OFTEN, lines=(often,)),
    )


def _permission(path: str, findings: Findings, *, mount: bool) -> tuple[Step, ...]:
    folder = PurePath(path).parent
    lines = [f"f {path} 0640 {BROKER} {READERS} -"]
    if _is_its_own(path):
        lines.insert(0, f"d {folder} 0755 {BROKER} {BROKER} -")
    user = None if findings.log is None else findings.log.user
    commands = [f"sudo groupadd -f -r {READERS}"]
    if user is not None and user != "root":
        commands.append(f"sudo usermod -aG {READERS} {shlex.quote(user)}")
        commands.append(f"# in a systemd unit instead: SupplementaryGroups={READERS}")
    if mount:
        commands.append(f"sudo install -d {folder}")
        commands.append(f"sudo mount {folder}")
    commands.append(f"sudo systemd-tmpfiles --create {FILES}")
    commands.append(RESTART)
    return (
        Step(do="write", where=FILES, lines=tuple(lines)),
        Step(do="run", lines=tuple(commands)),
    )


def _is_its_own(path: str) -> bool:
    """Whether the folder is there for the log alone, as far as its name tells."""
    return PurePath(path).parent.name not in _NOT_ITS_OWN


def access_rules(findings: Findings) -> tuple[Step, ...]:
    """Ours is $ids/…, and everybody keeps what they had; by an acl_file."""
    user = findings.username or USER
    rules = (
        "# everybody: all topics but those that begin with $",
        "pattern readwrite #",
        "# the agent",
        f"user {user}",
        "topic readwrite $ids/#",
        "topic read $SYS/#",
        "# whoever shows alerts, such as Home Assistant",
        "user homeassistant",
        "topic read $ids/#",
    )
    conf = [f"acl_file {ACL}"]
    commands = []
    if findings.username is None:
        conf.append(f"password_file {PASSWORDS}")
        commands += [f"sudo touch {PASSWORDS}", f"sudo mosquitto_passwd {PASSWORDS} {user}"]
    secret = f"{ACL} {PASSWORDS}" if findings.username is None else ACL
    commands += [f"sudo chgrp {BROKER} {secret}", f"sudo chmod 640 {secret}", RESTART]
    return (
        Step(do="add", where=ACL, when=_case(findings), lines=rules),
        Step(
            do="add",
            where=CONF,
            lines=("# unless mosquitto.conf names such files already", *conf),
        ),
        Step(do="run", lines=tuple(commands)),
    )


def dynamic_role(findings: Findings) -> tuple[Step, ...]:
    """The same by dynamic security, with the right to ask it to act."""
    user = shlex.quote(findings.username or USER)
    ctrl = _ctrl(findings)
    rules = (
        ("publishClientSend", "$ids/#"),
        ("publishClientSend", "homeassistant/#"),
        ("publishClientSend", "$CONTROL/dynamic-security/v1"),
        ("subscribePattern", "$CONTROL/dynamic-security/v1/response"),
        ("publishClientReceive", "$CONTROL/dynamic-security/v1/response"),
        ("subscribePattern", "$SYS/#"),
        ("subscribePattern", "$ids/#"),
        ("subscribePattern", "#"),
    )
    commands = [f"{ctrl} createRole {ROLE}"]
    commands += [f"{ctrl} addRoleACL {ROLE} {kind} '{topic}' allow" for kind, topic in rules]
    if findings.username is None:
        commands.append(f"{ctrl} createClient {user}")
    commands.append(f"{ctrl} addClientRole {user} {ROLE}")
    return (Step(do="run", when=_with_dynamic_security(findings), lines=tuple(commands)),)


def reserved(findings: Findings) -> tuple[Step, ...]:
    """By dynamic security: nothing on $ids/… for clients without a user; the rest as it was."""
    ctrl, group = _ctrl(findings), findings.anonymous_group
    commands = [
        f"{ctrl} createRole {OTHERS}",
        f"{ctrl} addRoleACL {OTHERS} publishClientSend '$ids/#' deny",
        f"{ctrl} addRoleACL {OTHERS} publishClientReceive '$ids/#' deny",
    ]
    if group is None:
        group = "strangers"
        commands += [f"{ctrl} createGroup {group}", f"{ctrl} setAnonymousGroup {group}"]
    commands += [
        f"{ctrl} addGroupRole {shlex.quote(group)} {OTHERS} 1000",
        f"# and for a user that must not, either: {ctrl} addClientRole USER {OTHERS} 1000",
    ]
    return (Step(do="run", when=_with_dynamic_security(findings), lines=tuple(commands)),)


def _ctrl(findings: Findings) -> str:
    host, port = findings.address
    return f"mosquitto_ctrl -h {host} -p {port} -u admin dynsec"


def _with_dynamic_security(findings: Findings) -> str | None:
    return None if findings.dynamic_security == "answers" else "where dynamic security is loaded"


def _case(findings: Findings) -> str | None:
    return None if findings.dynamic_security == "absent" else "where an acl_file is used"
