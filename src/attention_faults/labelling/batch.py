"""The next batch of candidates for the raters: the most probable ones, and a control sample."""

from dataclasses import dataclass

import pandas as pd

from attention_faults.errors import InputError
from attention_faults.labelling import candidates as threads
from attention_faults.labelling import stopping, triage
from attention_faults.labelling.assignment import draw, shuffled
from attention_faults.labelling.protocol import Protocol
from attention_faults.labelling.stopping import Recall
from attention_faults.taxonomy.codebook import ATTENTION_SPECIFIC

_SHOWN = ["url", "project", "source", "created", "title", "body"]


@dataclass(frozen=True)
class Batch:
    """What triage proposes.

    Attributes:
        ranking: every candidate of the pool, as `triage.rank` returns them.
        threads: those to rate next, in an order that says nothing of their rank.
        recall: of attention faults among as many of the ranking's first as the raters have been given.
    """

    ranking: pd.DataFrame
    threads: pd.DataFrame
    recall: Recall


def propose(
    protocol: Protocol, labels: pd.DataFrame, known: pd.DataFrame, *, wanted: float, level: float
) -> Batch:
    """Rank the pool of a study and draw the next batch from it.

    Add the batch to the study as one more file of candidates. Control candidates are drawn by a hash, rated
    whatever their rank, and teach the model nothing.

    Args:
        protocol: of the study, with its triage.
        labels: final labels so far, as `progress.final_labels` returns them.
        known: records of a finished dataset, to learn from: observed, cause, project, scope, category.
        wanted: recall at which raters may stop.
        level: of its lower bound.

    Raises:
        InputError: if the study names no pool, or the pool cannot be read.
    """
    if protocol.triage is None:
        raise InputError("the study file has no key `triage`, which names the pool of candidates to rank")
    settings = protocol.triage
    question, fault = next(iter(settings.fault.items()))
    pool = threads.read([settings.pool], protocol.columns)
    given = threads.read(protocol.candidates, protocol.columns)
    control = pool["record_id"].map(lambda record: draw(record, protocol.seed, "control") < settings.control)
    controls = set(pool.loc[control, "record_id"])
    wide = (
        labels.pivot(index="record_id", columns="facet", values="label")
        .reindex(given["record_id"])
        .fillna("")
    )
    wide = wide.reindex(columns=[question, "scope", "category"], fill_value="")
    ours = given.assign(text=triage.texts(given["title"], given["body"])).set_index("record_id").join(wide)
    learnt = ours[~ours.index.isin(controls)].rename(columns={question: "fault"})
    theirs = pd.DataFrame(
        {
            "text": triage.texts(known["observed"], known["cause"]),
            "project": known["project"],
            "scope": known["scope"].astype("str"),
            "category": known["category"].astype("str"),
            "fault": "",
        }
    )
    columns = ["text", "project", "fault", "scope", "category"]
    ranking = triage.rank(
        pd.concat([learnt[columns], theirs[columns]], ignore_index=True),
        pool.assign(text=triage.texts(pool["title"], pool["body"])),
        [f"fault={fault}", f"scope={ATTENTION_SPECIFIC}", "category"],
        seed=protocol.seed,
    )
    waiting = ranking[~ranking["record_id"].isin(ours.index)]
    first = waiting.loc[~waiting["record_id"].isin(controls), "record_id"].head(settings.batch)
    chosen = shuffled({*first, *(controls & set(waiting["record_id"]))}, protocol.seed, "batch")
    hits = wide[
        (wide["scope"] == ATTENTION_SPECIFIC) & (wide[question] != "") & (wide[question] == fault)
    ].index
    ranks = ranking.loc[ranking["record_id"].isin(controls) & ranking["record_id"].isin(hits), "rank"]
    depth = int(pool["record_id"].isin(ours.index).sum())
    return Batch(
        ranking,
        pool.set_index("record_id").loc[chosen, _SHOWN].reset_index(drop=True),
        stopping.recall(ranks, depth, wanted=wanted, level=level),
    )
