"""Event logs as Parquet, for data frames: one row an event, and one column for each field.

Needs pyarrow, which the extra `parquet` brings. A field that a kind of event does not have is
null in its row. The code of a DISCONNECT is in `reason_code`, the words of a malformed packet in
`reason`.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, get_args

import msgspec

from mqtt_ids.errors import CaptureError
from mqtt_ids.events import AnyEvent, Disconnected
from mqtt_ids.sources.event_log import FARTHEST, Header, checked, misplaced

ROWS: Final = 8_192  # held before they are written, and read at a time
_HEADER: Final = b"mqtt-ids"  # the key of our header in the file's metadata
_COLUMNS: Final = {
    "time": "float64",
    "kind": "word",
    "connection": "int64",
    "address": "word",
    "port": "int32",
    "client_id": "string",
    "username": "string",
    "keep_alive": "int32",
    "clean_session": "bool",
    "version": "int16",
    "will_topic": "string",
    "id_was_empty": "bool",
    "code": "int16",
    "credential": "int64",
    "topic": "string",
    "size": "int64",
    "qos": "int8",
    "retain": "bool",
    "filters": "words",
    "reason": "string",
    "reason_code": "int16",
    "by": "word",
}
# For each kind, its class, its fields, and the columns that hold them.
_FIELDS: Final = {
    kind.__struct_config__.tag: (
        kind,
        [
            (name, "reason_code" if (kind, name) == (Disconnected, "reason") else name)
            for name in kind.__struct_fields__
        ],
    )
    for kind in get_args(AnyEvent)
}


class Table:
    """The form of Parquet. Rows are written in groups; at most one is held."""

    def __init__(self, path: Path, header: Header) -> None:
        self._arrow, parquet = pyarrow()
        self._schema = _schema(self._arrow).with_metadata({_HEADER: msgspec.json.encode(header)})
        self._stream = path.open("wb")  # not by its name, which may be no UTF-8
        self._file = parquet.ParquetWriter(self._stream, self._schema, compression="zstd")
        self._rows: list[dict[str, Any]] = []

    def write(self, event: AnyEvent) -> None:
        """Add an event."""
        row = msgspec.to_builtins(event)
        if isinstance(event, Disconnected):
            row["reason_code"] = row.pop("reason")
        self._rows.append(row)
        if len(self._rows) >= ROWS:
            self._flush()

    def close(self) -> None:
        """All events are written. The file is closed even where that raises."""
        with self._stream as stream:
            self._flush()
            self._file.close()
            stream.flush()
            os.fsync(stream.fileno())

    def _flush(self) -> None:
        if self._rows:
            group = self._arrow.Table.from_pylist(self._rows, schema=self._schema)
            self._file.write_table(group)
            self._rows.clear()


def read_table(path: Path, name: str) -> tuple[Header, Iterator[AnyEvent]]:
    """The header and the events of a log in Parquet.

    Raises CaptureError, here for what is no log, and after the events that can be read for a row
    that is damaged.
    """
    arrow, parquet = pyarrow()
    try:
        file = parquet.ParquetFile(path.open("rb"))  # not by its name, which may be no UTF-8
        header = msgspec.json.decode((file.metadata.metadata or {})[_HEADER], type=Header)
        if not file.schema_arrow.equals(_schema(arrow)):
            raise ValueError("other columns")  # noqa: TRY301 - one way out
        return checked(header), _events(file, name, arrow.ArrowException)
    except (arrow.ArrowException, OSError) as error:
        raise CaptureError(f"{name}: not a whole Parquet file ({_line(error)})") from None
    except (KeyError, msgspec.DecodeError, ValueError):
        raise CaptureError(f"{name}: a Parquet file, but not an event log of mqtt-ids") from None


def _events(file: Any, name: str, fault: type[Exception]) -> Iterator[AnyEvent]:  # noqa: ANN401 - pyarrow has no types
    number, before = 0, -FARTHEST
    try:
        for batch in file.iter_batches(batch_size=ROWS):
            columns = batch.to_pydict()
            for place, kind in enumerate(columns["kind"]):
                number += 1
                event = _event(kind, columns, place)
                if not before <= event.time <= FARTHEST:
                    raise ValueError(misplaced(event.time))  # noqa: TRY301 - one way out
                before = event.time
                yield event
    except (fault, OSError, ValueError) as error:  # msgspec's errors are ValueErrors
        raise CaptureError(f"{name}: row {number} is damaged ({_line(error)})") from None


def _event(kind: str, columns: dict[str, list[Any]], place: int) -> AnyEvent:
    if kind not in _FIELDS:
        raise ValueError(f"there is no event of the kind {kind!r}")
    cls, fields = _FIELDS[kind]
    known = {"kind": kind}
    for field, column in fields:
        value = columns[column][place]
        if value is not None:
            known[field] = value
    event: AnyEvent = msgspec.convert(known, cls)
    return event


def _schema(arrow: Any) -> Any:  # noqa: ANN401 - pyarrow has no types
    """The columns. Words that come again and again are kept once."""
    kinds = {
        "word": arrow.dictionary(arrow.int32(), arrow.string()),
        "words": arrow.list_(arrow.string()),
    }
    return arrow.schema(
        [(name, kinds.get(kind) or arrow.type_for_alias(kind)) for name, kind in _COLUMNS.items()]
    )


def pyarrow() -> tuple[Any, Any]:
    """The modules pyarrow and pyarrow.parquet. Raises CaptureError where there are none."""
    try:
        import pyarrow as pa  # noqa: PLC0415 - an extra
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError:
        raise CaptureError(
            "Parquet needs pyarrow; install it with: pip install 'mqtt-ids[parquet]'"
        ) from None
    return pa, parquet


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
