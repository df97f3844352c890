"""Set published claims of the curvature study beside our values."""

from pathlib import Path

from attention_faults import job
from attention_faults.localisation import verdict
from attention_faults.reporting import tables
from attention_faults.taxonomy import claims

job.log_to(snakemake.log[0])
published = claims.load(Path(snakemake.input.claims))
tables.write(
    claims.judge(
        published[published["study"] == "curvature"],
        verdict.quantities(tables.read(snakemake.input.verdict)),
        "independent",
    ),
    snakemake.output.claims,
    title="Published claims and our values",
    note=snakemake.params.note,
)
