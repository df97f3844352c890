"""Draw what each fault of a model costs."""

from attention_faults import job
from attention_faults.faults import mutants
from attention_faults.reporting import figures, tables

job.log_to(snakemake.log[0])
model = snakemake.wildcards.model
screened, runs = (tables.read(snakemake.input[name]) for name in ("mutants", "runs"))
drops = mutants.paired_drops(runs)
figures.save(
    figures.accuracy_drops(
        screened[screened["model"] == model], drops[drops["model"] == model], model, snakemake.params.note
    ),
    snakemake.output[0],
)
