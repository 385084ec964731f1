"""Where a language model keeps what is traced: blocks, modules inside them, embeddings; and one plain run of it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from counterfactory.errors import CounterfactoryError, unknown
from counterfactory.find.lm_trace.settings import KINDS
from counterfactory.hooks import Site, record
from counterfactory.hooks.families import block_lists, widths
from counterfactory.hooks.paths import named_modules, resolve

_NORMS = (  # of attention and MLP, and those on their outputs, if there are any
    ("input_layernorm", "pre_feedforward_layernorm", "post_attention_layernorm", "post_feedforward_layernorm"),
    ("input_layernorm", "post_attention_layernorm", "", ""),
    ("ln_1", "ln_2", "", ""),
    ("self_attn_layer_norm", "final_layer_norm", "", ""),
)
_FINAL_NORMS = ("norm", "ln_f", "final_layernorm", "final_layer_norm")


@dataclass(frozen=True, eq=False)
class Seen:
    """One plain run.

    Attributes:
        logits: at the last position.
        values: site -> what passed there.
    """

    logits: Float[Tensor, "b v"]
    values: Mapping[Site, Tensor]


class Wiring:
    """The parts of a causal language model of a known family.

    Args:
        model: any `AutoModelForCausalLM`.
        under: path of the language model inside it, where there are several lists of blocks.

    Attributes:
        blocks: their paths.
        attn, mlp: paths of the modules, block by block.
        embedding: path of the token embedding.

    Raises:
        CounterfactoryError: no list of blocks of a known family, or several; or training mode with dropout.
    """

    def __init__(self, model: Any, under: str = "") -> None:
        self.model, self.names = model, named_modules(model)
        lists = block_lists(self.names, under or None)
        if len(lists) != 1:
            raise CounterfactoryError(
                "the blocks of the language model are not clear",
                given=f"lists of blocks: {', '.join(lists) or 'none'}",
                expected="exactly one list of a known family",
                hint="name the language model with under=, or use counterfactory.hooks with paths of your own",
            )
        if any(m.training and isinstance(m, nn.Dropout) and m.p > 0 for m in model.modules()):
            raise CounterfactoryError(
                "dropout is on", given="a model in training mode", expected="model.eval()", hint="call model.eval()"
            )
        (self.root, (family, blocks)), prefix = next(iter(lists.items())), f"{under}." if under else ""
        self.blocks = [f"{self.root}.{i}" for i in range(len(blocks))]
        self.attn, self.mlp = ([f"{b}.{part}" for b in self.blocks] for part in (family.attn, family.mlp))
        self.out, self.down = ([f"{b}.{part}" for b in self.blocks] for part in (family.out, family.down))
        self._prefix = prefix
        table = model.get_input_embeddings()
        self.embedding = next(name for name, module in self.names.items() if module is table)

    def site(self, kind: str, layer: int) -> Site:
        """The whole tensor that holds the states of a kind in a layer."""
        if kind not in KINDS:
            raise unknown("kind of state", kind, KINDS)
        if kind in ("mlp", "neuron") and self.mlp == self.down:
            raise CounterfactoryError(
                "MLPs are no modules in this family",
                given=f"kind={kind!r} of {type(self.model).__name__}",
                expected="blocks, attentions, heads, queries, keys or values",
                hint="counterfactory.hooks reaches the linear maps by their paths",
            )
        if kind in ("query", "key", "value"):
            return Site(self.attn[layer], at=kind)
        paths = {"block": self.blocks, "mlp": self.mlp, "attn": self.attn, "head": self.out, "neuron": self.down}
        return Site(paths[kind][layer], at="input" if kind in ("head", "neuron") else "output")

    def unit_site(self, kind: str, layer: int, unit: int) -> Site:
        """The site of one unit; of the whole tensor, of the kinds that have one."""
        site, width = self.site(kind, layer), self.unit_width(kind)
        if site.in_attention:
            return site.replace(units=unit)
        return site if width is None else site.replace(units=slice(unit * width, (unit + 1) * width))

    def unit_width(self, kind: str) -> int | None:
        """Numbers of one unit, of the kinds that have units; None: the whole width is one unit."""
        if kind in ("block", "mlp", "attn", "neuron"):
            return 1 if kind == "neuron" else None
        units = resolve(self.names, Site(f"{self._prefix}head[0,0]"))[0][0].units
        return units.stop if isinstance(units, slice) else None

    def count(self, kind: str) -> int:
        """Units of a kind in a layer."""
        width = self.unit_width(kind)
        if width is None:
            return 1
        whole = widths(self.names[(self.down if kind == "neuron" else self.out)[0]])[0] or width
        groups = getattr(self.names[self.attn[0]], "num_key_value_groups", 1) if kind in ("key", "value") else 1
        return whole // width // groups

    def split(self, kind: str, z: Tensor) -> Float[Tensor, "b t u w"]:
        """A tensor of a site as positions, units and numbers of a unit; a view."""
        if kind in ("query", "key", "value"):
            return z.transpose(1, 2)
        width = self.unit_width(kind)
        return z.unflatten(-1, (-1, width or z.shape[-1]))

    def norm(self, part: str, layer: int) -> str:
        """Path of the norm before "attn" or "mlp"."""
        return self._norms(layer)[("attn", "mlp").index(part)]

    def written(self, part: str, layer: int) -> Site:
        """What "attn" or "mlp" adds to the residual stream: the module's output, or that of the norm behind it."""
        behind = self._norms(layer)[("attn", "mlp").index(part) + 2]
        return Site(behind) if behind else self.site(part, layer)

    @property
    def final_norm(self) -> str:
        """Path of the norm behind the last block."""
        parent = self.root.rpartition(".")[0]
        found = [n for n in (f"{parent}.{end}".lstrip(".") for end in _FINAL_NORMS) if n in self.names]
        return found[0] if found else ""

    def _norms(self, layer: int) -> list[str]:
        block = self.blocks[layer]
        for names in _NORMS:
            if all(f"{block}.{name}" in self.names for name in names if name):
                return [f"{block}.{name}" if name else "" for name in names]
        raise CounterfactoryError(
            "the norms of this family are not known",
            given=type(self.names[block]).__name__,
            expected="a norm before attention and one before the MLP",
            hint="patch() and attribute() need no norms",
        )

    @property
    def device(self) -> torch.device:
        """Where the token embedding is."""
        return next(self.names[self.embedding].parameters()).device

    def alone(self, layer: int) -> list[str]:
        """Modules of a block that act position by position, and whose positions do not meet again behind them."""
        queries = f"{self.attn[layer]}.q_proj"
        found = [self.out[layer], *([queries] if queries in self.names else [])]
        return found if self.mlp == self.down else [*found, self.mlp[layer]]

    def before(self, kind: str, layer: int) -> list[str]:
        """Modules of a block that act position by position, and that nothing reaches which is written to a kind there.

        For "block" the states are those of the block before.
        """
        if layer == len(self.blocks):
            return []
        attn, out = self.attn[layer], self.out[layer]
        inner = {f"{attn}.{name}": m._parameters.get("weight") for name, m in self.names[attn].named_children()}
        maps = [path for path, weight in inner.items() if weight is not None and weight.ndim == 2 and path != out]
        return maps + {"attn": [out], "mlp": [out, self.mlp[layer]]}.get(kind, [])

    def call(self, ids: Int[Tensor, "b t"], keep: int = 1) -> Float[Tensor, "rows k v"]:
        """Logits at the last `keep` positions, or at all with 0, of rows that edits may have changed in number."""
        return self.model(input_ids=ids, use_cache=False, logits_to_keep=keep).logits

    @torch.no_grad()
    def see(self, ids: Int[Tensor, "b t"], sites: Iterable[Site]) -> Seen:
        """Run the model once and keep what passes at some sites."""
        sites = list(dict.fromkeys(sites))
        with record(self.model, sites) as run:
            logits = self.call(ids)[:, -1]
        return Seen(logits, {site: run.calls(site)[0] for site in sites})
