"""Mine, select and validate diagnostic heuristics of one dataset."""

from pathlib import Path

from attention_faults import job
from attention_faults.reporting import tables
from attention_faults.taxonomy import codebook, dataset, heuristics

job.log_to(snakemake.log[0])
records = dataset.read(Path(snakemake.input.records), codebook.load(snakemake.input.codebook))
thresholds = heuristics.Thresholds(**snakemake.params.heuristics)
result = heuristics.derive(records, thresholds, **snakemake.params.interval, seed=snakemake.params.seed)
tables.write(
    result.rules,
    snakemake.output.heuristics,
    title="Diagnostic heuristics",
    note=snakemake.params.note,
)
tables.write(
    result.summary,
    snakemake.output.heuristics_summary,
    title="How much the heuristics explain, and how much of it is real",
    note=snakemake.params.note,
)
tables.write(
    result.grid,
    snakemake.output.heuristics_grid,
    title="Coverage for every choice of thresholds",
    note=snakemake.params.note,
)
tables.write(
    result.significance,
    snakemake.output.heuristics_significance,
    title="Significance of every rule with a frequent antecedent",
    note=snakemake.params.note,
)
