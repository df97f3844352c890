"""Write the tasks that are open, for every rater and tool."""

from pathlib import Path

from attention_faults import job
from attention_faults.labelling import candidates, exporting, importing, progress, protocol

job.log_to(snakemake.log[0])
study = protocol.load(Path(snakemake.input.study))
threads = candidates.read(study.candidates, study.columns)
ratings = importing.load(Path(snakemake.input.ratings), study)
phases = list(progress.follow(study, threads, ratings))
for file in exporting.write(progress.tasks(study, threads, phases), study, Path(snakemake.output[0])):
    print(file)
