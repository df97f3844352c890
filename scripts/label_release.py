"""Write the dataset of a finished labelling study."""

from pathlib import Path

from attention_faults import job
from attention_faults.labelling import candidates, importing, progress, protocol, release
from attention_faults.taxonomy import agreement

job.log_to(snakemake.log[0])
study = protocol.load(Path(snakemake.input.study))
threads = candidates.read(study.candidates, study.columns)
ratings = importing.load(Path(snakemake.input.ratings), study)
phases = list(progress.follow(study, threads, ratings))
projects = threads.set_index("record_id")["project"]
measured = agreement.measure(ratings, projects, **snakemake.params.interval, seed=snakemake.params.seed)
labels = progress.final_labels(study, ratings, phases)
content = release.of_study(study, threads, phases, ratings, labels, measured)
release.write(content, Path(snakemake.output[0]))
