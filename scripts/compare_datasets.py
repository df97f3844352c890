"""Put all selected datasets side by side."""

from attention_faults import job
from attention_faults.reporting import figures, tables
from attention_faults.taxonomy import comparison

job.log_to(snakemake.log[0])
prevalences = zip(snakemake.params.datasets, map(tables.read, snakemake.input), strict=True)
stacked = comparison.stack(dict(prevalences))
tables.write(
    comparison.side_by_side(stacked),
    snakemake.output.table,
    title="Datasets side by side",
    note=snakemake.params.note,
)
figures.save(figures.dataset_comparison(stacked, snakemake.params.note), snakemake.output.figure)
