"""docs/label-studio.md, with a real Label Studio: predictions out, corrections in, and back again."""

import json

import pytest
import requests
from conftest import KEPT, LEGACY, TOKEN, Backend, block
from service import SAMPLES

CONFIG = block("xml")
TASK = json.loads(block("json"))
ANOTHER = SAMPLES / "another.jpg"
SPECIMEN = SAMPLES / "specimen.jpg"
REASONS = [
    "The colour of this object is purple.",
    "The object has an irregular border.",
    "A purple object with a jagged border is called a pumpkin.",
]


def chosen(answer):
    return {"id": "answer", "from_name": "answer", "to_name": "image", "type": "choices", "value": {"choices": [answer]}}


def explained(*lines):
    text = {"text": ["\n".join(lines)]}
    return {"id": "rationale", "from_name": "rationale", "to_name": "image", "type": "textarea", "value": text}


def drawn(label, x, y, width, height):
    return {
        "id": f"box{label}", "from_name": "evidence", "to_name": "image", "type": "rectanglelabels", "origin": "manual",
        "original_width": 1, "original_height": 1, "image_rotation": 0,
        "value": {"x": x, "y": y, "width": width, "height": height, "rotation": 0, "rectanglelabels": [label]},
    }


def of_kind(prediction, kind):
    return [region for region in prediction["result"] if region["type"] == kind]


def answer(prediction):
    [region] = of_kind(prediction, "choices")
    return region["value"]["choices"]


@pytest.fixture
def project(studio):
    made = {"id": studio.project("Specimens", CONFIG)}
    for name, picture in (("task", SPECIMEN), ("other", ANOTHER)):
        made[name] = studio.task(made["id"], **TASK | {"image": studio.upload(made["id"], picture)})
    yield made
    studio.call("DELETE", f"/api/projects/{made['id']}/")


def keep(name, value):
    """What was sent, for whoever reads the log of a run."""
    (KEPT / f"{name}.json").write_text(json.dumps(value, indent=2), encoding="utf-8")


