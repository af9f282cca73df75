"""One figure per topic, computed by the library when a report is made, on small data."""

from jaxml.verify.page.figures import (
    classic,
    classification,
    clusters,
    curvature,
    depth,
    ensembles,
    latent,
    layers,
    linear,
    normalization,
    optimization,
    scales,
    scores,
    selection,
    sequence,
    trees,
)
from jaxml.verify.page.figures.figure import Figure

__all__ = ["FIGURES", "Figure"]

FIGURES: dict[str, Figure] = {
    **linear.FIGURES,
    **classification.FIGURES,
    **curvature.FIGURES,
    **optimization.FIGURES,
    **classic.FIGURES,
    **trees.FIGURES,
    **ensembles.FIGURES,
    **latent.FIGURES,
    **clusters.FIGURES,
    **depth.FIGURES,
    **normalization.FIGURES,
    **layers.FIGURES,
    **sequence.FIGURES,
    **selection.FIGURES,
    **scales.FIGURES,
    **scores.FIGURES,
}
