"""What a running agent says of what it sees, once it has looked for some seconds."""

from mqtt_ids.doctor.brief import brief
from mqtt_ids.doctor.findings import Findings, LogFile, Sight
from mqtt_ids.settings import Settings
from mqtt_ids.sidecar.sources import Sources
from mqtt_ids.uplink.access import Access

__all__ = ["briefing"]


def briefing(sources: Sources, settings: Settings, access: Access) -> list[str]:
    """The doctor's short form, of what the sources have shown so far."""
    return brief(
        Findings(
            broker=repr(access),
            address=access.address,
            username=access.username,
            mode=settings.mode,
            topics=Sight(
                connects=sources.topics_speak,
                subscriptions=sources.topics_speak and sources.shows_subscriptions,
            ),
            log=_log_file(sources, settings),
            properties=sources.names_publishers or None,
        )
    )


def _log_file(sources: Sources, settings: Settings) -> LogFile | None:
    if settings.log is None:
        return None
    sight = Sight(
        connects=sources.file_speaks,
        subscriptions=sources.file_speaks and sources.shows_subscriptions,
        packets=sources.has_debug_lines,
    )
    return LogFile(
        path=str(settings.log), state="read" if sources.file_speaks else "silent", sight=sight
    )
