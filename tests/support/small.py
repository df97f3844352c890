"""The models under study in sizes whose Hessian a test can afford."""

from dataclasses import replace

from attention_faults.subjects.cnn3d import Cnn3d
from attention_faults.subjects.decoder import Decoder
from attention_faults.subjects.distilbert import DistilBert
from attention_faults.subjects.graph_han import GraphHan
from attention_faults.subjects.han import Han
from attention_faults.subjects.subject import Recipe, Subject

GRAPH_HAN = GraphHan(heads=2, size=3, semantic=4, communities=8, members=4, inputs=5)
GRAPH_HAN_PROGRAM = replace(GRAPH_HAN, network="program")
SUBJECTS: dict[str, Subject] = {
    "han": Han(
        embedding=5, hidden=3, classes=3, weights=4, sentences=4, words=5, train_size=48, test_size=24
    ),
    "graph_han": GRAPH_HAN,
    "cnn3d": Cnn3d(
        channels=6,
        width=8,
        heads=2,
        latents=3,
        feed_forward=5,
        frames=8,
        size=9,
        classes=3,
        train_size=40,
        test_size=24,
        recipe=Recipe(epochs=2, batch_size=20, learning_rate=2e-3),
    ),
    "distilbert": DistilBert(
        heads=2,
        width=8,
        feed_forward=12,
        initial_deviation=0.5,
        keys=6,
        train_size=60,
        test_size=40,
        recipe=Recipe(epochs=3, batch_size=20, learning_rate=2e-3),
    ),
    "decoder": Decoder(
        heads=2,
        width=8,
        feed_forward=12,
        initial_deviation=0.5,
        train_size=60,
        test_size=40,
        recipe=Recipe(epochs=2, batch_size=20, learning_rate=2e-3),
    ),
}
