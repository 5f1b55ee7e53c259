"""The page at /docs tries every endpoint: bodies, uploads and archives are sent as the contract says."""

import json
import shutil

import pytest
from playwright.sync_api import sync_playwright
from service import SAMPLES


@pytest.fixture
def tab():
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    assert chromium, "needs chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        tab = browser.new_page()
        faults = []
        tab.on("pageerror", lambda error: faults.append(str(error)))
        tab.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        yield tab
        browser.close()
    assert not faults, faults


def test_endpoints_are_tried(service, tab, tmp_path):
    def opened(operation):
        tab.goto(f"{service.url}/docs#{operation}")
        tab.reload()
        return tab.locator(f"details#{operation}")

    def sent(view):
        view.get_by_role("button", name="Send").click()
        view.locator(".status").wait_for()
        return view.locator(".status").inner_text(), view.locator("[aria-live]").inner_text()

    edit = opened("create_edit")
    edit.locator("input[type=file]").set_input_files(str(SAMPLES / "specimen.jpg"))
    status, told = sent(edit)
    assert status.startswith("201"), told
    image = service.call("GET", "/edits")["edits"][0]["image"]["id"]

    lines = tmp_path / "edits.jsonl"
    lines.write_text(json.dumps({"image": {"id": image}, "question": "Is it red?", "answer": "no"}) + "\n")
    batch = opened("create_edits")
    batch.locator("input[type=file]").set_input_files(str(lines))
    batch.get_by_role("button", name="As curl").click()
    assert "-H 'Content-Type: application/x-ndjson' -T 'edits.jsonl'" in batch.locator("[aria-live]").inner_text()
    status, told = sent(batch)
    assert status.startswith("202") and '"kind": "batch"' in told, told

    archive = opened("export_codebook")
    status, told = sent(archive)
    assert status.startswith("200"), told
    with tab.expect_download() as saved:
        archive.get_by_text("Save the archive").click()
    saved.value.save_as(tmp_path / "codebook.tar")
    taken = opened("import_codebook")
    taken.locator("input[type=file]").set_input_files(str(tmp_path / "codebook.tar"))
    status, told = sent(taken)
    assert status.startswith("200") and '"skipped": ' in told, told
