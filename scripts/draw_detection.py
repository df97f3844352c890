"""Draw how well metrics tell faulty runs from clean ones."""

from attention_faults import job
from attention_faults.reporting import figures, tables

job.log_to(snakemake.log[0])
detection, curves = (tables.read(snakemake.input[name]) for name in ("detection", "detection_curves"))
figures.save(figures.detection_roc(detection, curves, snakemake.params.note), snakemake.output.detection_roc)
