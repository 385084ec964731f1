"""Causal graphs, structural causal models, interventions and counterfactuals."""

from counterfactory.causal.bridge import to_dowhy
from counterfactory.causal.cpdag import CPDAG, markov_equivalent
from counterfactory.causal.discovery import ges, pc
from counterfactory.causal.discrete import DiscreteSCM, Table
from counterfactory.causal.distances import EdgeScores, adjacencies, aid, arrows, shd, sid, sid_bounds
from counterfactory.causal.graph import CausalGraph
from counterfactory.causal.independence import CausalLearnTest, ChiSquare, DSeparation, FisherZ, IndependenceTest
from counterfactory.causal.interventions import Add, CutEdge, Intervention, Policy, Replace, Scale, Set, combine
from counterfactory.causal.linear import LinearSCM
from counterfactory.causal.linear_discovery import direct_lingam, notears, varsortability
from counterfactory.causal.mechanisms import AdditiveNoise, Function, Invertible, Linear, LocationScale, Mechanism
from counterfactory.causal.neural import NeuralSCM
from counterfactory.causal.neural_fit import NeuralFit
from counterfactory.causal.noise import (
    Deterministic,
    Empirical,
    Exponential,
    Gamma,
    Gumbel,
    Laplace,
    Logistic,
    Noise,
    Normal,
    StudentT,
    Uniform,
    generator,
)
from counterfactory.causal.samples import Counterfactual, Estimate, Samples
from counterfactory.causal.scm import SCM
from counterfactory.causal.spline import Spline

__all__ = [
    "CPDAG",
    "SCM",
    "Add",
    "AdditiveNoise",
    "CausalGraph",
    "CausalLearnTest",
    "ChiSquare",
    "Counterfactual",
    "CutEdge",
    "DSeparation",
    "Deterministic",
    "DiscreteSCM",
    "EdgeScores",
    "Empirical",
    "Estimate",
    "Exponential",
    "FisherZ",
    "Function",
    "Gamma",
    "Gumbel",
    "IndependenceTest",
    "Intervention",
    "Invertible",
    "Laplace",
    "Linear",
    "LinearSCM",
    "LocationScale",
    "Logistic",
    "Mechanism",
    "NeuralFit",
    "NeuralSCM",
    "Noise",
    "Normal",
    "Policy",
    "Replace",
    "Samples",
    "Scale",
    "Set",
    "Spline",
    "StudentT",
    "Table",
    "Uniform",
    "adjacencies",
    "aid",
    "arrows",
    "combine",
    "direct_lingam",
    "generator",
    "ges",
    "markov_equivalent",
    "notears",
    "pc",
    "shd",
    "sid",
    "sid_bounds",
    "to_dowhy",
    "varsortability",
]
