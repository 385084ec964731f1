"""`counterfactory trace`: which token and layer of a language model carry its answer, as a map in the terminal."""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from counterfactory.cli.answer import Answer, say
from counterfactory.results import Reproduce

if TYPE_CHECKING:
    from counterfactory.find.lm_trace.trace import Trace

_KIND = "States that are restored: block, mlp, attn, head, query, key or value."
_NOISE = "What damages the subject: s3, a number, m, t5 or u0.1, as in the settings of lm_causal_tracing."


def trace(
    model: Annotated[str, typer.Argument(help="Folder or Hub name of a causal language model of transformers.")],
    prompt: Annotated[str, typer.Argument(help="Text that ends where the answer begins.")],
    subject: Annotated[str, typer.Option(help="The words of the prompt that are damaged.")],
    answer: Annotated[str | None, typer.Option(help="Whose probability is followed; by default what it says.")] = None,
    kind: Annotated[str, typer.Option(help=_KIND)] = "block",
    window: Annotated[int, typer.Option(min=1, help="Layers that are restored together.")] = 1,
    sever: Annotated[str | None, typer.Option(help="mlp or attn: keep them damaged behind the restored state.")] = None,
    noise: Annotated[str, typer.Option(help=_NOISE)] = "s3",
    samples: Annotated[int, typer.Option(min=1, help="Draws of the noise.")] = 10,
    seed: Annotated[int, typer.Option(min=0, help="Of the noise.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Folder for trace.json (the findings) and trace.png.")] = None,
) -> Answer:
    """Damage a prompt's subject, restore one state at a time, and show how much of the answer each brings back."""
    from counterfactory.find.lm_trace import LMTracer
    from counterfactory.results.files import write

    own = {"kind": kind, "window": window, "noise": noise, "samples": samples, "seed": seed}
    tracer = LMTracer.from_pretrained(model, **own)
    say(f"tracing {prompt!r}")
    found = tracer.trace(prompt, subject, answer, sever=sever)
    options = {"subject": subject, "answer": answer, "sever": sever, **own}
    words = [word for name, value in options.items() if value is not None for word in (f"--{name}", str(value))]
    command = shlex.join(["counterfactory", "trace", model, prompt, *words])
    found = replace(found, reproduce=Reproduce(command, (seed,)))
    saved = []
    if out is not None:
        saved = [str(out / "trace.json"), str(out / "trace.png")]
        found.save(saved[0])
        write(out / "trace.png", found.figure().data)

    def show(console: Console) -> None:
        console.print(heat_table(found, console.width))
        for line in [*found.notes, *(f"saved {path}" for path in saved)]:
            console.print(Text(line, style="dim"), soft_wrap=True)

    chosen = ("clean", "corrupted", "answer_word", "kept", "tokens", "subject", "words", "layers", "kind", "units")
    data = {name: getattr(found, name) for name in chosen}
    arrays = {name: getattr(found, name).tolist() for name in ("effect", "log_odds")}
    return Answer({**data, **arrays, "notes": list(found.notes), "saved": saved, "command": command}, show)


def heat_table(found: "Trace", width: int) -> Table:
    """Tokens down, layers across, effects in percent of probability on a colour: red brings back, blue takes away.

    Layers are left out evenly where the terminal is too narrow for all of them.
    """
    values, words = 100 * found.by_layer(), [repr(word)[1:-1].strip() for word in found.words]
    room = max(1, (width - max(map(len, words)) - 2) // 5)
    step = -(-len(found.layers) // room)
    limit = max(float(abs(values).max()), 1e-12)
    what = ", strongest unit" if found.units else ""
    title = Text(f"effect on P of '{found.answer_word.strip()}' in %, by layer of the {found.kind} states{what}")
    table = Table(title=title, title_justify="left", box=None, padding=0, header_style="bold")
    table.add_column("")
    for layer in found.layers[::step]:
        table.add_column(Text(str(layer)), justify="right", width=5)
    for word, line in zip(words, values, strict=True):
        cells = [Text(f"{v:5.1f}" if limit >= 1 else f"{v:5.2f}", _colour(v / limit)) for v in line[::step]]
        table.add_row(Text(f"{word}  "), *cells)
    return table


def _colour(share: float) -> str:
    """White for 0, red for 1, blue for -1, behind black."""
    pale = round(255 * (1 - min(1.0, abs(share)) * 0.75))
    return f"black on rgb({255 if share >= 0 else pale},{pale},{pale if share >= 0 else 255})"
