"""The contract makes a working Python client: generated, imported and used here as docs/python-client.md says."""

import asyncio
import importlib
import json
import os
import subprocess
import sys
import time
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace

import pytest
from openapi_spec_validator import validate
from openapi_spec_validator.readers import read_from_filename
from service import ROOT, SAMPLES, Service, start, stop

pytestmark = pytest.mark.filterwarnings("error")

QUESTION = "What is this specimen called?"
CHOICES = ["triangle", "square", "pumpkin"]
TOKEN = "a-token-for-the-test"


@pytest.fixture(scope="module")
def document():
    return read_from_filename(str(ROOT / "openapi.yaml"))[0]


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    """The generated package and what is used of it; whatever the generator warns of is a fault of the contract."""
    folder = tmp_path_factory.mktemp("generated")
    made = subprocess.run(
        [
            Path(sys.executable).parent / "openapi-python-client", "generate", "--path", ROOT / "openapi.yaml",
            "--config", ROOT / "docs" / "openapi-python-client.yaml", "--meta", "none",
            "--output-path", folder / "reasonedit_client", "--fail-on-warning",
        ],
        # Its formatter is found on the path.
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True, text=True,
    )
    assert made.returncode == 0 and "arning" not in made.stdout + made.stderr, made.stdout + made.stderr
    sys.path.insert(0, str(folder))
    try:
        yield SimpleNamespace(
            folder=folder / "reasonedit_client",
            client=importlib.import_module("reasonedit_client"),
            models=importlib.import_module("reasonedit_client.models"),
            types=importlib.import_module("reasonedit_client.types"),
        )
    finally:
        sys.path.remove(str(folder))


def operation(name):
    """The module that was generated for an operation of the contract."""
    modules = list(Path(sys.modules["reasonedit_client"].__file__).parent.glob(f"api/*/{name}.py"))
    assert len(modules) == 1, f"{name}: {modules}"
    return importlib.import_module(f"reasonedit_client.api.{modules[0].parent.name}.{name}")


@pytest.fixture(scope="module")
def client(generated, service):
    with generated.client.Client(base_url=service.url, raise_on_unexpected_status=True) as client:
        yield client


def picture(generated, name="specimen.jpg"):
    return generated.types.File(payload=BytesIO((SAMPLES / name).read_bytes()), file_name=name, mime_type="image/jpeg")


def form(generated, **more):
    return generated.models.EditForm(
        image=picture(generated), question=QUESTION, answer="pumpkin", choices=CHOICES,
        reasoning=["The object has an irregular border.", "A purple object with a jagged border is called a pumpkin."],
        **more,
    )


def ended(job, client):
    """The job once it has ended."""
    for _ in range(600):
        job = operation("get_job").sync(job.id, client=client)
        if job.ended_at:
            return job
        time.sleep(0.1)
    raise AssertionError(f"{job.id} goes on")


def test_the_document_is_valid_and_the_services_own(document, service):
    validate(document)
    same = document == service.call("GET", "/openapi.json")
    assert same, "openapi.yaml is another one than that of the built program"


def test_every_operation_was_generated(document, generated):
    named = {operation["operationId"] for path in document["paths"].values() for operation in path.values()}
    made = {path.stem for path in generated.folder.glob("api/*/*.py")} - {"__init__"}
    assert made == named


def test_an_edit_from_its_upload_to_its_end(generated, client):
    models = generated.models
    edit = operation("create_edit").sync(
        client=client, body=form(generated, author="generated", tags=["one", "two"], metadata='{"case": "A-117"}', verify=True)
    )
    assert isinstance(edit, models.Edit)
    assert (edit.before.answer, edit.after.answer) == ("triangle", "pumpkin")
    assert edit.created_at.tzinfo is not None and edit.metadata["case"] == "A-117" and edit.tags == ["one", "two"]
    found = [area for statement in edit.reasoning for area in statement.evidence]
    assert found and all(area.source is models.EvidenceSource.MODEL for area in found)

    page = operation("list_edits").sync(client=client, author="generated", limit=1)
    assert [one.id for one in page.edits] == [edit.id] and page.next_cursor is None
    assert operation("get_edit").sync(edit.id, client=client).to_dict()["entries"] == edit.to_dict()["entries"]

    keys = operation("list_entries").sync(client=client).entries
    assert {key.kind for key in keys} == {models.Kind.ANSWER, models.Kind.STATEMENT}
    assert edit.id in keys[0].values[0].edit_ids
    stats = operation("get_codebook").sync(client=client)
    assert (stats.edits, stats.embedding.tap) == (1, "vision.3")

    area = found[0]
    part = operation("get_image").sync(edit.image.id, client=client, x=area.x, y=area.y, width=area.width, height=area.height)
    assert part.payload.read(8) == b"\x89PNG\r\n\x1a\n"

    gone = operation("revert_edit").sync_detailed(edit.id, client=client)
    assert (gone.status_code, gone.parsed) == (204, None)
    problem = operation("get_edit").sync(edit.id, client=client)
    assert isinstance(problem, models.Problem) and problem.status == 404


