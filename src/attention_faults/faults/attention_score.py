"""Faults between the projections and the weighted sum."""

from contextlib import AbstractContextManager

import torch
from torch import Tensor

from attention_faults.faults.injection import replaced
from attention_faults.faults.operator import DOT_PRODUCT, EVERY_ATTENTION, SCORED, operator
from attention_faults.faults.rounding import rounded
from attention_faults.subjects.attention import Site


@operator(
    category="attention_score",
    root_cause="normalization",
    truth="comparison",
    kinds=DOT_PRODUCT,
    severities=(0.1, 3.0, 16.0),
)
def wrong_scale(site: Site, severity: float, seed: int) -> AbstractContextManager[None]:
    """Scores are divided by `severity` times the square root of the head size in place of that root."""
    scale = site.attention.scale
    return replaced(site.attention, scale=lambda scores, scaling: scale(scores, scaling / severity))


@operator(category="attention_score", root_cause="normalization", truth="comparison", kinds=DOT_PRODUCT)
def scale_missing(site: Site, severity: float, seed: int) -> AbstractContextManager[None]:
    """Scores are not divided by the square root of the head size."""
    return replaced(site.attention, scale=lambda scores, scaling: scores)


@operator(category="attention_score", root_cause="normalization", truth="comparison", kinds=DOT_PRODUCT)
def scale_doubled(site: Site, severity: float, seed: int) -> AbstractContextManager[None]:
    """Scores are divided by the square root of the head size twice."""
    return replaced(site.attention, scale=lambda scores, scaling: scores * scaling * scaling)


@operator(
    category="attention_score",
    root_cause="normalization",
    truth="comparison",
    kinds=DOT_PRODUCT,
)
def softmax_over_queries(site: Site, severity: float, seed: int) -> AbstractContextManager[None]:
    """The softmax runs over the queries in place of the keys."""
    return replaced(site.attention, normalise=lambda scores: scores.softmax(dim=-2))


@operator(category="attention_score", root_cause="normalization", truth="comparison", kinds=SCORED)
def softmax_twice(site: Site, severity: float, seed: int) -> AbstractContextManager[None]:
    """The softmax is applied twice, which flattens the weights."""
    normalise = site.attention.normalise
    return replaced(site.attention, normalise=lambda scores: normalise(normalise(scores)))


@operator(
    category="attention_score",
    root_cause="normalization",
    truth="comparison",
    kinds=(*DOT_PRODUCT, "additive"),
)
def softmax_over_batch(site: Site, severity: float, seed: int) -> AbstractContextManager[None]:
    """The softmax runs over the samples of the batch, so that samples share their weights."""
    return replaced(site.attention, normalise=lambda scores: scores.softmax(dim=0))


@operator(
    category="attention_score",
    root_cause="normalization",
    truth="comparison",
    kinds=("additive", "graph_node", "graph_semantic"),
    severities=(0.05, 20.0),
)
def temperature_wrong(site: Site, severity: float, seed: int) -> AbstractContextManager[None]:
    """Scores that need no scale are multiplied by `severity`: attention flattens, or collapses on one key."""
    scale = site.attention.scale
    return replaced(site.attention, scale=lambda scores, scaling: scale(scores, scaling * severity))


@operator(category="attention_score", root_cause="normalization", truth="comparison", kinds=("graph_node",))
def softmax_over_whole_graph(site: Site, severity: float, seed: int) -> AbstractContextManager[None]:
    """The softmax runs over all edges of the graph in place of those of each node."""
    return replaced(site.attention, normalise=lambda scores: scores.softmax(dim=-1))


@operator(
    category="attention_score", root_cause="implementation", truth="comparison", kinds=("self", "causal_self")
)
def key_in_place_of_query(site: Site, severity: float, seed: int) -> AbstractContextManager[None]:
    """Keys are compared with keys; the query is not used."""
    scores = site.attention.scores
    return replaced(site.attention, scores=lambda query, key: scores(key[..., -query.shape[-2] :, :], key))


@operator(
    category="attention_score",
    root_cause="implementation",
    truth="comparison",
    kinds=SCORED,
    severities=(0.3, 0.6),
)
def dropout_on_scores(site: Site, severity: float, seed: int) -> AbstractContextManager[None]:
    """Dropout hits the scores before the softmax in place of the weights behind it, in evaluation too."""
    normalise = site.attention.normalise

    def drop_then_normalise(scores: Tensor) -> Tensor:
        # a generator made anew in each call: the same loss for the same input
        generator = torch.Generator(scores.device).manual_seed(seed)
        kept = torch.rand(scores.shape, generator=generator, device=scores.device) >= severity
        return normalise(torch.where(kept, scores / (1 - severity), 0.0))

    return replaced(site.attention, normalise=drop_then_normalise)


@operator(
    category="attention_score",
    root_cause="precision_handling",
    truth="comparison",
    kinds=EVERY_ATTENTION,
    severities=(7.0, 2.0),
)
def scores_rounded(site: Site, severity: float, seed: int) -> AbstractContextManager[None]:
    """Scores keep `severity` bits of mantissa, as in a narrow format: 7 in bfloat16."""
    scale = site.attention.scale
    return replaced(site.attention, scale=lambda scores, scaling: rounded(scale(scores, scaling), severity))


@operator(
    category="attention_score",
    root_cause="precision_handling",
    truth="comparison",
    kinds=SCORED,
    severities=(0.05, 0.01),
)
def scores_saturate(site: Site, severity: float, seed: int) -> AbstractContextManager[None]:
    """Scores saturate at plus and minus `severity`, as in a type of too small a range."""
    scale = site.attention.scale
    return replaced(
        site.attention, scale=lambda scores, scaling: scale(scores, scaling).clamp(-severity, severity)
    )
