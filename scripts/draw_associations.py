"""Draw which symptom goes with which root cause."""

from attention_faults import job
from attention_faults.reporting import figures, tables
from attention_faults.taxonomy import codebook

job.log_to(snakemake.log[0])
book = codebook.load(snakemake.input.codebook)
cells = tables.read(snakemake.input.cells).query("sample == 'all_records'")
heatmap = figures.association_heatmap(
    cells,
    "symptom",
    "root_cause",
    snakemake.params.note,
    groups=book.category_of,
    level=snakemake.params.level,
)
figures.save(heatmap, snakemake.output.symptom_by_root_cause)
