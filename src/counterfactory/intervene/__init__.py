"""Intervene: act at inference, without touching weights."""
