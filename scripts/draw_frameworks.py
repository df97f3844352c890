"""Draw the categories of the faults of each framework."""

from pathlib import Path

from attention_faults import job
from attention_faults.reporting import figures
from attention_faults.taxonomy import codebook, dataset

job.log_to(snakemake.log[0])
records = dataset.read(Path(snakemake.input.records), codebook.load(snakemake.input.codebook))
counts = records.groupby(["framework", "category"], observed=False).size().reset_index(name="count")
figures.save(figures.framework_stack(counts, snakemake.params.note), snakemake.output.frameworks)
