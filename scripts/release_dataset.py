"""Release a registered dataset, its labels derived from its own ratings."""

from pathlib import Path

from attention_faults import job, settings
from attention_faults.labelling import adjudication, release
from attention_faults.taxonomy import agreement, codebook, dataset

job.log_to(snakemake.log[0])
book = codebook.load(snakemake.input.codebook)
records = dataset.read(Path(snakemake.input.records), book)
ratings = adjudication.load(Path(snakemake.input.ratings), book, records["record_id"])
projects = records.set_index("record_id")["project"]
measured = agreement.measure(ratings, projects, **snakemake.params.interval, seed=snakemake.params.seed)
described = settings.read(release.Description, Path(snakemake.input.release))
files = {"codebook.yaml": Path(snakemake.input.codebook)}
content = release.of_dataset(described, records, ratings, measured, files, book)
release.write(content, Path(snakemake.output[0]))
