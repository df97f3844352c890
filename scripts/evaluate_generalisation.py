"""Train rankers on some faults, and try them on others."""

from attention_faults import job
from attention_faults.faults import operator
from attention_faults.localisation import evidence, learnt
from attention_faults.reporting import tables

job.log_to(snakemake.log[0])
categories = {name: entry.category for name, entry in operator.catalogue().items()}
tables.write(
    learnt.generalise(
        evidence.read(evidence.files(snakemake.input), snakemake.params.stage),
        categories,
        draws=snakemake.params.draws,
        level=snakemake.params.level,
        seed=snakemake.params.seed,
    ),
    snakemake.output.generalisation,
    title="Learnt rankers on faults, categories and models that they have not seen",
    note=snakemake.params.note,
)
