"""Repeat the endpoint with one choice changed at a time, and with blocks at fault drawn at random."""

from attention_faults import job
from attention_faults.localisation import evidence, robustness
from attention_faults.reporting import tables

job.log_to(snakemake.log[0])
measured = {
    (variant, stage): evidence.read(evidence.files(snakemake.input, variant), stage)
    for variant in snakemake.params.variants
    for stage in snakemake.params.stages
}
main = measured[snakemake.params.main]
level, seed = snakemake.params.level, snakemake.params.seed
tables.write(
    robustness.vary(measured, snakemake.params.main, draws=snakemake.params.draws, level=level, seed=seed),
    snakemake.output.robustness,
    title="The endpoint with one choice changed at a time",
    note=snakemake.params.note,
)
tables.write(
    robustness.control(main, seed=seed),
    snakemake.output.negative_control,
    title="Negative control: blocks at fault drawn at random",
    note=snakemake.params.note,
)
