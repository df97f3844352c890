"""Measure on unseen projects whether triage puts attention-specific faults first."""

from pathlib import Path

from attention_faults import job
from attention_faults.labelling import triage, triage_evaluation
from attention_faults.reporting import tables
from attention_faults.taxonomy import codebook, dataset

job.log_to(snakemake.log[0])
book = codebook.load(snakemake.input.codebook)
records = dataset.read(Path(snakemake.input.records), book)
texts = {
    "observed": records["observed"],
    "observed and cause": triage.texts(records["observed"], records["cause"]),
}
quality = triage_evaluation.evaluate(
    records, texts, book, **snakemake.params.triage, **snakemake.params.interval, seed=snakemake.params.seed
)
tables.write(quality, snakemake.output.triage, title="Triage on unseen projects", note=snakemake.params.note)
