"""Sites in any torch model: `do()` changes what passes there, `record()` keeps it; the model is used in place."""

from counterfactory.causal import Add, Scale, Set
from counterfactory.hooks.listing import SiteInfo, sites
from counterfactory.hooks.ops import Ablate, Noise, Project, Replay, Swap
from counterfactory.hooks.program import do, record
from counterfactory.hooks.run import Record, Run
from counterfactory.hooks.site import Site

__all__ = [
    "Ablate",
    "Add",
    "Noise",
    "Project",
    "Record",
    "Replay",
    "Run",
    "Scale",
    "Set",
    "Site",
    "SiteInfo",
    "Swap",
    "do",
    "record",
    "sites",
]
