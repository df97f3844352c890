"""Judge which mutants show in the task metric, beside the clean runs."""

from pathlib import Path

from attention_faults import job
from attention_faults.faults import execution, mutants, operator
from attention_faults.reporting import tables

job.log_to(snakemake.log[0])
note = snakemake.params.note
runs = execution.read_runs(map(Path, snakemake.input))
screened = mutants.screen(mutants.paired_drops(runs))
screened.insert(0, "category", [operator.catalogue()[name].category for name in screened["operator"]])
scores = mutants.mutation_scores(screened, mutants.false_kill_rates(runs, snakemake.params.seed))
tables.write(runs, snakemake.output.runs, title="Every training run", note=note)
tables.write(
    mutants.clean_table(runs),
    snakemake.output.clean_accuracies,
    title="Accuracy of the clean models",
    note=note,
)
tables.write(screened, snakemake.output.mutants, title="Verdict on every mutant", note=note)
tables.write(
    screened[screened["verdict"] == mutants.SURVIVING],
    snakemake.output.surviving_mutants,
    title="Silent faults: mutants that the task metric does not show",
    note=note,
)
tables.write(scores, snakemake.output.mutation_scores, title="Mutation scores", note=note)
