"""Draw the taxonomy, the shares of its labels, and where symptoms lead."""

from pathlib import Path

from attention_faults import job
from attention_faults.reporting import figures, tables
from attention_faults.taxonomy import codebook, dataset

job.log_to(snakemake.log[0])
book = codebook.load(snakemake.input.codebook)
records = dataset.read(Path(snakemake.input.records), book)
prevalence = tables.read(snakemake.input.prevalence)
note = snakemake.params.note
figures.save(figures.taxonomy_tree(prevalence, book, note), snakemake.output.taxonomy_tree)
figures.save(figures.label_bars(prevalence, "category", note), snakemake.output.category_shares)
figures.save(figures.label_bars(prevalence, "root_cause", note), snakemake.output.root_cause_shares)
figures.save(figures.alluvial(records, "symptom", "category", note), snakemake.output.symptom_to_category)
