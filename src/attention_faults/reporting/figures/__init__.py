"""Figures of both studies, and how they are saved."""

from attention_faults.reporting.figures.agreement import agreement_dots, confusion_heatmap
from attention_faults.reporting.figures.association import association_heatmap
from attention_faults.reporting.figures.detection import detection_roc
from attention_faults.reporting.figures.example import example_densities, example_interactions, example_scores
from attention_faults.reporting.figures.flows import alluvial
from attention_faults.reporting.figures.funnel import funnel_bars
from attention_faults.reporting.figures.heuristics import heuristics_coverage
from attention_faults.reporting.figures.localisation import category_by_family, cost_accuracy, mrr_by_family
from attention_faults.reporting.figures.mutants import accuracy_drops, mutation_score_bars
from attention_faults.reporting.figures.prevalence import dataset_comparison, framework_stack, label_bars
from attention_faults.reporting.figures.saturation import accumulation_curves
from attention_faults.reporting.figures.style import save
from attention_faults.reporting.figures.tree import taxonomy_tree

__all__ = [
    "accumulation_curves",
    "accuracy_drops",
    "agreement_dots",
    "alluvial",
    "association_heatmap",
    "category_by_family",
    "confusion_heatmap",
    "cost_accuracy",
    "dataset_comparison",
    "detection_roc",
    "example_densities",
    "example_interactions",
    "example_scores",
    "framework_stack",
    "funnel_bars",
    "heuristics_coverage",
    "label_bars",
    "mrr_by_family",
    "mutation_score_bars",
    "save",
    "taxonomy_tree",
]
