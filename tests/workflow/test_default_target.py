"""The default target, offline, on the embedded dataset and a user's own of another shape."""

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path

import nbclient
import nbformat
import pandas as pd
import pytest
import yaml
from snakemake.utils import update_config
from support.project import EVIL, ROOT, Run, snakemake

pytestmark = pytest.mark.xdist_group("workflow")

FIXED_BEFORE = (
    "cb1dccbd712777cacbfa389d9bf6de9d1befd0e517086493c396da2f4059cffe"  # protocol of the curvature study
)
STABLE = (".csv", ".html", ".tex", ".svg", ".png", ".pdf", ".safetensors")


def results(run: Run) -> dict[str, bytes]:
    """Return name -> content of every result that two runs must agree on."""
    found = sorted(run.results.rglob("*"))
    return {
        str(path.relative_to(run.results)): path.read_bytes()
        for path in found
        if (path.suffix in STABLE or path.name == "train.json")
        and path.name != "report.html"
        and "timings" not in path.parts
    }


def read(run: Run, dataset: str, table: str) -> pd.DataFrame:
    return pd.read_csv(run.results / dataset / "tables" / f"{table}.csv", keep_default_na=False)


def test_every_table_and_figure_comes_in_all_its_formats(finished: Run) -> None:
    for dataset in ("github_2026", "own", "compare", "curvature"):
        for folder, formats in (("tables", {".csv", ".html", ".tex"}), ("figures", {".png", ".svg", ".pdf"})):
            files = list((finished.results / dataset / folder).iterdir())
            stems = {path.stem for path in files}
            assert stems
            assert len(files) == 3 * len(stems)
            assert {path.suffix for path in files} == formats
            assert all(path.stat().st_size > 0 for path in files)


def test_a_second_run_has_nothing_to_do_and_says_so(finished: Run) -> None:
    again = snakemake(finished.folder, "--configfile", "test.yaml")
    assert again.returncode == 0
    assert "Nothing to be done" in again.stdout


def test_two_clean_runs_give_the_same_bytes(finished: Run, run_offline: Callable[..., Run]) -> None:
    first, second = results(finished), results(run_offline("second", "--config", "datasets=[own]"))
    both = [name for name in first if name.startswith(("own/", "curvature/"))]
    assert len(both) > 200
    assert sorted(both) == sorted(name for name in second if not name.startswith("compare/"))
    assert [name for name in both if first[name] != second[name]] == []


def test_own_dataset_of_another_shape_gets_the_same_study(finished: Run) -> None:
    prevalence = read(finished, "own", "prevalence")
    counts = prevalence[(prevalence["population"] == "all") & (prevalence["facet"] == "root_cause")]
    assert counts["label"].tolist() == ["wrong_fill", "None", "mixed", "merged", "step_missing", "order"]
    assert counts["count"].astype(int).sum() == 120
    rules = read(finished, "own", "heuristics").query("analysis == 'primary'")
    assert ("symptom=slow", "None") in set(zip(rules["antecedent"], rules["consequent"], strict=True))
    names = {path.stem for path in (finished.results / "own" / "tables").iterdir()}
    assert "agreement" not in names  # it has no ratings


def test_synthetic_data_is_called_synthetic_wherever_it_is_shown(finished: Run) -> None:
    for path in (finished.results / "own").rglob("*.html"):
        assert "SYNTHETIC DATA" in path.read_text(), path
    for path in (finished.results / "own" / "figures").glob("*.svg"):
        assert "SYNTHETIC DATA" in path.read_text(), path
    assert not any(
        "SYNTHETIC DATA" in path.read_text()
        for path in (finished.results / "github_2026/tables").glob("*.html")
    )


def test_limits_of_the_embedded_dataset_stand_under_every_table(finished: Run) -> None:
    for path in (finished.results / "github_2026" / "tables").glob("*.html"):
        assert "not the 555 faults of Jahan et al." in " ".join(path.read_text().split()), path


def test_the_table_of_triage_says_what_it_cannot_measure(finished: Run) -> None:
    page = " ".join((finished.results / "github_2026/tables/triage.html").read_text().split())
    assert "how well triage tells a fault from another thread is not measured" in page


