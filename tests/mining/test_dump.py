"""The dump reader against a small naive parse, and against dumps made to break it."""

import re
import threading
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree as ET
from xml.sax.saxutils import quoteattr

import py7zr
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from attention_faults.errors import InputError
from attention_faults.mining import dump, funnel, table
from attention_faults.mining.privacy import Pseudonyms
from attention_faults.mining.queries import Mining

ROOT = Path(__file__).parents[2]
PSEUDONYMS = Pseudonyms(b"salt of a test")
EVERYTHING = {"tags": (), "words": (), "pseudonyms": PSEUDONYMS}


def row(**attributes: object) -> str:
    return f"  <row {' '.join(f'{name}={quoteattr(str(value))}' for name, value in attributes.items())} />"


def question(number: int, **other: object) -> str:
    given = {"Title": f"Question {number}", "Body": "<p>Why?</p>", "Tags": "|pytorch|attention|"}
    return row(Id=number, PostTypeId=1, CreationDate="2020-07-31T21:42:52.667", **(given | other))


def answer(number: int, parent: int, **other: object) -> str:
    date = "2020-08-01T01:02:03.004"
    return row(
        Id=number, PostTypeId=2, ParentId=parent, CreationDate=date, **({"Body": "<p>So.</p>"} | other)
    )


def write(folder: Path, lines: list[str], head: str = '<?xml version="1.0" encoding="utf-8"?>') -> Path:
    path = folder / "Posts.xml"
    path.write_text("\n".join([f"\ufeff{head}", "<posts>", *lines, "</posts>", ""]), encoding="utf-8")
    return path


def read(path: Path, **filters):
    return list(dump.threads(path, "stackoverflow", **(EVERYTHING | filters)))


def naive(path: Path, tags: set[str], words: list[str]) -> dict[int, list[str]]:
    """Wanted questions with the bodies of their answers, all in memory."""
    posts = [element.attrib for element in ET.parse(path).getroot()]
    answers = defaultdict(list)
    for post in sorted((p for p in posts if p["PostTypeId"] == "2"), key=lambda p: int(p["Id"])):
        answers[post["ParentId"]].append(re.sub("<[^>]*>", "", post["Body"]).strip())
    wanted = {}
    for post in posts:
        said = f"{post.get('Title')} {post['Body']}".lower()
        if (
            post["PostTypeId"] == "1"
            and (not tags or tags & set(post["Tags"].strip("|").split("|")))
            and (not words or any(re.search(rf"\b{word}\b", said) for word in words))
        ):
            wanted[int(post["Id"])] = answers[post["Id"]]
    return wanted


@st.composite
def dumps(draw):
    """Posts in any order: questions, answers to them and to others, tag wikis."""
    numbers = draw(st.lists(st.integers(1, 2000), min_size=1, max_size=25, unique=True))
    asked = [number for number in numbers if number % 3 == 0]
    lines = []
    for number in numbers:
        body = draw(st.sampled_from(["a mask", "masked", "softmax & <NaN>", "Mask!", ""]))
        body = f"<p>{body.replace('&', '&amp;').replace('<N', '&lt;N').replace('n>', 'n&gt;')}</p>"
        if number % 3 == 0:
            tags = draw(st.sampled_from(["|pytorch|", "|jax|attention|", "|pandas|"]))
            lines.append(question(number, Tags=tags, Body=body))
        elif number % 3 == 1:
            parent = draw(st.sampled_from([*asked, 3333]))
            lines.append(answer(number, parent, Body=body))
        else:
            lines.append(row(Id=number, PostTypeId=4, Body=body))
    return lines


@given(
    dumps(), st.sampled_from([set(), {"pytorch"}, {"attention", "pandas"}]), st.sampled_from([[], ["mask"]])
)
def test_a_naive_parse_finds_the_same_questions_and_answers(tmp_path_factory, lines, tags, words):
    path = write(tmp_path_factory.mktemp("dump"), lines)
    found = {
        int(thread.url.rpartition("/")[2]): [part for part in thread.discussion.split("\n\n") if part]
        for thread in read(path, tags=tags, words=words)
    }
    expected = naive(path, tags, words)
    shown = {
        number: [ET.fromstring(f"<p>{a}</p>").text or "" for a in bodies]
        for number, bodies in expected.items()
    }
    assert list(found) == sorted(expected)
    assert found == {number: [body for body in bodies if body] for number, bodies in shown.items()}


