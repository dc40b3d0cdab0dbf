"""`python -m mqtt_ids.lab FOLDER`: train a model on simulated homes, from a seed."""

from pathlib import Path

import click

from mqtt_ids.lab.schooling import school


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--seed", default=1, show_default=True, help="The same seed gives the same model.")
@click.option("--workers", default=2, show_default=True, help="Processes that simulate homes.")
def main(folder: Path, seed: int, workers: int) -> None:
    """Train a model on simulated homes and write it to FOLDER."""
    school(folder, seed, click.echo, workers)


if __name__ == "__main__":
    main()
