"""Study: systems x worlds x seeds x metrics, each run done once, resumable, on this machine or on a Ray cluster."""

from counterfactory.study.cell import Cell
from counterfactory.study.plan import Study
from counterfactory.study.run import run
from counterfactory.study.summary import summarise

__all__ = ["Cell", "Study", "run", "summarise"]
