"""One figure per topic, computed by the library when a report is made, on small data."""

from jaxml.verify.page.figures import (
    classic,
    classification,
    clusters,
    curvature,
    depth,
    latent,
    layers,
    linear,
    normalization,
    optimization,
    selection,
    sequence,
)
from jaxml.verify.page.figures.figure import Figure

__all__ = ["FIGURES", "Figure"]

FIGURES: dict[str, Figure] = {
    **linear.FIGURES,
    **classification.FIGURES,
    **curvature.FIGURES,
    **optimization.FIGURES,
    **classic.FIGURES,
    **latent.FIGURES,
    **clusters.FIGURES,
    **depth.FIGURES,
    **normalization.FIGURES,
    **layers.FIGURES,
    **sequence.FIGURES,
    **selection.FIGURES,
}
