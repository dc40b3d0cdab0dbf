"""A configuration file as YAML has it: a mapping, unchecked, and every mistake in one line."""

from collections.abc import Hashable
from pathlib import Path
from typing import Any, Final, cast

import yaml

from mqtt_ids.errors import SettingsError

__all__ = ["read_yaml"]

FILE_LIMIT: Final = 262_144  # bytes; the fully commented example has 5 kB


def read_yaml(file: Path) -> dict[str, object]:
    """What a YAML file holds, unchecked, as a mapping. Raises SettingsError."""
    try:
        with file.open("rb") as stream:
            data = stream.read(FILE_LIMIT + 1)
    except OSError as error:
        raise SettingsError(f"{file}: cannot be read: {error.strerror}") from None
    if len(data) > FILE_LIMIT:
        raise SettingsError(f"{file}: larger than {FILE_LIMIT} bytes: this is no configuration")
    try:
        # A subclass of SafeLoader that only adds the check for repeated keys.
        content = yaml.load(data, Loader=_Loader)  # noqa: S506
    except yaml.YAMLError as error:
        raise SettingsError(f"{file}: not valid YAML: {_one_line(error)}") from None
    except (RecursionError, ValueError):
        raise SettingsError(f"{file}: not valid YAML: nested too deep, or no text") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise SettingsError(f"{file}: expected keys such as `mode: observe`")
    return cast("dict[str, object]", content)


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, which refuses a key that is given twice instead of taking the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002 - the signature is yaml's
        seen: set[str] = set()
        names = [key for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        for key in names:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key.value!r} is given twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep=deep)


def _one_line(error: yaml.YAMLError) -> str:
    """What is wrong and where. The offending line is left out: it may hold a secret."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return "it holds characters that YAML does not allow"
    mark = error.problem_mark
    return f"line {mark.line + 1}, column {mark.column + 1}: {error.problem}"