def test_fields_of_a_question(tmp_path):
    lines = [
        question(
            4, AcceptedAnswerId=7, OwnerUserId=8, ClosedDate="2021-01-02T03:04:05.000",
            LastActivityDate="2021-02-03T04:05:06.700", Title="NaN &amp; <pad>",
            Body="<p>Ask me@example.org</p>",
        ),
        answer(7, 4, OwnerDisplayName="Ada L", Body="<p>As @Ada said: <code>a&lt;b</code></p>"),
        answer(6, 4),
    ]  # fmt: skip
    (thread,) = read(write(tmp_path, lines), query="dump")
    assert thread.url == "https://stackoverflow.com/questions/4"
    assert (thread.source, thread.kind, thread.project) == ("stackexchange", "question", "stackoverflow")
    assert thread.title == "NaN & <pad>"
    assert thread.body == f"Ask {PSEUDONYMS.of('me@example.org')}"
    assert thread.discussion == "So.\n\nAs @Ada said: a<b"
    assert thread.labels == ("pytorch", "attention")
    assert thread.author == PSEUDONYMS.of("stackoverflow/8")
    assert thread.created == datetime(2020, 7, 31, 21, 42, 52, 667000, tzinfo=UTC)
    assert thread.closed == datetime(2021, 1, 2, 3, 4, 5, tzinfo=UTC)
    assert thread.updated == datetime(2021, 2, 3, 4, 5, 6, 700000, tzinfo=UTC)
    assert (thread.state, thread.comments, thread.has_accepted_answer) == ("closed", 2, True)
    assert thread.query == "dump"


def test_tags_of_older_dumps(tmp_path):
    (thread,) = read(write(tmp_path, [question(1, Tags="<pytorch><attention-model>")]), tags={"PyTorch"})
    assert thread.labels == ("pytorch", "attention-model")


@pytest.mark.parametrize("method", [py7zr.FILTER_LZMA2, py7zr.FILTER_BZIP2, py7zr.FILTER_COPY])
def test_an_archive_gives_what_its_file_gives(tmp_path, method):
    path = write(tmp_path, [question(3 * i, Body=f"<p>{i}</p>" * 500) for i in range(1, 300)])
    packed = tmp_path / "site.7z"
    with py7zr.SevenZipFile(packed, "w", filters=[{"id": method}]) as archive:
        archive.writestr("who", "Users.xml")
        archive.write(path, "deep/Posts.xml")
    assert path.stat().st_size > 3 * dump.CHUNK
    assert list(dump.rows(packed)) == list(dump.rows(path))


@pytest.mark.parametrize(
    "packing", [{"id": py7zr.FILTER_ZSTD, "level": 3}, {"id": py7zr.FILTER_DEFLATE}], ids=["zstd", "deflate"]
)
def test_an_archive_that_unpacks_without_bounds_is_refused(tmp_path, packing):
    packed = tmp_path / "site.7z"
    with py7zr.SevenZipFile(packed, "w", filters=[packing]) as archive:
        archive.writestr(f"<posts>{question(1)}</posts>", "Posts.xml")
    with pytest.raises(InputError, match="which unpacks without bounds"):
        read(packed)


@pytest.mark.parametrize("written", ["attention mask", "attention\nmask", "<b>attention</b> <i>mask</i>"])
def test_a_keyword_is_found_through_markup(tmp_path, written):
    path = write(tmp_path, [question(1, Body=f"<p>my {written}!"), question(2, Body="attention, mask")])
    found = read(path, words=["attention mask"])
    assert [thread.url.rpartition("/")[2] for thread in found] == ["1"]


def test_a_reader_that_stops_early_ends_the_unpacking(tmp_path):
    path = write(tmp_path, [question(3 * i, Body=f"<p>{i}</p>" * 1000) for i in range(1, 300)])
    packed = tmp_path / "site.7z"
    with py7zr.SevenZipFile(packed, "w") as archive:
        archive.write(path, "Posts.xml")
    before = threading.active_count()
    rows = dump.rows(packed)
    next(rows)
    rows.close()
    assert threading.active_count() == before


def test_an_archive_writes_nothing_whatever_its_names_say(tmp_path, monkeypatch):
    monkeypatch.setattr(py7zr.py7zr, "check_archive_path", lambda name: True)  # as other packers do
    folder = tmp_path / "inner"
    folder.mkdir()
    packed = folder / "site.7z"
    with py7zr.SevenZipFile(packed, "w") as archive:
        archive.writestr(f"<posts>{question(1)}</posts>", "../../Posts.xml")
        archive.writestr("boom", "../evil.txt")
    with pytest.raises(InputError, match=r"site\.7z: not readable as 7z: Specified path is bad"):
        read(packed)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["inner", "site.7z"]


BILLION_LAUGHS = "<!DOCTYPE posts [<!ENTITY a 'ha'>" + "".join(
    f"<!ENTITY {chr(98 + i)} '{f'&{chr(97 + i)};' * 10}'>" for i in range(9)
)
BILLION_LAUGHS += "]>"


