"""Draw how much heuristics explain, in sample, out of sample and by chance."""

from pathlib import Path

from attention_faults import job
from attention_faults.reporting import figures, tables
from attention_faults.taxonomy import claims

job.log_to(snakemake.log[0])
published = claims.load(Path(snakemake.input.claims)).set_index("id")["value"]["heuristic_coverage"]
grid, summary = tables.read(snakemake.input.grid), tables.read(snakemake.input.summary)
figure = figures.heuristics_coverage(grid, summary, published, snakemake.params.note)
figures.save(figure, snakemake.output.heuristics_coverage)
