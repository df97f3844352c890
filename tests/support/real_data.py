"""Where the real data of the models lie, for the tests that need them."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("ATTENTION_FAULTS_DATA", ROOT.parent / "shared" / "data"))
ACM = DATA / "acm" / "ACM3025.mat"
REVIEWS = DATA / "movie_reviews" / "movie_reviews.zip"
POLARITY = DATA / "sentence_polarity" / "sentence_polarity.zip"


def needs(path: Path) -> pytest.MarkDecorator:
    """Skip a test where a file of real data is absent."""
    return pytest.mark.skipif(not path.exists(), reason=f"{path} is not there; set ATTENTION_FAULTS_DATA")
