"""Command line: check a fault dataset, and look up what a misbehaving model's faults tend to be."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from attention_faults import settings
from attention_faults.errors import InputError
from attention_faults.taxonomy import codebook, dataset, register, suggestion
from attention_faults.taxonomy.schema import Schema

DATA = Path(__file__).parents[2] / "data"

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
Label = Annotated[str | None, typer.Option(help="A label of the codebook.")]


def main() -> None:
    """Run the command line; a user's input error is printed without a traceback."""
    try:
        app()
    except InputError as error:
        sys.exit(str(error))


@app.command()
def validate(
    file: Annotated[Path, typer.Argument(help="Fault records: CSV, Parquet or XLSX.")],
    schema: Annotated[Path, typer.Option(help="Column map of the file (YAML).")] = DATA
    / "faults/github_2026/schema.yaml",
    book: Annotated[Path, typer.Option("--codebook", help="Codebook of its labels (YAML).")] = DATA
    / "codebook.yaml",
) -> None:
    """Check a fault dataset: every bad cell with file, line, column, value and what was expected."""
    records = dataset.load(file, settings.read(Schema, schema), codebook.load(book))
    typer.echo(f"{file}: {len(records)} records of {records['project'].nunique()} projects are valid.")


@app.command()
def suggest(
    symptom: Label = None,
    trigger: Label = None,
    visibility: Label = None,
    stage: Label = None,
    dataset_name: Annotated[
        str, typer.Option("--dataset", help="Name of a dataset in the register.")
    ] = "github_2026",
    register_file: Annotated[Path, typer.Option("--register", help="Register of fault datasets.")] = DATA
    / "datasets.csv",
    top: Annotated[int, typer.Option(min=1, help="How many causes to list.")] = 5,
    prior_weight: Annotated[
        float, typer.Option(help="Weight of the prior, in faults (docs/protocol.md).")
    ] = 5,
    examples: Annotated[int, typer.Option(min=0, help="How many URLs to list for each.")] = 3,
) -> None:
    """Rank the likely categories and root causes of a fault, by what was observed."""
    facets = {"symptom": symptom, "trigger": trigger, "visibility": visibility, "stage": stage}
    observed = {facet: label for facet, label in facets.items() if label is not None}
    entry = register.select(register.load([register_file]), [dataset_name])[0]
    if entry.is_remote:
        raise InputError(f"`{entry.name}` lies at {entry.path}; download it and register the file")
    records = dataset.load(
        Path(entry.path), settings.read(Schema, entry.schema), codebook.load(entry.codebook)
    )
    for outcome in ("category", "root_cause"):
        ranked = suggestion.suggest(
            records,
            observed,
            outcome=outcome,
            prior_weight=prior_weight,
            level=0.95,
            top=top,
            examples=examples,
        )
        typer.echo(f"{outcome}, of {ranked['matching'].iloc[0]} faults with these observations:")
        for row in ranked.itertuples():
            typer.echo(_line(row))
            # one URL a line, unbroken: terminals make it a link
            urls = str(row.example_urls).split("; ")
            typer.echo("".join(f"      {url}\n" for url in urls if url), nl=False)


def _line(row: Any) -> str:
    interval = f"({row.low:.0%} to {row.high:.0%})"
    counts = f"{row.count} of {row.matching}"
    return f"  {row.label:32}{row.probability:4.0%} {interval:15} lift {row.lift:4.1f}  {counts}"
