"""Measure how many labels appear as records are added, and estimate how many there are."""

from pathlib import Path

from attention_faults import job
from attention_faults.labelling import saturation
from attention_faults.reporting import figures, tables
from attention_faults.taxonomy import codebook, dataset

job.log_to(snakemake.log[0])
records = dataset.read(Path(snakemake.input.records), codebook.load(snakemake.input.codebook))
facets = ["category", "root_cause", "symptom"]
level, note = snakemake.params.level, snakemake.params.note
curves = saturation.accumulation_of(
    records, facets, orders=snakemake.params.orders, level=level, seed=snakemake.params.seed
)
richness = saturation.richness(records, facets, level)
tables.write(richness, snakemake.output.saturation, title="Labels seen, and estimated in all", note=note)
tables.write(curves, snakemake.output.accumulation, title="Labels seen among the first records", note=note)
figures.save(figures.accumulation_curves(curves, richness, note), snakemake.output.accumulation_curve)