def posts(content: str) -> str:
    return f"<posts>{content}</posts>"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (BILLION_LAUGHS + posts("<row Id='&j;'/>"), "Posts.xml:1: declares a document type `posts`"),
        ("<!DOCTYPE posts SYSTEM 'file:///etc/passwd'><posts/>", "declares a document type `posts`"),
        (posts("<row Id='&undefined;'/>"), "Posts.xml:1: not readable as XML: undefined entity"),
        ("<posts>" + "<row>" * 5000, "expected `row` elements in a `posts` element, found `row`"),
        ("<html><body/></html>", "found `html`"),
        ("<posts>\n<row Id='1'\n", "not readable as XML: unclosed token"),
        (posts("<row Id='1' Id='2'/>"), "not readable as XML: duplicate attribute"),
        ("", "not readable as XML: no element found"),
        ("PK\x03\x04 no xml at all", "not readable as XML"),
        (posts(question(1)).replace("2020-07", "2020-17"), "`CreationDate`: expected a date, found"),
        (posts("<row Id='1' PostTypeId='1'/>"), "`CreationDate`: expected a date, it is missing"),
        (posts("<row Id='9999999999' PostTypeId='1'/>"), "expected a number below 1,073,741,824"),
        (posts("<row Id='-1' PostTypeId='1'/>"), "row with Id `-1`: `Id`: expected a number"),
        (posts("<row Id='2' PostTypeId='2'/>"), "`ParentId`: expected a number below .* it is missing"),
        (posts(question(1) * 2), "question 1 stands twice"),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else None,
)  # fmt: skip
def test_a_bad_dump_is_one_clear_error(tmp_path, content, problem):
    path = tmp_path / "Posts.xml"
    path.write_text(content)
    with pytest.raises(InputError, match=problem) as caught:
        read(path)
    assert len(str(caught.value)) < 500


@pytest.mark.parametrize("filling", ["Body='{}", "{} x='1'", "{}='1'", "/>{}"])
@pytest.mark.parametrize("blank", [" ", "y"])
def test_a_row_without_end_is_refused(tmp_path, filling, blank):
    path = tmp_path / "Posts.xml"
    path.write_text(f"<posts>\n<row Id='1' {filling.format(blank * (dump.LONGEST_ROW + 2 * dump.CHUNK))}")
    with pytest.raises(InputError, match=r"Posts.xml:\d: expected a row in 4,194,304 bytes, found none"):
        list(dump.rows(path))


@pytest.mark.parametrize(
    "bad", ["&#x1;", "&#0;", "&#x1F;", "&#xB;", "&#8;", "&#xD800;", "&#xFFFF;", "\x01", "\x1b[31m"]
)
def test_characters_that_xml_forbids_do_not_end_the_reading(tmp_path, bad):
    path = write(tmp_path, [])
    head = f"<posts>{question(1)}".replace("Question 1", "Question %s 1")
    for shift in range(dump.CHUNK - 60, dump.CHUNK + 2):  # the reference lies across two chunks
        start, end = head.split("%s")
        path.write_bytes(f"<posts>{' ' * (shift - len(start))}{start[7:]}{bad}{end}</posts>".encode())
        (thread,) = read(path)
        assert thread.title.startswith("Question ?")
        assert thread.title.isprintable()


def test_a_missing_file_is_one_clear_error(tmp_path):
    for name in ("Posts.xml", "site.7z"):
        with pytest.raises(InputError, match=name):
            read(tmp_path / name)


@pytest.mark.parametrize("damage", [b"", b"not an archive", None])
def test_a_damaged_archive_is_one_clear_error(tmp_path, damage):
    path = write(tmp_path, [question(3 * i, Body=f"<p>{i}</p>") for i in range(1, 2000)])
    packed = tmp_path / "site.7z"
    with py7zr.SevenZipFile(packed, "w") as archive:
        archive.write(path, "Posts.xml")
    content = packed.read_bytes()
    middle = len(content) // 2
    packed.write_bytes(content[:middle] + b"damage" + content[middle + 6 :] if damage is None else damage)
    with pytest.raises(InputError, match=r"site\.7z"):
        read(packed)


def test_an_archive_without_posts_says_so(tmp_path):
    packed = tmp_path / "site.7z"
    with py7zr.SevenZipFile(packed, "w") as archive:
        archive.writestr("<users/>", "Users.xml")
    with pytest.raises(InputError, match=r"expected one `Posts.xml` in the archive, found 0"):
        read(packed)


def test_a_configured_dump_is_written_with_its_completeness(tmp_path):
    path = write(tmp_path, [question(1, Title="Attention mask"), question(2), question(3, Title="kv cache")])
    path.write_text(path.read_text().replace("2020-07-31", "2016-07-31", 1))
    study = yaml.safe_load((ROOT / "config.yaml").read_text())["mining"]
    study |= {"archive": str(tmp_path / "raw")}
    study["stackexchange"] |= {"dumps": {"stackoverflow": str(path)}}
    mining = Mining.model_validate(study)
    threads, queries = tmp_path / "threads.parquet", tmp_path / "queries.csv"
    dump.write_site(mining, "stackoverflow", threads_to=threads, queries_to=queries)
    assert [thread.title for thread in table.read(threads)] == ["kv cache"]
    (completeness,) = funnel.completeness([queries]).to_dict("records")
    assert completeness["query"] == "dump--stackoverflow"
    assert [completeness[name] for name in ("found", "fetched", "unmatched", "truncated")] == [2, 2, 1, 0]
    with pytest.raises(InputError, match="there is no dump of `ai`"):
        dump.write_site(mining, "ai", threads_to=threads, queries_to=queries)
