"""Captioned scenes: objects with known causes, physical consequences, masks, and exact counterfactuals."""

from counterfactory.worlds.scenes2d.captions import ALIASES, CLAUSES, SYNONYMS, caption, captions, parse, vocabulary
from counterfactory.worlds.scenes2d.figures import WRONG
from counterfactory.worlds.scenes2d.looks import PALETTE, PATTERNS, Style, Texture, individual, style
from counterfactory.worlds.scenes2d.render import REFLECTIONS, Rendering, render
from counterfactory.worlds.scenes2d.sampling import NEVER, SPLITS, UNSEEN_ORDER, sample
from counterfactory.worlds.scenes2d.spec import (
    COLOURS,
    COLUMNS,
    CONSEQUENCES,
    DEPTHS,
    FACTORS,
    LOOKS,
    MATERIALS,
    SETTINGS,
    SHADOWS,
    SHAPES,
    SIDES,
    SIZES,
    STYLES,
    VALUES,
    Scenes,
    SceneSpec,
)
from counterfactory.worlds.scenes2d.world import Scenes2D

__all__ = [
    "ALIASES",
    "CLAUSES",
    "COLOURS",
    "COLUMNS",
    "CONSEQUENCES",
    "DEPTHS",
    "FACTORS",
    "LOOKS",
    "MATERIALS",
    "NEVER",
    "PALETTE",
    "PATTERNS",
    "REFLECTIONS",
    "SETTINGS",
    "SHADOWS",
    "SHAPES",
    "SIDES",
    "SIZES",
    "SPLITS",
    "STYLES",
    "SYNONYMS",
    "UNSEEN_ORDER",
    "VALUES",
    "WRONG",
    "Rendering",
    "SceneSpec",
    "Scenes",
    "Scenes2D",
    "Style",
    "Texture",
    "caption",
    "captions",
    "individual",
    "parse",
    "render",
    "sample",
    "style",
    "vocabulary",
]
