"""What matters most of the findings, in a few lines, for an agent's start."""

from mqtt_ids.doctor.advice import gaps
from mqtt_ids.doctor.findings import Findings, Sight

__all__ = ["brief", "sources"]


def sources(findings: Findings) -> list[str]:
    """What is seen, and where."""
    told = []
    if findings.log is not None and findings.log.sight.anything:
        told.append(f"the log file shows {shows(findings.log.sight)}")
    if findings.topics is not None and findings.topics.anything:
        told.append(f"the log topics show {shows(findings.topics)}")
    if findings.properties:
        told.append("messages name their publisher")
    return told


def shows(sight: Sight) -> str:
    """What a log shows, in words."""
    parts = [
        name
        for name, is_there in (
            ("connections", sight.connects),
            ("subscriptions", sight.subscriptions),
            ("packets", sight.packets),
        )
        if is_there
    ]
    if len(parts) > 1:
        parts[-2:] = [" and ".join(parts[-2:])]
    return ", ".join(parts) or "nothing"


def brief(findings: Findings) -> list[str]:
    """A line for what is seen, one for each gap with the first of its costs, one for more."""
    told = sources(findings)
    lines = [f"{findings.broker}: {'; '.join(told)}"] if told else []
    found = gaps(findings)
    lines += [": ".join((gap.text, *gap.costs[:1])) for gap in found]
    if found:
        lines.append("mqtt-ids doctor says how to close what is missing")
    return lines
