"""What raters should talk about: where the phases stand, which labels they confuse, on which records."""

from collections.abc import Sequence

import pandas as pd

from attention_faults.labelling.form import CONFIDENCE
from attention_faults.labelling.progress import Progress
from attention_faults.labelling.protocol import Protocol
from attention_faults.taxonomy import agreement
from attention_faults.taxonomy.agreement import ADJUDICATION


def overview(phases: Sequence[Progress]) -> pd.DataFrame:
    """Return one row a phase: phase, state, records, to_rate, rated, missing, disputed (records)."""
    return pd.DataFrame(
        {
            "phase": phase.name,
            "state": phase.state,
            "records": len(phase.records),
            "to_rate": len(phase.assignment),
            "rated": int((phase.ratings["round"] != ADJUDICATION).sum()),
            "missing": len(phase.missing),
            "disputed": phase.disputes["record_id"].nunique(),
        }
        for phase in phases
    )


def gates(phases: Sequence[Progress]) -> pd.DataFrame:
    """Return one row a phase with ratings and question: phase, and the columns of `Progress.gate`."""
    rated = [phase.gate.assign(phase=phase.name) for phase in phases if len(phase.ratings)]
    columns = ["phase", "facet", "percent_agreement", "cohen_kappa", "records", "minimum", "passed"]
    return pd.concat(rated, ignore_index=True)[columns] if rated else pd.DataFrame(columns=columns)


def with_gates(measured: pd.DataFrame, phases: Sequence[Progress]) -> pd.DataFrame:
    """Return agreement with intervals, beside the kappa that a question must reach and whether it does.

    Args:
        measured: as `agreement.measure` returns it.
        phases: of the study.
    """
    gate = gates(phases)[["phase", "facet", "minimum", "passed"]]
    return measured.merge(gate.assign(measure="cohen_kappa"), how="left", on=["phase", "facet", "measure"])


def confused(phases: Sequence[Progress], protocol: Protocol) -> pd.DataFrame:
    """Count the pairs of labels between which raters differ.

    Returns:
        One row a pair of labels of a phase and question, the most frequent first within each: phase, facet,
        one, other (by name), count, share (of all disagreements on the question), one_means, other_means
        (their definitions).
    """
    columns = ["phase", "facet", "one", "other", "count", "share", "one_means", "other_means"]
    tables = []
    for phase in phases:
        pairs = agreement.confusion(phase.ratings)
        pairs = pairs[(pairs["first"] != pairs["second"]) & pairs["facet"].isin(phase.gate["facet"])]
        ends = pairs[["first", "second"]]
        pairs = pairs.assign(one=ends.min(axis=1), other=ends.max(axis=1))
        counts = pairs.groupby(["phase", "facet", "one", "other"], sort=False)["count"].sum().reset_index()
        book = protocol.book_of(phase.name)
        for end in ("one", "other"):
            counts[f"{end}_means"] = [
                book.definitions(facet)[label]
                for facet, label in zip(counts["facet"], counts[end], strict=True)
            ]
        counts["share"] = counts["count"] / counts.groupby("facet")["count"].transform("sum")
        order = counts["facet"].map({facet: n for n, facet in enumerate(phase.gate["facet"])})
        counts = counts.assign(order=order).sort_values(
            ["order", "count", "one"], ascending=[True, False, True]
        )
        tables.append(counts)
    return pd.concat(tables, ignore_index=True)[columns] if tables else pd.DataFrame(columns=columns)


def discuss_first(phases: Sequence[Progress], protocol: Protocol, candidates: pd.DataFrame) -> pd.DataFrame:
    """Rank the disputed records: first those on which raters differ most, and in the way they often differ.

    Returns:
        One row a phase and disputed record: phase, record_id, url, title, differs_on (number of questions),
        common (how often the pairs of labels occur in all), sure (ratings given with high confidence),
        labels.
        Within a phase sorted by differs_on, common and sure, each falling.
    """
    columns = ["phase", "record_id", "url", "title", "differs_on", "common", "sure", "labels"]
    threads = candidates.set_index("record_id")[["url", "title"]]
    pairs = confused(phases, protocol)
    keys = pairs["one"] + " | " + pairs["other"]
    counts = dict(zip(zip(pairs["phase"], pairs["facet"], keys, strict=True), pairs["count"], strict=True))
    tables = []
    for phase in phases:
        disputes = phase.disputes
        if disputes.empty:
            continue
        common = [
            counts.get((phase.name, facet, labels), 0)
            for facet, labels in zip(disputes["facet"], disputes["labels"], strict=True)
        ]
        lines = disputes["facet"] + ": " + disputes["labels"]
        by_record = disputes.assign(common=common, labels=lines).groupby("record_id")
        sure = phase.ratings[phase.ratings[CONFIDENCE] == "high"].groupby("record_id").size()
        table = by_record.agg(
            differs_on=("facet", "size"), common=("common", "sum"), labels=("labels", "; ".join)
        )
        table["sure"] = sure.reindex(table.index).fillna(0).astype(int)
        table = table.join(threads).assign(phase=phase.name).reset_index()
        order = ["differs_on", "common", "sure", "record_id"]
        tables.append(table.sort_values(order, ascending=[False, False, False, True]))
    return pd.concat(tables, ignore_index=True)[columns] if tables else pd.DataFrame(columns=columns)
