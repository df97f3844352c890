"""Check the ratings that came back, and put them into one file."""

from pathlib import Path

from attention_faults import job
from attention_faults.labelling import candidates, importing, protocol
from attention_faults.reporting import tables

job.log_to(snakemake.log[0])
study = protocol.load(Path(snakemake.input.study))
returned = importing.read(Path(path) for path in snakemake.input.returned)
threads = candidates.read(study.candidates, study.columns)
tables.write_csv(importing.check(returned, study, threads), snakemake.output[0])
