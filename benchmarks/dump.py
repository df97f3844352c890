"""How fast the Stack Exchange dump is read, and in how much memory, beside pandas doing the same.

Usage: python benchmarks/dump.py [MEGABYTES ...]       (default: 200 1000)

SYNTHETIC posts, half questions and half answers, one question in twenty with a wanted tag, are read as
`Posts.xml`; up to IN_MEMORY also as `.7z` (LZMA2 and, as Stack Exchange's archives were for long, bzip2), and
by `pandas.read_xml(iterparse=...)` with a merge, which holds all of them in memory. MB are those of the XML.
"""

import sys
import tempfile
from collections.abc import Callable
from functools import partial
from html import escape
from pathlib import Path

import numpy as np
import pandas as pd
import py7zr
from cost import of
from synthetic_threads import pool

from attention_faults.mining import dump
from attention_faults.mining.privacy import Pseudonyms

PACKED = {"LZMA2": {"id": py7zr.FILTER_LZMA2, "preset": 1}, "bzip2": {"id": py7zr.FILTER_BZIP2}}
IN_MEMORY = 500  # MB
FIELDS = ["Id", "PostTypeId", "ParentId", "AcceptedAnswerId", "CreationDate", "Title", "Tags", "Body"]


def write(path: Path, megabytes: int) -> None:
    """Write a dump of about this size."""
    sentences = [escape(f"<p>{sentence}</p>\n").replace("\n", "&#xA;") for sentence in pool(1)]
    draw = np.random.default_rng(1)
    with path.open("w", encoding="utf-8") as file:
        file.write('<?xml version="1.0" encoding="utf-8"?>\n<posts>\n')
        number = 0
        while file.tell() < megabytes * 1e6:
            for chosen in draw.integers(0, len(sentences), (10_000, 10)).tolist():
                number += 1
                body = "".join(sentences[i] for i in chosen)
                tags = "|pytorch|attention|" if number % 40 == 1 else "|python|pandas|"
                kind = (
                    f'PostTypeId="1" AcceptedAnswerId="{number + 1}" Title="Question {number}" Tags="{tags}"'
                    if number % 2
                    else f'PostTypeId="2" ParentId="{number - 1}"'
                )
                file.write(
                    f'  <row Id="{number}" {kind} CreationDate="2020-07-31T21:42:52.667" Score="1"'
                    f' Body="{body}" OwnerUserId="8" ContentLicense="CC BY-SA 4.0" />\n'
                )
        file.write("</posts>\n")


def ours(path: Path) -> int:
    wanted = dump.threads(path, "stackoverflow", tags=["attention"], words=[], pseudonyms=Pseudonyms(b"salt"))
    return sum(1 for _ in wanted)


def with_pandas(path: Path) -> int:
    posts = pd.read_xml(path, iterparse={"row": FIELDS}, dtype=str, parser="etree")
    questions = posts[(posts["PostTypeId"] == "1") & posts["Tags"].str.contains(r"\|attention\|", na=False)]
    answers = posts[posts["PostTypeId"] == "2"]
    return questions.merge(answers, left_on="Id", right_on="ParentId", how="left")["Id_x"].nunique()


def report(name: str, megabytes: float, work: Callable[[], int]) -> None:
    """Do some work and print what it cost."""
    cost = of(work)
    rates = f"{megabytes / cost.seconds:6.1f} MB/s ({megabytes / cost.processor:6.1f} a second of processor)"
    found = f"{cost.peak:6.0f} MiB, {cost.result:,} questions"
    print(f"{name:12} {megabytes:6,.0f} MB: {rates}, {found}", flush=True)


def main() -> None:
    for megabytes in [int(size) for size in sys.argv[1:]] or [200, 1000]:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "Posts.xml")
            write(path, megabytes)
            size = path.stat().st_size / 1e6
            report("Posts.xml", size, partial(ours, path))
            if megabytes > IN_MEMORY:
                continue
            report("pandas", size, partial(with_pandas, path))
            for name, how in PACKED.items():
                packed = Path(folder, f"{name}.7z")
                with py7zr.SevenZipFile(packed, "w", filters=[how]) as archive:
                    archive.write(path, "Posts.xml")
                report(f".7z, {name}", size, partial(ours, packed))


if __name__ == "__main__":
    main()
