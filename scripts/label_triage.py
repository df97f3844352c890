"""Rank the pool of candidates and propose the next batch to rate."""

from pathlib import Path

import pandas as pd

from attention_faults import job
from attention_faults.labelling import batch, candidates, importing, progress, protocol
from attention_faults.reporting import tables
from attention_faults.taxonomy import codebook, dataset

job.log_to(snakemake.log[0])
study = protocol.load(Path(snakemake.input.study))
threads = candidates.read(study.candidates, study.columns)
ratings = importing.load(Path(snakemake.input.ratings), study)
labels = progress.final_labels(study, ratings, list(progress.follow(study, threads, ratings)))
known = dataset.read(Path(snakemake.input.records), codebook.load(snakemake.input.codebook))
proposed = batch.propose(study, labels, known, wanted=snakemake.params.wanted, level=snakemake.params.level)
tables.write_csv(proposed.ranking, snakemake.output.ranking)
tables.write_csv(proposed.threads, snakemake.output.batch)
tables.write_csv(pd.DataFrame([vars(proposed.recall)]), snakemake.output.recall)
