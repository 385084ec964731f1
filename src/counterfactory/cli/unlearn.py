"""`counterfactory unlearn`: make a language model forget records, audit that, and put every bit back."""

import csv
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from counterfactory.cli.answer import Answer, say
from counterfactory.errors import CounterfactoryError

EDIT, AUDIT = "edit.safetensors", "audit.json"
_WHAT = "a CSV or JSONL file with input, output and perhaps subject and task; or 'The capital of [Japan] is => Tokyo'."
_LINE = re.compile(r"(?P<input>.+?)\s*=>\s*(?P<output>.+)")


def unlearn(
    model: Annotated[str, typer.Argument(help="Folder or Hub name of a causal language model, mini_lm, or gemma.")],
    forget: Annotated[list[str], typer.Option(help=f"What goes: {_WHAT} Once for each.")],
    retain: Annotated[list[str], typer.Option(help="What stays, in the same forms.")],
    out: Annotated[Path, typer.Option(help=f"Folder for {EDIT} and {AUDIT}.")],
    unseen: Annotated[list[str] | None, typer.Option(help="Records nobody told, for the test of membership.")] = None,
    general: Annotated[list[str] | None, typer.Option(help="Questions about other things, for utility.")] = None,
    layers: Annotated[str | None, typer.Option(help="Such as 0,1,2; by default those that tracing finds.")] = None,
    top: Annotated[int, typer.Option(min=1, help="How many layers tracing is asked for.")] = 2,
    objective: Annotated[str, typer.Option(help="selective, ascent, difference or npo.")] = "selective",
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the records.")] = 16,
    lr: Annotated[float, typer.Option(min=0.0, help="Peak learning rate.")] = 5e-4,
    batch_size: Annotated[int, typer.Option(min=1, help="Records a step.")] = 24,
    relearn: Annotated[float, typer.Option(min=0.0, max=0.9, help="Share of the subjects taught again.")] = 0.0,
    seed: Annotated[int, typer.Option(min=0, help="Of every random draw.")] = 0,
) -> Answer:
    """Unlearn records by selective amnesia, audit it beside two controls, and restore the model bit for bit.

    The model on disk is never changed: the edit is saved, and `Edit.load(...).apply(model)` makes it again.
    """
    from counterfactory.edit.selective_amnesia import Forgetting, SelectiveAmnesia
    from counterfactory.judge.unlearning import Unlearned
    from counterfactory.nn.answers import as_examples
    from counterfactory.results.bits import fingerprint, weights_of
    from counterfactory.results.cells import encode

    groups = {"forget": forget, "retain": retain, "unseen": unseen or [], "general": general or []}
    asked: dict[str, Any] = {name: as_examples(read_examples(given)) for name, given in groups.items()}
    lm, tokenizer = read_model(model)
    before = {name: fingerprint(weight) for name, weight in weights_of(lm).items()}
    chosen = numbers(layers) if layers else traced(lm, tokenizer, asked["forget"], top, seed)
    say(f"layers {', '.join(map(str, chosen))}")
    editor = SelectiveAmnesia(layers=chosen, objective=objective, epochs=epochs, lr=lr, batch_size=batch_size)
    edit = editor.edit(lm, Forgetting(asked["forget"], asked["retain"], tokenizer), seed=seed)
    edit.save(out / EDIT)
    say(f"saved {out / EDIT}; auditing")
    report = edit.audit(Unlearned(tokenizer, **asked, relearn=relearn), lm, seed=seed)
    report.save(out / AUDIT)
    edit.revert(lm)
    exact = before == {name: fingerprint(weight) for name, weight in weights_of(lm).items()}
    if not exact:
        raise CounterfactoryError(
            "the model was not restored", given=model, expected="the same bits as before", hint="please report this"
        )

    def show(console: Console) -> None:
        report.print()
        console.print(Text(f"restored: all {len(before)} weights have the bits they had before"), soft_wrap=True)
        console.print(Text(f"saved {out / EDIT} and {out / AUDIT}"), soft_wrap=True)

    audit = [{name: encode(cell) for name, cell in row.items()} for row in (*report.rows, *report.controls)]
    data = {"layers": list(chosen), "audit": audit, "restored": exact, "out": str(out)}
    return Answer(data, show)


def read_examples(given: Sequence[str]) -> list[dict[str, str]]:
    """Examples of files and of lines; brackets mark the subject.

    Raises:
        CounterfactoryError: neither a file that can be read nor a line with =>.

    Example:
        >>> read_examples(["The capital of [Japan] is => Tokyo"])
        [{'input': 'The capital of Japan is', 'output': 'Tokyo', 'subject': 'Japan'}]
    """
    found: list[dict[str, str]] = []
    for what in given:
        line, path = _LINE.fullmatch(what.strip()), Path(what)
        if line:
            subject = re.search(r"\[(.+?)\]", line["input"])
            text = re.sub(r"[\[\]]", "", line["input"])
            found.append({"input": text, "output": line["output"], "subject": subject[1] if subject else ""})
        else:
            found += _read_file(path)
    return found


def _read_file(path: Path) -> list[dict[str, str]]:
    try:
        text = path.read_text()
        rows = list(csv.DictReader(text.splitlines())) if path.suffix == ".csv" else _json_lines(text)
        return [{name: row[name] for name in ("input", "output", "subject", "task") if row.get(name)} for row in rows]
    except (OSError, ValueError, AttributeError) as error:
        raise CounterfactoryError(
            f"the examples of '{path}' cannot be read",
            given=f"{type(error).__name__}: {error}",
            expected="a CSV or JSONL file with the fields input and output, or 'input => output'",
            hint="one JSON object a line, or a CSV with a header",
        ) from error


def _json_lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines() if line.strip()]


def read_model(name: str) -> tuple[Any, Any]:
    """A model in float32 and its tokenizer: of the zoo, a folder or the Hub."""
    if name in ("mini_lm", "gemma"):
        from counterfactory.zoo import gemma, mini_lm

        return gemma.load() if name == "gemma" else mini_lm.load()
    from counterfactory.find.lm_trace import LMTracer

    found = LMTracer.from_pretrained(name)
    return found.model, found.reader.tokenizer


def numbers(layers: str) -> tuple[int, ...]:
    """Numbers with commas.

    Raises:
        CounterfactoryError: something else.
    """
    try:
        return tuple(int(part) for part in layers.split(","))
    except ValueError as error:
        raise CounterfactoryError(
            "these are no layers", given=layers, expected="numbers with commas", hint="--layers 0,1,2"
        ) from error


def traced(lm: Any, tokenizer: Any, examples: Sequence[Any], top: int, seed: int, most: int = 40) -> tuple[int, ...]:
    """The `top` layers whose MLPs bring most of a damaged answer back, at whatever token.

    Raises:
        CounterfactoryError: no example names its subject, or the model knows none of the answers.
    """
    from counterfactory.find.lm_trace import Fact, LMTracer

    facts = [Fact(e.input, e.subject) for e in examples if e.subject]
    if not facts:
        raise CounterfactoryError(
            "there is nothing to trace",
            given=f"{len(examples)} examples without a subject",
            expected="a subject, which is part of the input",
            hint="mark it: 'The capital of [Japan] is => Tokyo', or give --layers",
        )
    window = max(1, lm.config.get_text_config().num_hidden_layers // 5)
    say(f"tracing {min(len(facts), most)} of {len(facts)} records")
    swept = LMTracer(lm, tokenizer, kind="mlp", window=window, seed=seed).sweep(facts[:: -(-len(facts) // most)])
    return tuple(sorted(swept.best_layers(top, "anywhere")))
