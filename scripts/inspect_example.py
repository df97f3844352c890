"""Show one faulty run in detail, beside the clean run of its seed."""

from pathlib import Path

from attention_faults import job
from attention_faults.faults import campaign, execution
from attention_faults.localisation import evidence, example, measurement
from attention_faults.reporting import tables
from attention_faults.study import Measuring, Model

job.log_to(snakemake.log[0])
chosen, params = snakemake.params.example, snakemake.params
(found,) = (
    part
    for part in evidence.read(evidence.files(snakemake.input), params.stage)
    if part.model == chosen["model"]
)
row, clean = example.find(found, chosen["series"])
seed = int(found.runs.loc[row, "seed"])
model = Model(**params.model)
subject = campaign.subject_of(chosen["model"], model)
task = campaign.task_of(subject, model, params.seed)
profiles = {
    state: measurement.profile_run(
        campaign.Series(**series),
        subject,
        task,
        execution.Machine(**params.machine),
        Measuring(**params.how),
        run_seed=seed,
        checkpoint=Path(folder, str(seed), f"{params.stage}.safetensors"),
        seed=params.seed,
    )
    for state, series, folder in (
        (example.CLEAN, params.matched, snakemake.input.matched),
        (example.FAULTY, params.series, snakemake.input.checkpoints),
    )
}
rows = {example.CLEAN: clean, example.FAULTY: row}
for name, frame, title in (
    (
        "example_scores",
        example.scores(found, row),
        "Distance of every block from the reference, one faulty run",
    ),
    ("example_interactions", example.interactions(found, rows), "Interactions of blocks, clean and faulty"),
    ("example_densities", example.densities(found, row, profiles), "Spectral densities, clean and faulty"),
):
    tables.write(frame, snakemake.output[name], title=title, note=params.note)