def test_models_trained_on_made_up_data_are_called_so(finished: Run) -> None:
    for name in ("runs", "clean_accuracies", "mutants", "mutation_scores"):
        assert "SYNTHETIC DATA: han." in (finished.results / f"curvature/tables/{name}.html").read_text()
    for path in (finished.results / "curvature/figures").glob("*.svg"):
        assert "SYNTHETIC DATA: han." in path.read_text(), path


def test_every_mutant_has_a_verdict_and_half_are_killed(finished: Run) -> None:
    verdicts = read(finished, "curvature", "mutants")["verdict"]
    assert set(verdicts) <= {"killed", "surviving"}
    assert (verdicts == "killed").mean() >= 0.5


def test_the_verdict_names_its_protocol(finished: Run) -> None:
    protocol = hashlib.sha256((ROOT / "docs/protocol.md").read_bytes()).hexdigest()
    assert protocol in (finished.results / "curvature/tables/verdict.html").read_text()


def test_what_was_fixed_before_the_first_run_stands_as_it_was() -> None:
    text = (ROOT / "docs/protocol.md").read_text().partition("## Curvature study")[2]
    fixed, changes, _ = text.partition("\n### Changed after a result was seen")
    assert changes
    assert hashlib.sha256(fixed.encode()).hexdigest() == FIXED_BEFORE


def test_a_study_without_the_three_models_has_no_verdict(finished: Run) -> None:
    verdict = read(finished, "curvature", "verdict")
    assert verdict["verdict"].iloc[0] == "none: the study lacks cnn3d, distilbert"
    claims = read(finished, "curvature", "claims").set_index("id")
    assert set(claims["verdict"]) == {"not comparable"}
    assert claims["reason"]["hessian_over_gradient"].startswith("there is no verdict")


def test_every_faulty_run_is_ranked_by_every_ranker(finished: Run) -> None:
    rows = read(finished, "curvature", "localisation")
    rows = rows[(rows["regime"] == "with reference") & (rows["granularity"] == "block")]
    assert set(rows["model"]) == {"han"}
    assert {"hessian_aggregate", "gradient_norm", "interaction_change", "random"} <= set(rows["ranker"])
    assert rows["runs"].unique().tolist() == [20]
    assert rows["mrr"].between(0, 1).all()
    control = read(finished, "curvature", "negative_control")
    assert control["at_chance"].tolist() == [True] * len(control)


def test_comparison_holds_both_datasets(finished: Run) -> None:
    table = pd.read_csv(finished.results / "compare/tables/datasets.csv", keep_default_na=False)
    specific = table[(table["facet"] == "scope") & (table["label"] == "attention_specific")].iloc[0]
    assert float(specific["github_2026 count"]) == 254
    assert 0 < float(specific["own share"]) < 1


def test_adjudicated_labels_equal_the_records(finished: Run) -> None:
    assert read(finished, "github_2026", "adjudication")["different"].tolist() == [0] * 7


def test_formula_cells_are_escaped_on_export(finished: Run) -> None:
    observed = read(finished, "own", "records")["observed"]
    assert observed[0] == EVIL
    assert set(observed[1:]) == {"'=1+1"}


def test_provenance_names_configuration_seed_and_versions(finished: Run) -> None:
    content = json.loads((finished.results / "own" / "provenance.json").read_text())
    assert content["seed"] == content["configuration"]["seed"]
    assert content["dataset"]["synthetic"] is True
    assert content["versions"]["pandas"] == pd.__version__


@pytest.mark.parametrize("page", ["docs/inventory.md", "docs/faults.md", "docs/findings.md"])
def test_committed_page_is_the_one_its_rule_writes(project: Path, page: str) -> None:
    (project / page).unlink()
    written = snakemake(project, page, "--cores", "1")
    assert written.returncode == 0, written.stdout
    assert (project / page).read_bytes() == (ROOT / page).read_bytes()


def test_changed_code_reruns_what_it_made(finished: Run) -> None:
    source = finished.folder / "src/attention_faults/taxonomy/prevalence.py"
    original = source.read_text()
    source.write_text(original + "\n# changed\n")
    planned = snakemake(finished.folder, "--configfile", "test.yaml", "--dry-run", own_code=True)
    source.write_text(original)
    assert "measure_prevalence" in planned.stdout
    assert "Nothing to be done" not in planned.stdout


