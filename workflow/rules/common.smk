# The checked configuration, and what rules of several files need of it.

import hashlib
import re
from pathlib import Path
from urllib.parse import urlsplit

from snakemake.exceptions import WorkflowError

import attention_faults
from attention_faults import job, settings, study
from attention_faults.errors import InputError
from attention_faults.faults import campaign
from attention_faults.taxonomy import register
from attention_faults.taxonomy.schema import Schema

HOME = Path(workflow.basedir)
job.share_package()


def shipped(path):
    """A file of the working directory, else the one that comes with the project."""
    return str(path) if Path(path).exists() else str(HOME / path)


try:
    STUDY = study.load(config)
    config.update(STUDY.model_dump(mode="json"))  # `--config` leaves nested numbers as text
    REGISTERED = register.load([Path(shipped(path)) for path in STUDY.registers])
    DATASETS = {entry.name: entry for entry in register.select(REGISTERED, STUDY.datasets)}
    PLANNED = campaign.plan(STUDY.models, STUDY.curvature, STUDY.seed)
    SERIES = {(series.model, series.name): series for series in PLANNED}
    FAULTS_PLANNED = any(series.kind == campaign.FAULTY for series in PLANNED)
    if FAULTS_PLANNED:
        campaign.check_example(STUDY.localisation.example, PLANNED)
    SCHEMAS = {name: settings.read(Schema, entry.schema) for name, entry in DATASETS.items()}
except InputError as error:
    raise WorkflowError(str(error)) from None


def code_of(*parts):
    """A checksum of rooms or files of the package: as a parameter of a rule, changed code reruns what it made."""
    checksum = hashlib.sha256()
    for part in parts:
        place = Path(attention_faults.__path__[0], part)
        for source in [place] if place.is_file() else sorted(place.rglob("*.py")):
            checksum.update(source.read_bytes())
    return checksum.hexdigest()[:16]


CODE = code_of("taxonomy", "labelling", "reporting")
MODEL_CODE = code_of("subjects", "faults")
MEASURING = [f"localisation/{part}" for part in ("metrics", "metric.py", "measurement.py")]
PROFILE_CODE = code_of("subjects", "faults", "curvature", *MEASURING)
VERDICT_CODE = code_of("localisation", "faults/mutants.py")

CURVATURE = "results/curvature"
RATED = [name for name, entry in DATASETS.items() if entry.ratings]
# a table goes to programs, people and papers; a figure to the screen, the web and print
TABLE_FORMATS = [".csv", ".html", ".tex"]
FIGURE_FORMATS = [".png", ".svg", ".pdf"]


def table(name, category, home="results/{dataset}"):
    """Outputs of one table: `name` is the CSV; its HTML twin is what the report shows."""
    stem = f"{home}/tables/{name}"
    shown = report(
        f"{stem}.html",
        category=category,
        caption=f"../report/{name}.rst",
        labels={"result": name.replace("_", " ") + ", table"},
    )
    return {name: f"{stem}.csv", f"{name}_html": shown, f"{name}_tex": f"{stem}.tex"}


def figure(name, category, home="results/{dataset}", caption=None):
    """Outputs of one figure: `name` is the PNG, which the report shows."""
    stem = f"{home}/figures/{name}"
    shown = report(
        f"{stem}.png",
        category=category,
        caption=f"../report/{caption or name}.rst",
        labels={"result": name.replace("_", " ") + ", figure"},
    )
    return {name: shown, f"{name}_svg": f"{stem}.svg", f"{name}_pdf": f"{stem}.pdf"}


def note_of(dataset):
    """What a reader must know beside every number of a dataset."""
    synthetic = "SYNTHETIC DATA. " if DATASETS[dataset].synthetic else ""
    return synthetic + SCHEMAS[dataset].note


def note(wildcards):
    return note_of(wildcards.dataset)


def described(wildcards):
    """What provenance says of a dataset, in plain values: Snakemake compares no others."""
    entry = DATASETS[wildcards.dataset]
    return {name: getattr(entry, name) for name in ("name", "version", "licence", "population", "synthetic")}


def records_file(wildcards):
    entry = DATASETS[wildcards.dataset]
    return (
        f"results/{entry.name}/source/{Path(urlsplit(entry.path).path).name}"
        if entry.is_remote
        else entry.path
    )


def agreement_table(wildcards):
    """Agreement of the ratings, for datasets that have any."""
    return f"results/{wildcards.dataset}/tables/agreement.csv" if wildcards.dataset in RATED else []


TABLES = """
records prevalence scope_by_group association association_cells heuristics heuristics_summary heuristics_grid
heuristics_significance suggestions saturation accumulation claims
""".split()
FIGURES = """
taxonomy_tree category_shares root_cause_shares symptom_to_category symptom_by_root_cause heuristics_coverage
accumulation_curve
""".split()
RATING_TABLES = ["adjudication", "agreement", "confusion"]
RATING_FIGURES = ["agreement_by_facet", "category_confusion"]
COMPARISON = [f"results/compare/tables/datasets{suffix}" for suffix in TABLE_FORMATS]
COMPARISON += [f"results/compare/figures/dataset_shares{suffix}" for suffix in FIGURE_FORMATS]


def tables_of(dataset):
    names = TABLES + (RATING_TABLES if dataset in RATED else [])
    names += ["triage"] if {"observed", "cause"} <= set(SCHEMAS[dataset].columns) else []
    return expand(f"results/{dataset}/tables/{{name}}{{format}}", name=names, format=TABLE_FORMATS)


def figures_of(dataset):
    names = FIGURES + (RATING_FIGURES if dataset in RATED else [])
    names += ["frameworks"] if "framework" in SCHEMAS[dataset].columns else []
    return expand(
        f"results/{dataset}/figures/{{name}}{{format}}",
        name=names,
        format=FIGURE_FORMATS,
    )


def results_of(wildcards):
    return tables_of(wildcards.dataset) + figures_of(wildcards.dataset)


def files_of(rule):
    """Outputs of a rule, wildcards without their constraints."""
    return tuple(re.sub(r"\{(\w+),[^}]*\}", r"{\1}", str(file)) for file in rule.output)


def measured(*variants):
    """What training wrote of all series, and what measuring wrote, by variant; in one order."""
    homes = [f"{CURVATURE}/runs/{model}/{name}" for model, name in SERIES]
    files = {"summaries": [f"{home}/train.json" for home in homes]}
    for variant in variants:
        files[f"{variant}_profiles"] = [f"{home}/profiles/{variant}.parquet" for home in homes]
        files[f"{variant}_outcomes"] = [f"{home}/profiles/{variant}.outcomes.parquet" for home in homes]
    return files