def test_a_correction_and_back(studio, backend, project):
    connected = studio.connect(project["id"], backend.address)
    assert connected["readable_state"] == "Connected", connected
    first_version = connected["model_version"]
    [webhook] = studio.call("GET", f"/api/webhooks/?project={project['id']}")
    assert webhook["url"] == backend.address + "/webhook"

    # The unedited model says what it sees.
    [first] = studio.predictions(project["id"], project["task"])
    keep("first-prediction", first)
    assert first["model_version"] == first_version and answer(first) == ["triangle"], first
    assert 0 < first["score"] <= 1 and not of_kind(first, "rectanglelabels")
    # Nothing changed, so nothing is asked for again.
    assert len(studio.predictions(project["id"], project["task"])) == 1

    # An answer without reasoning is left alone.
    silent = studio.call("POST", f"/api/tasks/{project['task']}/annotations/", json={"result": [chosen("pumpkin")]})
    assert backend.edits() == [] and backend.settled() == []

    results = [chosen("pumpkin"), explained(*REASONS), drawn("2", 25, 20, 50, 60)]
    made = studio.call("POST", f"/api/tasks/{project['task']}/annotations/", json={"result": results, "lead_time": 12.5})
    [ended] = backend.settled()
    [edit] = backend.edits()
    keep("edit", edit)
    assert (ended["outcome"], ended["edit"], ended["annotation"]) == ("edited", edit["id"], made["id"])
    assert (edit["question"], edit["answer"]) == (TASK["question"], "pumpkin")
    assert edit["choices"] == ["triangle", "square", "pumpkin"]
    assert [reason["statement"] for reason in edit["reasoning"]] == REASONS
    width, height = edit["image"]["width"], edit["image"]["height"]
    [box] = edit["reasoning"][1]["evidence"]
    assert box["source"] == "user"
    assert (box["x"], box["width"]) == (round(width * 0.25), round(width * 0.75) - round(width * 0.25))
    assert (box["y"], box["height"]) == (round(height * 0.2), round(height * 0.8) - round(height * 0.2))
    assert edit["author"] == f"label-studio:{made['completed_by']}"
    assert edit["tags"] == ["label-studio", f"label-studio:annotation:{made['id']}"]
    about = edit["metadata"]["label_studio"]
    assert (about["task"], about["annotation"], about["url"]) == (project["task"], made["id"], studio.url)
    assert edit["before"]["answer"] == "triangle" and edit["after"]["answer"] == "pumpkin"

    # The version is another, so both tasks are asked about again; the other picture has the same answer by the same reasoning.
    second = studio.predictions(project["id"], project["task"])[-1]
    keep("prediction-after-edit", second)
    assert second["model_version"] == backend_version(studio, project) != first_version
    assert answer(second) == ["pumpkin"] and second["score"] > 0.5
    rectangles = of_kind(second, "rectanglelabels")
    shown = [region["meta"]["text"][0] for region in rectangles]
    assert REASONS[1] in shown, shown
    [mine] = [region for region in rectangles if region["meta"]["text"] == [REASONS[1]]]
    assert (mine["original_width"], mine["original_height"]) == (width, height)
    assert mine["value"]["x"] == pytest.approx(box["x"] / width * 100) and mine["value"]["height"] == pytest.approx(box["height"] / height * 100)
    other = studio.call("GET", f"/api/predictions/?task={project['other']}")[-1]
    keep("prediction-of-another-picture", other)
    assert answer(other) == ["pumpkin"] and of_kind(other, "rectanglelabels"), other

    # The annotator corrects herself: the edit has a new version.
    results[1] = explained(*REASONS[1:])
    studio.call("PATCH", f"/api/annotations/{made['id']}/", json={"result": results})
    ended = backend.settled()[0]
    [replaced] = backend.edits()
    assert (replaced["id"], replaced["version"], ended["edit"]) == (edit["id"], 2, edit["id"]), ended
    assert len(replaced["reasoning"]) == 2
    assert backend_version(studio, project) not in (first_version, second["model_version"])

    # A star changes nothing of what it says.
    studio.call("PATCH", f"/api/annotations/{made['id']}/", json={"ground_truth": True})
    assert backend.settled()[0]["outcome"] == "unchanged"
    assert [edit["id"] for edit in backend.edits()] == [replaced["id"]]

    # It is the same after a restart.
    version = backend_version(studio, project)
    backend.stop()
    backend.start()
    assert backend_version(studio, project) == version
    assert [edit["id"] for edit in backend.edits()] == [replaced["id"]]

    studio.call("DELETE", f"/api/annotations/{made['id']}/")
    ended = backend.settled()[0]
    assert (ended["outcome"], ended["reverted"], ended["deleted"]) == ("reverted", [replaced["id"]], True)
    assert backend.edits() == []
    assert backend_version(studio, project) == first_version
    studio.call("DELETE", f"/api/annotations/{silent['id']}/")
    assert backend.settled()[0]["outcome"] == "skipped"
    # The token that Label Studio handed over was used for its pictures, and is told to nobody.
    assert LEGACY not in (backend.folder / "server.log").read_text()


def backend_version(studio, project):
    return studio.backend(project["id"])["model_version"]


