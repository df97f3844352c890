"""Draw what each fault costs, and how many mutants of each category are killed."""

from attention_faults import job
from attention_faults.faults import mutants
from attention_faults.reporting import figures, tables

job.log_to(snakemake.log[0])
note = snakemake.params.note
screened, scores, runs = (
    tables.read(snakemake.input[name]) for name in ("mutants", "mutation_scores", "runs")
)
figures.save(
    figures.accuracy_drops(screened, mutants.paired_drops(runs), note), snakemake.output.accuracy_drops
)
figures.save(figures.mutation_score_bars(scores, note), snakemake.output.mutation_score_by_category)