@pytest.mark.parametrize(
    ("change", "again"),
    [
        ({"models": {"han": {"options": {"hidden": 4}}}}, 7),
        ({"curvature": {"reference": 6}}, 1),
        ({"curvature": {"seeds": 6}}, 5),
        ({"curvature": {"dtype": "float64"}}, 7),
        ({"models": {"han": {"faults": []}}}, 0),
    ],
    ids=str,
)
def test_changed_models_and_seeds_are_trained_again_and_no_others(
    finished: Run, change: dict[str, dict[str, object]], again: int
) -> None:
    settings = yaml.safe_load((finished.folder / "test.yaml").read_text())
    update_config(settings, change)
    (finished.folder / "changed.yaml").write_text(yaml.safe_dump(settings))
    planned = snakemake(finished.folder, "--configfile", "changed.yaml", "--dry-run", "curvature")
    assert planned.returncode == 0, planned.stdout
    counted = re.search(r"^train_series +(\d+)$", planned.stdout, re.MULTILINE)
    assert (int(counted.group(1)) if counted else 0) == again


def test_a_mistake_in_a_fault_is_named_and_stops_the_study(project: Path) -> None:
    wrong = {"operator": "mask_droped", "places": ["pap"], "severities": [1]}
    settings = {"curvature": {"models": ["graph_han"]}, "models": {"graph_han": {"faults": [wrong]}}}
    (project / "wrong.yaml").write_text(yaml.safe_dump(settings))
    run = snakemake(project, "curvature", "--configfile", "wrong.yaml")
    assert run.returncode != 0
    assert (
        "key `models.graph_han.faults`: there is no fault operator `mask_droped`; did you mean" in run.stdout
    )
    assert "Traceback" not in run.stdout
    assert not list((project / "results").rglob("mutants.csv"))


def test_study_runs_in_another_working_directory(tmp_path: Path) -> None:
    planned = snakemake(ROOT, "--directory", str(tmp_path), "--dry-run", "--cores", "1")
    assert planned.returncode == 0, planned.stdout
    assert "validate_dataset" in planned.stdout


def test_numbers_given_on_the_command_line_are_checked(project: Path) -> None:
    planned = snakemake(project, "--dry-run", "--config", "interval={draws: 500, level: 0.9}")
    assert planned.returncode == 0, planned.stdout
    refused = snakemake(project, "--dry-run", "--config", "interval={draws: many, level: 0.9}")
    assert refused.returncode != 0
    assert "key `interval.draws`" in refused.stdout


@pytest.mark.parametrize(("name", "figures", "shown"), [("taxonomy", 3, 6), ("curvature", 7, 7)])
def test_notebook_walks_through_the_results(finished: Run, name: str, figures: int, shown: int) -> None:
    notebook = nbformat.read(finished.folder / f"notebooks/{name}.ipynb", as_version=4)
    nbclient.NotebookClient(notebook, resources={"metadata": {"path": str(finished.folder)}}).execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    kinds = [kind for output in outputs for kind in output.get("data", {})]
    assert kinds.count("image/png") == figures
    assert kinds.count("text/html") >= shown


def test_timings_are_kept_for_every_rule_of_a_dataset(finished: Run) -> None:
    timed = {path.stem for path in (finished.results / "github_2026/timings").glob("*.tsv")}
    assert {"validate_dataset", "derive_heuristics", "draw_taxonomy", "render_report"} <= timed


def test_targets_can_be_named(finished: Run) -> None:
    for target in ("tables", "figures", "taxonomy", "curvature", "reports"):
        planned = snakemake(finished.folder, "--configfile", "test.yaml", "--dry-run", "--forceall", target)
        assert planned.returncode == 0, planned.stdout
        assert "total" in planned.stdout


def test_nothing_half_written_is_left(finished: Run) -> None:
    hidden = {path.name for path in finished.results.rglob(".*")}
    assert hidden <= {".snakemake_timestamp"}  # Snakemake's own, in every folder that is an output