def test_reasoning_that_is_taken_back_and_bulk_deletion(studio, backend, project):
    studio.connect(project["id"], backend.address, extra_params={"codebook": "ward-3"})

    def in_ward():
        return backend.call("GET", "/edits?codebook=ward-3")["edits"]

    results = [chosen("pumpkin"), explained(*REASONS)]
    one, two = [
        studio.call("POST", f"/api/tasks/{project[task]}/annotations/", json={"result": results})["id"] for task in ("task", "other")
    ]
    backend.settled()
    assert backend.edits() == [] and {edit["tags"][1] for edit in in_ward()} == {f"label-studio:annotation:{id}" for id in (one, two)}
    assert backend_version(studio, project).startswith("reasonedit-ward-3-2-")

    # Without its reasoning the annotation teaches nothing any more.
    studio.call("PATCH", f"/api/annotations/{one}/", json={"result": [chosen("pumpkin")]})
    ended = backend.settled()[0]
    assert (ended["outcome"], ended["detail"]) == ("reverted", "No reasoning was given.")
    assert [edit["tags"][1] for edit in in_ward()] == [f"label-studio:annotation:{two}"]
    studio.call("PATCH", f"/api/annotations/{one}/", json={"result": results})
    backend.settled()
    assert len(in_ward()) == 2

    studio.action(project["id"], "delete_tasks_annotations")
    assert {ended["outcome"] for ended in backend.settled()[:2]} == {"reverted"}
    assert in_ward() == []


def test_what_was_acknowledged_survives_being_killed(studio, backend, project):
    studio.connect(project["id"], backend.address)
    made = []
    for _ in range(4):
        results = [chosen("pumpkin"), explained(*REASONS)]
        made.append(studio.call("POST", f"/api/tasks/{project['task']}/annotations/", json={"result": results})["id"])
    # Label Studio has its answers; the edits take longer than that.
    backend.kill()
    backend.start()
    backend.settled()
    assert sorted(edit["metadata"]["label_studio"]["annotation"] for edit in backend.edits()) == made


def test_a_service_with_tokens(studio, project, tmp_path):
    personal = studio.call("POST", "/api/token/")["token"]
    backend = Backend(
        tmp_path, "--set", f"server.auth_tokens=[{json.dumps(TOKEN)}]", "--set", f"server.label_studio.url={studio.url}",
        "--set", f"server.label_studio.token={personal}", token=TOKEN,
    )
    try:
        refused = requests.get(backend.address + "/health", timeout=30)
        assert refused.status_code == 401 and refused.headers["www-authenticate"].startswith("Basic ")
        assert requests.get(backend.url + "/edits", auth=("annotator", TOKEN), timeout=30).status_code == 401
        wrong = studio.call(
            "POST", "/api/ml", status=(400,),
            json={"project": project["id"], "url": backend.address, "auth_method": "BASIC_AUTH", "basic_auth_user": "x", "basic_auth_pass": "y"},
        )
        assert "authentication parameters" in json.dumps(wrong)
        studio.connect(project["id"], backend.address, auth_method="BASIC_AUTH", basic_auth_user="annotator", basic_auth_pass=TOKEN)
        # Pictures by the personal access token, which Label Studio exchanges.
        [prediction] = studio.predictions(project["id"], project["task"])
        assert answer(prediction) == ["triangle"]

        # The webhook is made without the password: the recipe gives it a header.
        [webhook] = studio.call("GET", f"/api/webhooks/?project={project['id']}")
        studio.call("PATCH", f"/api/webhooks/{webhook['id']}/", json={"headers": {"Authorization": f"Bearer {TOKEN}"}})
        results = [chosen("pumpkin"), explained(*REASONS)]
        studio.call("POST", f"/api/tasks/{project['task']}/annotations/", json={"result": results})
        assert backend.settled()[0]["outcome"] == "edited" and len(backend.edits()) == 1
    finally:
        backend.stop()
        log = (tmp_path / "server.log").read_text()
        (KEPT / "test_a_service_with_tokens.log").write_text(log)
    for secret in (TOKEN, personal):
        assert secret not in log
    shown = requests.get(studio.url, timeout=30)
    assert shown.ok, "Label Studio is as it was"


def test_setup_says_what_is_missing(backend):
    body = {"project": "1", "schema": '<View><Image name="image" value="$image"/></View>'}
    told = backend.call("POST", "/integrations/label-studio/setup", body)
    assert len(told["missing"]) == 4 and told["codebook"] == "default"
