"""Causal tracing and patching of language models: all tokens, layers and draws in one pass of a growing batch."""

from counterfactory.find.lm_trace.prompts import Fact
from counterfactory.find.lm_trace.settings import LMTraceSettings
from counterfactory.find.lm_trace.sweep import family_wise
from counterfactory.find.lm_trace.tracer import LMTracer

__all__ = ["Fact", "LMTraceSettings", "LMTracer", "family_wise"]
