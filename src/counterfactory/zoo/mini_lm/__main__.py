"""`python -m counterfactory.zoo.mini_lm --out runs/mini_lm --tier shipped`: train, examine, write the card."""

import argparse
import json
from pathlib import Path

from counterfactory.results.files import write
from counterfactory.worlds.text import TextWorld
from counterfactory.zoo.mini_lm.evaluate import evaluate, table
from counterfactory.zoo.mini_lm.train import TIERS, train

_CARD = """---
library_name: transformers
license: apache-2.0
tags: [counterfactory, causality]
---

# The tiny language model of the text world

{parameters:,} parameters, {dtype}; trained from nothing on the text world of seed 0 with seed {seed},
{steps:,} steps in {seconds:.0f} s.

```
python -m counterfactory.zoo.mini_lm --out {out} --tier {tier} --seed {seed}
```

What it knows, as `mini_lm.evaluate(lm, TextWorld(seed=0))` measures it: the share of answers that greedy decoding gives
word by word. "wrong facts" is the mean probability of a wrong object.

{rows}
"""


def main() -> None:
    """Read the options, train, and write `README.md` beside the weights."""
    options = argparse.ArgumentParser(prog="python -m counterfactory.zoo.mini_lm", description=__doc__)
    options.add_argument("--out", required=True, help="folder for checkpoint, log, weights, tokenizer and card")
    options.add_argument("--tier", default="quick", choices=TIERS, help="the recipe")
    options.add_argument("--seed", default=0, type=int, help="seed of the first weights and of the text")
    given = options.parse_args()
    lm = train(given.out, given.seed, given.tier)
    last = json.loads((Path(given.out) / "log.jsonl").read_text().splitlines()[-1])
    rows = table(evaluate(lm, TextWorld(seed=0)))
    size = {"parameters": sum(p.numel() for p in lm.parameters()), "dtype": lm.dtype}
    run = {"steps": last["step"], "seconds": last["seconds"], **vars(given)}
    write(Path(given.out) / "README.md", _CARD.format(rows=rows, **size, **run))
    print(rows)


if __name__ == "__main__":
    main()
