"""Test the association of what is observed with what is at fault."""

from pathlib import Path

from attention_faults import job
from attention_faults.reporting import tables
from attention_faults.taxonomy import association, codebook, dataset

job.log_to(snakemake.log[0])
records = dataset.read(Path(snakemake.input.records), codebook.load(snakemake.input.codebook))
tests, cells = association.measure(
    records, **snakemake.params.association, level=snakemake.params.level, seed=snakemake.params.seed
)
tables.write(
    tests,
    snakemake.output.association,
    title="Association of facets with causes",
    note=snakemake.params.note,
)
tables.write(
    cells,
    snakemake.output.association_cells,
    title="Association of single labels with single causes",
    note=snakemake.params.note,
)
