"""A real Label Studio on SQLite, in a process of its own.

Runs in an environment that has label-studio and pytest: `.ci/run labelstudio` makes one. Logs and what was sent are left in target/label-studio.
"""

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests
import service as running

ROOT = running.ROOT
KEPT = ROOT / "target" / "label-studio"
RECIPE = (ROOT / "docs" / "label-studio.md").read_text(encoding="utf-8")
TOKEN = "a-token-for-the-test"
LEGACY = "0123456789abcdef0123456789abcdef01234567"


def block(language, containing=""):
    """The first code block of the recipe in this language that has this text."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```", RECIPE, re.MULTILINE | re.DOTALL)
    return next(text for text in blocks if containing in text)


def settings_of_the_recipe():
    """The environment that the recipe starts Label Studio with."""
    return dict(re.findall(r"^export ([A-Z_]+)=(\S+)$", block("sh", "export LABEL_STUDIO"), re.MULTILINE))


class Studio:
    """A running Label Studio, asked by its API."""

    def __init__(self, url):
        self.url = url
        self.session = requests.Session()
        self.session.headers["Authorization"] = f"Token {LEGACY}"

    def call(self, method, path, status=(200, 201, 204), **options):
        answer = self.session.request(method, self.url + path, timeout=120, **options)
        assert answer.status_code in status, f"{method} {path}: {answer.status_code} {answer.text[:2000]}"
        return answer.json() if answer.content else None

    def project(self, title, config):
        return self.call("POST", "/api/projects/", json={"title": title, "label_config": config})["id"]

    def upload(self, project, picture):
        """Uploads a picture without making a task of it; the path under which tasks name it."""
        with open(picture, "rb") as file:
            path = f"/api/projects/{project}/import?commit_to_project=false"
            made = self.call("POST", path, files={"file": (picture.name, file)})
        upload = self.call("GET", f"/api/import/file-upload/{made['file_upload_ids'][0]}")
        return "/data/" + upload["file"].removeprefix("/data/")

    def task(self, project, **data):
        return self.call("POST", "/api/tasks/", json={"project": project, "data": data})["id"]

    def connect(self, project, url, **options):
        return self.call("POST", "/api/ml", json={"project": project, "url": url, "title": "reasonedit", **options})

    def backend(self, project):
        return self.call("GET", f"/api/ml?project={project}")[0]

    def action(self, project, action):
        body = {"selectedItems": {"all": True, "excluded": []}}
        return self.call("POST", f"/api/dm/actions?id={action}&project={project}", json=body)

    def predictions(self, project, task):
        """Retrieves predictions as the Data Manager does; those of the task, oldest first."""
        self.action(project, "retrieve_tasks_predictions")
        found = self.call("GET", f"/api/predictions/?task={task}")
        return sorted(found, key=lambda prediction: prediction["id"])


@pytest.fixture(scope="session")
def studio(tmp_path_factory):
    shutil.rmtree(KEPT, ignore_errors=True)
    KEPT.mkdir(parents=True)
    data = tmp_path_factory.mktemp("studio")
    port = running.free_port()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("LABEL_STUDIO_", "REASONEDIT_"))}
    environment |= settings_of_the_recipe() | {
        # It takes only yes or no here; CI systems have other values too.
        "CI": "false",
        # Nothing is told to anyone, and nobody is asked for a newer version.
        "COLLECT_ANALYTICS": "false", "LATEST_VERSION_CHECK": "false", "SENTRY_DSN": "", "FRONTEND_SENTRY_DSN": "",
        "LABEL_STUDIO_HOST": f"http://127.0.0.1:{port}",
    }
    program = Path(sys.executable).with_name("label-studio")
    command = [
        program, "start", "--no-browser", "--port", str(port), "--data-dir", str(data), "--internal-host", "127.0.0.1",
        "--username", "annotator@example.org", "--password", "for-the-test-only", "--user-token", LEGACY, "--enable-legacy-api-token",
    ]
    with open(KEPT / "label-studio.log", "wb") as log:
        process = subprocess.Popen(command, env=environment, cwd=data, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(1800):
            try:
                if requests.get(url + "/health", timeout=5).ok:
                    break
            except requests.RequestException:
                pass
            assert process.poll() is None, (KEPT / "label-studio.log").read_text(errors="replace")[-3000:]
            time.sleep(0.2)
        yield Studio(url)
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Backend:
    """A running reasonedit that can be stopped and started again where it was."""

    def __init__(self, folder, *options, token=None):
        self.folder, self.options, self.token = folder, options, token
        self.port = running.free_port()
        self.process = None
        self.start()

    def start(self):
        self.process, self.url = running.start(self.folder, *self.options, port=self.port)
        self.service = running.Service(self.url, self.token)

    def stop(self):
        running.stop(self.process)

    def kill(self):
        self.process.kill()
        self.process.wait()

    def call(self, method, path, body=None):
        return self.service.call(method, path, body)

    @property
    def address(self):
        return self.url + "/integrations/label-studio"

    def edits(self):
        return self.call("GET", "/edits")["edits"]

    def settled(self):
        """What became of annotations, once none waits."""
        for _ in range(600):
            found = self.call("GET", "/integrations/label-studio/annotations")
            if found["waiting"] == 0:
                return found["ended"]
            time.sleep(0.05)
        raise AssertionError("annotations still wait")


@pytest.fixture
def backend(studio, tmp_path, request):
    """A service that may read Label Studio's pictures, with the token that Label Studio hands over."""
    backend = Backend(tmp_path, "--set", f"server.label_studio.url={studio.url}")
    yield backend
    backend.stop()
    shutil.copy(tmp_path / "server.log", KEPT / f"{request.node.name}.log")
