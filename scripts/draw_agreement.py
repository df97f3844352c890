"""Draw how far ratings agree, and which categories they confuse."""

from attention_faults import job
from attention_faults.reporting import figures, tables
from attention_faults.taxonomy import codebook

job.log_to(snakemake.log[0])
agreement, confusion = tables.read(snakemake.input.agreement), tables.read(snakemake.input.confusion)
note = snakemake.params.note
figures.save(figures.agreement_dots(agreement, note), snakemake.output.agreement_by_facet)
# the last phase that rated the category is the one behind the labels
rated = confusion.loc[confusion["facet"] == "category", "phase"]
phase = rated.iloc[-1] if len(rated) else ""
order = codebook.load(snakemake.input.codebook).labels("category")
heatmap = figures.confusion_heatmap(confusion, "category", phase, note, order=order)
figures.save(heatmap, snakemake.output.category_confusion)
