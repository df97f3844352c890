"""A real Label Studio on loopback: our configuration and tasks, an annotation by its API, its export read.

Usage: python tests/tools/label_studio.py PATH_OF_LABEL_STUDIO       (make test-label-studio)
"""

import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import requests

sys.path.insert(0, str(Path(__file__).parents[1]))
from support.labelling import PHASES, Running, write_study

EMAIL = "rater@example.org"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(program: str, folder: Path, password: str, port: int) -> subprocess.Popen[bytes]:
    quiet = {"LABEL_STUDIO_LATEST_VERSION_CHECK": "false", "COLLECT_ANALYTICS": "False", "SENTRY_DSN": ""}
    command = [program, "start", "--no-browser", "--internal-host", "127.0.0.1", "--port", str(port)]
    command += ["--data-dir", str(folder), "--username", EMAIL, "--password", password]
    log = (folder / "log").open("wb")
    return subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **quiet})


def sign_in(home: str, password: str) -> requests.Session:
    session = requests.Session()
    for _ in range(300):
        try:
            session.get(f"{home}/user/login/", timeout=5).raise_for_status()
            break
        except requests.RequestException:
            time.sleep(1)
    token = session.cookies["csrftoken"]
    form = {"email": EMAIL, "password": password, "csrfmiddlewaretoken": token}
    session.post(f"{home}/user/login/", data=form, headers={"Referer": home}, timeout=60).raise_for_status()
    session.headers.update({"X-CSRFToken": session.cookies["csrftoken"], "Referer": home})
    return session


def check(home: str, session: requests.Session, folder: Path) -> None:
    running = Running(write_study(folder / "study", phases={"main": PHASES["full_manual_analysis"]}))
    ben = next(path for path in running.hand_out() if path.stem == "ben")
    project = {"title": "main", "label_config": ben.with_suffix(".xml").read_text()}
    made = session.post(f"{home}/api/projects", json=project, timeout=60)
    made.raise_for_status()
    api = f"{home}/api/projects/{made.json()['id']}"
    tasks = ben.read_bytes()
    sent = session.post(
        f"{api}/import", data=tasks, headers={"Content-Type": "application/json"}, timeout=120
    )
    sent.raise_for_status()
    listed = session.get(f"{api}/tasks?page_size=1", timeout=60).json()
    chosen = {"root_cause__of__masks": "axis", "category": "masks", "symptom": "slow", "confidence": "high"}
    result = [
        {"from_name": name, "to_name": "thread", "type": "choices", "value": {"choices": [label]}}
        for name, label in chosen.items()
    ]
    annotation = f"{home}/api/tasks/{listed[0]['id']}/annotations/"
    session.post(annotation, json={"result": result}, timeout=60).raise_for_status()
    export = session.get(f"{api}/export?exportType=JSON&download_all_tasks=true", timeout=120)
    export.raise_for_status()
    target = running.folder / "returned" / "main" / "ben.json"
    target.parent.mkdir(parents=True)
    target.write_bytes(export.content)
    ratings = running.ratings()
    assert len(ratings) == 1
    row = ratings.iloc[0]
    expected = {
        "rater": "ben",
        "category": "masks",
        "root_cause": "axis",
        "symptom": "slow",
        "confidence": "high",
    }
    assert {name: row[name] for name in expected} == expected
    assert row["record_id"] == listed[0]["data"]["record_id"]
    version = session.get(f"{home}/api/version", timeout=60).json()["release"]
    print(f"Label Studio {version}: configuration accepted, {sent.json()['task_count']} tasks imported,")
    print("1 annotation made, exported and read back as", dict(row[["record_id", *expected]]))


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, password, port = Path(name), secrets.token_hex(16), free_port()
        server = start(sys.argv[1], folder, password, port)
        try:
            home = f"http://127.0.0.1:{port}"
            check(home, sign_in(home, password), folder)
        finally:
            server.terminate()
            server.wait()


if __name__ == "__main__":
    main()
