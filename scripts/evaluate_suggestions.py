"""Measure how often suggested categories and root causes are right on unseen projects."""

from pathlib import Path

from attention_faults import job
from attention_faults.reporting import tables
from attention_faults.taxonomy import codebook, dataset, suggestion
from attention_faults.taxonomy.codebook import TAXONOMY_COLUMNS
from attention_faults.taxonomy.itemsets import available_facets

job.log_to(snakemake.log[0])
records = dataset.read(Path(snakemake.input.records), codebook.load(snakemake.input.codebook))
accuracy = suggestion.evaluate(
    records,
    facets=available_facets(records),
    outcomes=TAXONOMY_COLUMNS,
    **snakemake.params.suggestion,
    **snakemake.params.interval,
    seed=snakemake.params.seed,
)
tables.write(
    accuracy,
    snakemake.output.suggestions,
    title="Accuracy of suggestions on unseen projects",
    note=snakemake.params.note,
)
