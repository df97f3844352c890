"""Say where a labelling study stands, which labels are confused, and what to discuss first."""

from pathlib import Path

from attention_faults import job
from attention_faults.labelling import candidates, discussion, importing, progress, protocol
from attention_faults.reporting import tables
from attention_faults.taxonomy import agreement

job.log_to(snakemake.log[0])
study = protocol.load(Path(snakemake.input.study))
threads = candidates.read(study.candidates, study.columns)
ratings = importing.load(Path(snakemake.input.ratings), study)
phases = list(progress.follow(study, threads, ratings))
projects = threads.set_index("record_id")["project"]
measured = agreement.measure(ratings, projects, **snakemake.params.interval, seed=snakemake.params.seed)
note = snakemake.params.note
sections = {
    "label_status": ("Where each phase stands", discussion.overview(phases)),
    "label_agreement": ("Agreement on each question", discussion.with_gates(measured, phases)),
    "confused_labels": ("Labels that are confused", discussion.confused(phases, study)),
    "discuss_first": ("Records to discuss first", discussion.discuss_first(phases, study, threads)),
    "final_labels": ("Final labels so far", progress.final_labels(study, ratings, phases)),
}
for name, (title, frame) in sections.items():
    tables.write(frame, snakemake.output[name], title=title, note=note)
shown = [(title, frame, note) for title, frame in list(sections.values())[:-1]]
tables.write_page(shown, Path(snakemake.output.page), title=study.title)
print(sections["label_status"][1].to_string(index=False))
