"""Write which rule, script and file measure each published claim."""

from pathlib import Path

from attention_faults import job
from attention_faults.reporting import inventory
from attention_faults.taxonomy import claims

job.log_to(snakemake.log[0])
rules = [inventory.Rule(*rule) for rule in snakemake.params.rules]
inventory.write(Path(snakemake.output[0]), claims.load(Path(snakemake.input.claims)), rules)
