"""The figures in the README and the docs are those that the evaluation printed."""

from pathlib import Path

from mqtt_ids.models import DEFAULT, open_model
from mqtt_ids_model.card import MODEL_FILE

ROOT = Path(__file__).resolve().parent.parent.parent
BEGIN, END = "<!-- evaluation: begin -->\n", "<!-- evaluation: end -->\n"


def test_the_readme_holds_the_bars_of_the_evaluation_and_nothing_else() -> None:
    between = (ROOT / "README.md").read_text().partition(BEGIN)[2].partition(END)[0]
    rows = [line for line in between.splitlines() if line]
    assert len(rows) > 10
    assert all(row.startswith("|") for row in rows)
    page = (ROOT / "docs/evaluation.md").read_text()
    assert between.strip() in page


def test_no_bar_is_hidden() -> None:
    page = (ROOT / "docs/evaluation.md").read_text()
    assert page.count("| holds |") + page.count("| MISSED |") >= 15


def test_the_page_is_of_the_shipped_model() -> None:
    digest = open_model(DEFAULT).card.sha256[MODEL_FILE]
    assert f"Model `{digest[:12]}`" in (ROOT / "docs/evaluation.md").read_text()
