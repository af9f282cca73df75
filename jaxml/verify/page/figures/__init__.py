"""One figure per topic, computed by the library when a report is made, on small data."""

from jaxml.verify.page.figures import (
    classic,
    classification,
    depth,
    latent,
    layers,
    linear,
    optimization,
    selection,
    sequence,
)
from jaxml.verify.page.figures.figure import Figure

__all__ = ["FIGURES", "Figure"]

FIGURES: dict[str, Figure] = {
    **linear.FIGURES,
    **classification.FIGURES,
    **optimization.FIGURES,
    **classic.FIGURES,
    **latent.FIGURES,
    **depth.FIGURES,
    **layers.FIGURES,
    **sequence.FIGURES,
    **selection.FIGURES,
}
