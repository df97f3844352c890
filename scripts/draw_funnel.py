"""Count and draw what became of the threads that were found, beside how complete each query is."""

from pathlib import Path

from attention_faults import job
from attention_faults.mining import funnel
from attention_faults.reporting import figures, tables

job.log_to(snakemake.log[0])
queries = funnel.completeness([Path(path) for path in snakemake.input.queries])
note = funnel.note(queries)
counts = funnel.count(Path(snakemake.input.candidates), Path(snakemake.input.drawn))
tables.write(queries, snakemake.output.queries, title="How complete each query is", note=note)
tables.write(counts, snakemake.output.funnel, title="From threads found to threads to label", note=note)
figures.save(figures.funnel_bars(counts, note), snakemake.output.funnel_bars)
