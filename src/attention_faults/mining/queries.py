"""What is mined: sources, frameworks, keywords and dates, as settings."""

import re
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Literal, Self

import yaml
from pydantic import AfterValidator, Field, model_validator
from snakemake.utils import update_config

from attention_faults import settings
from attention_faults.errors import InputError
from attention_faults.mining.thread import Source
from attention_faults.settings import Settings

FOLDER_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
REPOSITORY = r"^[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?/[A-Za-z0-9._-]*[A-Za-z0-9_-][A-Za-z0-9._-]*$"
HUB_ID = r"^(?:[A-Za-z0-9_-][A-Za-z0-9_.-]*/)?[A-Za-z0-9_-][A-Za-z0-9_.-]*$"
# https://docs.github.com/en/rest/search/search#limitations-on-query-length
MAX_PHRASES = 6  # five operators between them
MAX_CHARACTERS = 256


def _short_enough(phrases: list[str]) -> list[str]:
    length = sum(map(len, phrases))
    if length > MAX_CHARACTERS:
        raise ValueError(f"GitHub searches at most {MAX_CHARACTERS} characters, this set has {length}")
    return phrases


Name = Annotated[str, Field(pattern=FOLDER_NAME, max_length=60)]
Label = Annotated[str, Field(pattern=r'^[^"\x00-\x1f\x7f]+$', max_length=50)]
Phrase = Annotated[str, Field(pattern=r'^[A-Za-z0-9][^"\x00-\x1f\x7f]*$', max_length=80)]
Phrases = Annotated[list[Phrase], Field(min_length=1, max_length=MAX_PHRASES), AfterValidator(_short_enough)]
Repository = Annotated[str, Field(pattern=REPOSITORY, max_length=140)]
Site = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*$")]
Count = Annotated[int, Field(ge=1)]
HubKind = Literal["model", "dataset", "space"]


class Framework(Settings):
    """A framework under study: its repository on GitHub, and its tag on Stack Overflow if it has one."""

    repository: Repository
    tag: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.+#-]*$")] | None = None


class RepositorySearch(Settings):
    """Repositories that GitHub's search finds, in addition to the frameworks'."""

    min_stars: Annotated[int, Field(ge=0)]
    language: Label
    topics: list[Annotated[str, Field(pattern=r"^[a-z0-9-]+$")]]
    limit: Annotated[int, Field(ge=1, le=1000)]


class GitHub(Settings):
    """Which threads of GitHub, and of which repositories beside the frameworks'."""

    labels: list[Label]  # one of them; none means any thread
    kinds: Annotated[list[Literal["issue", "pull_request"]], Field(min_length=1)]
    repositories: Path | None = None  # CSV with a column `name` (owner/name), as search sites export it
    search: RepositorySearch | None = None


class HubRepository(Settings):
    """A model, dataset or space whose community tab is read."""

    kind: HubKind
    id: Annotated[str, Field(pattern=HUB_ID, max_length=140)]


class HubSearch(Settings):
    """The most downloaded (spaces: most liked) repositories that a word finds."""

    kind: HubKind
    word: Annotated[str, Field(min_length=1, max_length=80)]
    limit: Annotated[int, Field(ge=1, le=1000)]


class HuggingFace(Settings):
    """Whose discussions and pull requests are read; the keywords then choose among them."""

    repositories: list[HubRepository]
    search: list[HubSearch]


class StackExchange(Settings):
    """Which sites are asked, or read from a dump; by choice only questions with a tag of the frameworks."""

    sites: Annotated[list[Site], Field(min_length=1)]
    tagged: bool
    dumps: dict[Site, Path] = Field(default={})  # `Posts.xml`, or a `.7z` that holds it


class Mining(Settings):
    """What is mined, from where, over which time."""

    archive: Path
    sources: Annotated[list[Source], Field(min_length=1)]
    since: date
    until: date  # the first day that is left out
    expected: Count  # threads of a query: a guess, for the estimate of how long it takes
    frameworks: Annotated[dict[Name, Framework], Field(min_length=1)]
    keywords: Annotated[dict[Name, Phrases], Field(min_length=1)]
    github: GitHub
    huggingface: HuggingFace
    stackexchange: StackExchange

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.since >= self.until:
            raise ValueError("`since` must be before `until`")
        return self

    @property
    def first(self) -> datetime:
        """First second of the time under study, UTC."""
        return datetime.combine(self.since, time(), UTC)

    @property
    def last(self) -> datetime:
        """Last second of the time under study, UTC."""
        return datetime.combine(self.until, time(), UTC) - timedelta(seconds=1)

    def holds(self, moment: datetime) -> bool:
        """Whether a moment is in the time under study."""
        return self.first <= moment < datetime.combine(self.until, time(), UTC)

    @staticmethod
    def folder(phrase: str) -> str:
        """Return a keyword as part of a folder's name."""
        return re.sub("[^A-Za-z0-9_]+", "-", phrase)

    @property
    def phrases(self) -> list[str]:
        """All keywords, each once, in their order."""
        return list(dict.fromkeys(phrase for phrases in self.keywords.values() for phrase in phrases))


def read(study: Path, overlay: Path | None) -> Mining:
    """Read the section `mining` of a study whose keys another file may override, as Snakemake does it.

    Raises:
        InputError: if a file cannot be read or the section does not fit.
    """
    content: dict[str, object] = {}
    for path in [study] + ([overlay] if overlay else []):
        try:
            update_config(content, yaml.safe_load(path.read_text(encoding="utf-8")) or {})
        except (OSError, UnicodeDecodeError, yaml.YAMLError, AttributeError) as error:
            raise InputError(f"{path}: not readable as the configuration of a study: {error}") from None
    return settings.parse(Mining, content.get("mining"), f"{overlay or study}: section `mining`")
