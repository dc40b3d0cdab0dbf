"""Write the feature table into docs/features.md.

    make venv && .venv/bin/python scripts/feature_doc.py

What stands outside the two markers is written by hand and stays as it is.
"""

from pathlib import Path

from mqtt_ids.features import document

PAGE = Path(__file__).resolve().parent.parent / "docs" / "features.md"
BEGIN, END = "<!-- features: begin -->\n", "<!-- features: end -->\n"


def page(text: str, table: str) -> str:
    """`text` with `table` between its markers. Raises ValueError where one is missing."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the markers {BEGIN!r} and {END!r} are missing")
    return f"{before}{begin}\n{table}\n{end}{after}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(), document()))