def test_a_question_as_json_and_as_a_form(generated, client):
    models = generated.models
    edit = operation("create_edit").sync(client=client, body=form(generated))
    asked = models.QueryInput(
        image=models.ImageById(id=edit.image.id), question=QUESTION, choices=CHOICES, compare=True,
        retrieval=models.RetrievalInput(k=3),
    )
    answer = operation("query").sync(client=client, body=asked)
    assert isinstance(answer, models.Answer)
    assert (answer.answer, answer.unedited.answer, answer.retrieval.k) == ("pumpkin", "triangle", 3)
    assert [choice.text for choice in answer.choices] == CHOICES
    assert edit.id in answer.retrieval.facts[0].edit_ids and answer.retrieval.facts[0].kind is models.Kind.ANSWER

    again = models.QueryForm(image=picture(generated, "another.jpg"), question=QUESTION, compare=True, max_tokens=8)
    answer = asyncio.run(operation("query").asyncio(client=client, body=again))
    assert (answer.answer, answer.unedited.answer) == ("pumpkin", "square")
    operation("revert_edit").sync_detailed(edit.id, client=client)


def test_statements_with_boxes_and_a_key(generated, client):
    models = generated.models
    boxed = models.StatementInput(statement="The object has an irregular border.", evidence=[models.BoxInput(x=40, y=128, width=146, height=44)])
    metadata = models.Metadata.from_dict({"case": "A-118"})
    body = models.EditInput(
        image=models.ImageByUrl(url="https://example.org/a.png"), question=QUESTION, answer="pumpkin",
        reasoning=[boxed, "A purple object with a jagged border is called a pumpkin."], metadata=metadata,
    )
    refused = operation("create_edit").sync(client=client, body=body)
    assert isinstance(refused, models.Problem) and refused.status == 422 and refused.errors[0].pointer == "/image/url"

    body.image = models.ImageById(id=operation("create_edit").sync(client=client, body=form(generated)).image.id)
    first, second = (
        operation("create_edit").sync_detailed(client=client, body=body, idempotency_key="A-118", verify=False, codebook="ward")
        for _ in range(2)
    )
    assert first.parsed.id == second.parsed.id and second.headers["idempotent-replayed"] == "true"
    assert [area.source for area in first.parsed.reasoning[0].evidence] == [models.EvidenceSource.USER]
    body.answer = "gourd"
    refused = operation("create_edit").sync(client=client, body=body, idempotency_key="A-118", codebook="ward")
    assert isinstance(refused, models.Problem) and refused.status == 409


def test_jobs_and_files(generated, client):
    models, file = generated.models, generated.types.File
    good = {"image": {"id": operation("list_edits").sync(client=client, codebook="ward").edits[0].image.id}, "question": "Is it red?", "answer": "no"}
    lines = "".join(json.dumps(line) + "\n" for line in (good, {**good, "answer": ""}))
    job = operation("create_edits").sync(client=client, codebook="lines", body=file(payload=BytesIO(lines.encode())))
    assert isinstance(job, models.Job) and job.kind is models.JobKind.BATCH
    job = ended(job, client)
    assert (job.state, job.error) == (models.JobState.DONE, None)
    assert job.result == models.BatchResult(lines=2, made=1, proposed=0, failed=1)
    results = operation("get_job_results").sync(job.id, client=client).payload.read().splitlines()
    first, second = (models.BatchLine.from_dict(json.loads(line)) for line in results)
    assert (first.line, first.status, second.problem.errors[0].pointer) == (1, 201, "/answer")
    assert operation("follow_job").sync(job.id, client=client).startswith("event: done\n")
    assert [one.id for one in operation("list_jobs").sync(client=client, kind=models.JobKind.BATCH).jobs] == [job.id]

    archive = operation("export_codebook").sync(client=client, codebook="lines").payload.read()
    summary = operation("import_codebook").sync(client=client, codebook="copy", body=file(payload=BytesIO(archive)))
    assert summary == models.ImportSummary(edits=1, images=1, skipped=0, reembedded=0)
    job = operation("import_codebook").sync(client=client, codebook="copy", background=True, body=file(payload=BytesIO(archive)))
    result = ended(job, client).result
    assert isinstance(result, models.ImportSummary) and (result.edits, result.skipped) == (0, 1)


def test_a_choice_of_the_layer(generated, client):
    models = generated.models
    asked = models.ModularityRequest(
        source="world", apply=models.Apply.NEVER, samples=4, runs=2, weight_samples=4, weight_runs=2, mismatched=0,
        taps=["vision.2", "vision.3"], weights=[1.0, 5.0], pooling=[models.Pooling.MEAN],
    )
    job = ended(operation("create_modularity").sync(client=client, body=asked), client)
    assert isinstance(job.result, models.ModularityResult) and not job.result.applied
    figure = operation("get_report_file").sync(job.id, "layers.svg", client=client)
    assert figure.startswith("<svg") or figure.startswith("<?xml")
    assert operation("get_modularity").sync(client=client).active.embedding.tap == "vision.3"


def test_problems_are_typed(generated, client, tmp_path):
    models = generated.models
    refused = operation("list_edits").sync_detailed(client=client, limit=0)
    assert refused.status_code == 422 and isinstance(refused.parsed, models.Problem)
    assert refused.parsed.type_ == "urn:reasonedit:problem:invalid" and refused.parsed.errors[0].pointer == "/limit"

    process, url = start(tmp_path, "--set", f'server.auth_tokens=["{TOKEN}"]')
    try:
        with generated.client.Client(base_url=url) as stranger:
            assert operation("get_codebook").sync(client=stranger).status == 401
            assert operation("get_readiness").sync(client=stranger).status is models.ReadyStatus.READY
        with generated.client.AuthenticatedClient(base_url=url, token=TOKEN) as known:
            assert operation("get_codebook").sync(client=known).edits == 0
    finally:
        stop(process)
