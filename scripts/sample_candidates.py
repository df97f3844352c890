"""Draw the candidates that are to be labelled, and say how well a share will be known."""

from pathlib import Path

from attention_faults import job, settings
from attention_faults.mining import funnel, sampling
from attention_faults.mining.criteria import Sample
from attention_faults.reporting import tables

job.log_to(snakemake.log[0])
sample = settings.parse(Sample, snakemake.params.sample, "configuration")
candidates = Path(snakemake.input.candidates)
drawn = sampling.draw(candidates, Path(snakemake.output.drawn), sample, snakemake.params.seed)
print(drawn.to_string(index=False))
tables.write(
    drawn,
    snakemake.output.sample,
    title=f"Sample for labelling: a margin of {sample.margin:.1%} at a level of {sample.level:.0%}",
    note=funnel.note(funnel.completeness([Path(path) for path in snakemake.input.queries])),
)
