"""Figures of both studies, and how they are saved."""

from attention_faults.reporting.figures.agreement import agreement_dots, confusion_heatmap
from attention_faults.reporting.figures.association import association_heatmap
from attention_faults.reporting.figures.flows import alluvial
from attention_faults.reporting.figures.funnel import funnel_bars
from attention_faults.reporting.figures.heuristics import heuristics_coverage
from attention_faults.reporting.figures.mutants import accuracy_drops, mutation_score_bars
from attention_faults.reporting.figures.prevalence import dataset_comparison, framework_stack, label_bars
from attention_faults.reporting.figures.style import save
from attention_faults.reporting.figures.tree import taxonomy_tree

__all__ = [
    "accuracy_drops",
    "agreement_dots",
    "alluvial",
    "association_heatmap",
    "confusion_heatmap",
    "dataset_comparison",
    "framework_stack",
    "funnel_bars",
    "heuristics_coverage",
    "label_bars",
    "mutation_score_bars",
    "save",
    "taxonomy_tree",
]
