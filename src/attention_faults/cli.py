"""Command line: check a fault dataset, look up what faults tend to be, and mine new ones."""

import logging
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from attention_faults import settings
from attention_faults.errors import InputError
from attention_faults.mining import hydrate as hydration
from attention_faults.mining import mine as miner
from attention_faults.mining import queries
from attention_faults.mining.thread import Source
from attention_faults.mining.transport import SourceError
from attention_faults.taxonomy import codebook, dataset, register, suggestion
from attention_faults.taxonomy.schema import Schema

DATA = Path(__file__).parents[2] / "data"
STUDY = DATA.parent / "config.yaml"

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


Anonymous = Annotated[bool, typer.Option("--anonymous", help="Go on without the tokens that are missing.")]
Overlay = Annotated[
    Path | None, typer.Option("--config", help="Study whose keys override those of the default one.")
]


@app.command()
def mine(
    config: Overlay = None,
    source: Annotated[Source | None, typer.Option(help="Only this source.")] = None,
    anonymous: Anonymous = False,
    refresh_before: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="Ask again for pages fetched before this day, UTC."),
    ] = None,
) -> None:
    """Fetch the threads of a study into the raw archive; what is there already is not fetched again."""
    mining = queries.read(STUDY, config)
    chosen = [source] if source else mining.sources
    asked = {name: miner.ADAPTERS[name].expected(mining) for name in chosen}
    _ask_for_tokens(asked, "the configured queries", anonymous=anonymous)
    before = refresh_before.replace(tzinfo=UTC) if refresh_before else None
    problems: list[str] = []
    for name in chosen:
        try:
            outcomes = miner.fetch(mining, name, before)
        except SourceError as error:
            problems += error.problems
        else:
            typer.echo(f"{name}: {miner.summary(outcomes)}")
    if problems:
        raise SourceError(problems)


@app.command()
def hydrate(
    records: Annotated[Path, typer.Argument(help="CSV with a column `url`.")],
    folder: Annotated[Path, typer.Option("--to", help="Where threads.parquet and addresses.csv go.")] = Path(
        "results/hydrated"
    ),
    config: Overlay = None,
    anonymous: Anonymous = False,
) -> None:
    """Fetch the threads of a fault dataset's addresses into the raw archive; list those that are gone."""
    mining = queries.read(STUDY, config)
    urls = hydration.read_urls(records)
    _ask_for_tokens(hydration.expected(urls), "these threads", anonymous=anonymous)
    addresses = hydration.hydrate(urls, mining.archive, folder)
    threads = {address.thread for address in addresses if address.thread}
    missing = sum(address.thread is None for address in addresses)
    typer.echo(f"{len(threads)} threads are in {folder / 'threads.parquet'}.")
    if missing:
        typer.echo(f"{missing} addresses gave none; {folder / 'addresses.csv'} says why.")


def _ask_for_tokens(asked: Mapping[Source, Mapping[str, int]], what: str, *, anonymous: bool) -> None:
    """Say what each source allows without a token; that takes its time, so go on only if told to."""
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    lines = [line for name, requests in asked.items() if (line := miner.allowance(name, requests, what))]
    typer.echo("".join(f"{line}\n" for line in lines), nl=False, err=True)
    services = [miner.ADAPTERS[name].SERVICE for name in asked]
    lacking = [
        str(service.variable) for service in services if service.variable and not miner.token_of(service)
    ]
    if lacking and not anonymous:
        raise InputError(f"set {', '.join(lacking)} in the environment, or go on with --anonymous")


def _line(row: Any) -> str:
    interval = f"({row.low:.0%} to {row.high:.0%})"
    counts = f"{row.count} of {row.matching}"
    return f"  {row.label:32}{row.probability:4.0%} {interval:15} lift {row.lift:4.1f}  {counts}"
