"""Metrics: pure functions of numpy arrays, every edge case defined."""

from counterfactory.metrics.beta_vae import BetaVAE, beta_vae
from counterfactory.metrics.dci import DCI, dci
from counterfactory.metrics.factor_vae import FactorVAE, factor_vae
from counterfactory.metrics.infomec import InfoMEC, infomec
from counterfactory.metrics.intervals import (
    Interval,
    difference_interval,
    mean_interval,
    ratio_interval,
    statistic_interval,
)
from counterfactory.metrics.irs import IRS, irs
from counterfactory.metrics.mcc import MCC, mcc
from counterfactory.metrics.mig import MIG, mig
from counterfactory.metrics.modularity import Explicitness, Modularity, explicitness, modularity
from counterfactory.metrics.pictures import picture_distance, psnr, ssim
from counterfactory.metrics.probe import Probe, probe
from counterfactory.metrics.sap import SAP, sap
from counterfactory.metrics.unsupervised import Unsupervised, unsupervised

__all__ = [
    "DCI",
    "IRS",
    "MCC",
    "MIG",
    "SAP",
    "BetaVAE",
    "Explicitness",
    "FactorVAE",
    "InfoMEC",
    "Interval",
    "Modularity",
    "Probe",
    "Unsupervised",
    "beta_vae",
    "dci",
    "difference_interval",
    "explicitness",
    "factor_vae",
    "infomec",
    "irs",
    "mcc",
    "mean_interval",
    "mig",
    "modularity",
    "picture_distance",
    "probe",
    "psnr",
    "ratio_interval",
    "sap",
    "ssim",
    "statistic_interval",
    "unsupervised",
]
