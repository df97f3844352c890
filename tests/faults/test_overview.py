"""The catalogue as a table: every operator once, with its places or why it has none."""

from attention_faults.faults.operator import catalogue
from attention_faults.faults.overview import catalogue_table
from attention_faults.subjects.distilbert import DistilBert
from attention_faults.subjects.han import Han


def test_every_operator_stands_once_with_its_places_or_a_reason():
    models = {
        subject.name: (subject, subject.build(subject.task(0), seed=0)) for subject in (Han(), DistilBert())
    }
    table = catalogue_table(models).set_index("operator")
    assert sorted(table.index) == sorted(catalogue())
    assert table.loc["wrong_scale", "distilbert"] == "layer0, layer1"
    assert table.loc["wrong_scale", "han"] == "(needs attention of kind self or causal_self or cross)"
    assert table.loc["cache_updated_twice", "distilbert"] == "(needs a cache)"
    assert table.loc["positions_restart", "han"] == "(needs position embeddings)"
    assert table.loc["labels_wrong", "han"] == "(no place: the training process)"
    assert table.loc["feed_forward_dropped", "distilbert"] == "layer0.ffn, layer1.ffn"
    assert not (table == "").any(axis=None)
