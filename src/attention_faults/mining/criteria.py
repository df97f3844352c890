"""What a thread must satisfy to be a candidate, and how many candidates are drawn, as settings."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from attention_faults.settings import Settings

Evidence = Literal["linked_fix", "merged", "accepted_answer", "closed"]
Stratum = Literal["source", "kind", "project", "evidence"]
Between0And1 = Annotated[float, Field(gt=0, lt=1)]


class Length(Settings):
    """Characters of title and first post together; without a title, a thread is too short anyway."""

    least: Annotated[int, Field(ge=0)]
    most: Annotated[int, Field(ge=1)]

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.least > self.most:
            raise ValueError("`least` must be at most `most`")
        return self


class Criteria(Settings):
    """What a thread must satisfy to be a candidate."""

    near_duplicates: Annotated[float, Field(gt=0, le=1)] | None = (
        None  # Jaccard similarity; null: not looked for
    )
    characters: Length
    keywords: Annotated[int, Field(ge=0)]  # distinct ones in title and first post
    evidence: list[Evidence]  # one of them; none means that nothing is asked for
    languages: list[Annotated[str, Field(pattern="^[a-z]{2,3}$")]]  # ISO 639; none means any


class Sample(Settings):
    """How many candidates are drawn for labelling."""

    margin: Between0And1  # half width of the interval of a share
    level: Between0And1
    strata: Annotated[list[Stratum], Field(min_length=1)]
