"""How strongly blocks interact: the Frobenius norm of a pair beside those of its two diagonal blocks."""

from dataclasses import dataclass

import numpy as np

from attention_faults.curvature.estimate import Floats, jackknife
from attention_faults.curvature.frobenius import BlockNorms

NEGLIGIBLE = 1e-12


@dataclass(frozen=True)
class Interactions:
    """Normalised interactions, symmetric, B x B.

    Attributes:
        names: of the blocks.
        values: ||H_ij||_F / sqrt(||H_ii||_F ||H_jj||_F); nan where undefined.
        stderr: jackknife standard errors; nan where undefined.
        products: spent.
    """

    names: tuple[str, ...]
    values: Floats
    stderr: Floats
    products: int


def interactions(norms: BlockNorms) -> Interactions:
    """Normalise the norms of pairs.

    0 where the numerator is 0; undefined where a diagonal norm is below 1e-12 of the largest diagonal norm.
    """

    def normalise(mean: Floats) -> Floats:
        squared = norms.captured + mean
        diagonal = np.sqrt(np.diag(squared))
        usable = (diagonal > 0) & (diagonal >= NEGLIGIBLE * diagonal.max())
        scale = np.sqrt(np.outer(diagonal, diagonal))
        with np.errstate(invalid="ignore", divide="ignore"):
            ratio = np.where(np.outer(usable, usable), np.sqrt(squared) / scale, np.nan)
        return np.where(squared == 0, 0.0, ratio)

    values, stderr = jackknife(normalise, norms.samples)
    return Interactions(norms.names, values, stderr, norms.products)
