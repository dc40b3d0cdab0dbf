"""What the docs say of the code is what the code says."""

import importlib.util
import json
from importlib import resources
from pathlib import Path
from types import ModuleType

import jsonschema
import pytest

from mqtt_ids.feature_table import NAMES

ROOT = Path(__file__).resolve().parent.parent
SCHEMA = json.loads((resources.files("mqtt_ids") / "alert.schema.json").read_text())


def generated_docs() -> ModuleType:
    path = ROOT / "scripts/generated_docs.py"
    spec = importlib.util.spec_from_file_location("generated_docs", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_the_docs_say_of_code_and_model_is_up_to_date() -> None:
    script = generated_docs()
    for (name, part), make in script.contents().items():
        text = (ROOT / "docs" / name).read_text()
        assert text == script.page(text, part, make()), "run scripts/generated_docs.py"


def test_the_page_names_each_feature_once() -> None:
    lines = (ROOT / "docs/features.md").read_text().splitlines()
    rows = [line.split("`")[1] for line in lines if line.startswith("| `") and " | " in line]
    assert [row for row in rows if row in NAMES] == list(NAMES)


def test_a_page_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="markers"):
        generated_docs().page("# Features\n", "features", "")


@pytest.mark.parametrize("page", ["README.md", "docs/alerts.md"])
def test_the_alerts_in_the_docs_keep_the_schema(page: str) -> None:
    parts = (ROOT / page).read_text().split("```json\n")[1:]
    assert parts
    for part in parts:
        alert = json.loads(part.partition("```")[0])
        jsonschema.validate(alert, SCHEMA, jsonschema.Draft202012Validator)


def test_the_docs_link_to_files_that_exist() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")]
    broken = [
        f"{page.name}: {target}"
        for page in pages
        for target in _targets(page.read_text())
        if not (page.parent / target).exists()
    ]
    assert broken == []


def _targets(text: str) -> list[str]:
    """The relative paths that a page links to."""
    parts = [part.partition(")")[0] for part in text.split("](")[1:]]
    return [part.partition("#")[0] for part in parts if "://" not in part and part[:1] != "#"]
