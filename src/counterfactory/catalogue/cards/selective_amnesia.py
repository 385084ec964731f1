"""The card of selective amnesia."""

from counterfactory.catalogue.card import Card

CARD = Card(
    slug="selective_amnesia",
    room="edit",
    title="Selective amnesia",
    paper="SHA256 at SemEval-2025 Task 4: Selective Amnesia, Constrained Unlearning for LLMs via Knowledge Isolation, "
    "2025.",
    arxiv="2504.12996",
    month="2025-04",
    summary="Makes a language model forget records, in the few layers that hold them, and keep what it knows besides.",
    idea="""
Causal tracing finds the layers whose MLPs bring back the answer about a damaged subject.
Those MLPs alone are trained; every other weight keeps its bits.
The loss of the records to forget is pushed up, that of the records to retain is held down.
The weight of the second rises by itself as soon as the retained loss does.
The checkpoint that forgot most among those that still know the rest is kept, as an edit that can be reverted.
""",
    fails_when="What is retained does not resemble what goes: all answers of that form suffer, and only rows to "
    "retain hold them. Membership can still be read off: after ascent the records may stand out as unlikely. "
    "Trained again on some of the people, a model may remember others: the audit's relearning shows how many.",
    accepts=("language models", "records", "general questions"),
    needs=("language models", "records"),
    gives=("edits", "unlearned models"),
    cost="On the zoo's language model, 720 records and 16 passes take half a minute of one core. "
    "Tracing, twelve steps on nine prompts and the audit take 47 s of a core on Gemma 3 270M.",
    target="counterfactory.edit.selective_amnesia:SelectiveAmnesia",
    settings="counterfactory.edit.selective_amnesia:SelectiveAmnesiaSettings",
    claims={
        "records_are_forgotten": "records that have to go are hardly answered any more",
        "the_rest_is_kept": "records that have to stay are",
        "other_knowledge_is_kept": "and so are facts about other things",
        "beats_ascent": "it scores above gradient ascent",
        "nothing_else_moves": "no other weight moves, and revert restores every bit",
    },
    reproduce={
        "OLMo 1B": {"layers": (0, 1, 2, 3, 4, 5), "lr": 1.5e-5, "batch_size": 120, "epochs": 8},
    },
)
