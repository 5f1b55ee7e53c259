"""The feedback page, walked through by a browser as a person would, on the demo model."""

import base64
import json
import os
import re
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from conftest import SHOTS, TOKEN, Watched
from service import SAMPLES, Service, free_port, start, stop

QUESTION = "What is this specimen called?"
CHOICES = ["triangle", "square", "pumpkin"]
REASONS = ["The colour of this object is purple.", "The object has an irregular border.", "A purple object with a jagged border is called a pumpkin."]


def ask(page, picture, question, choices=()):
    page.set_input_files("#picture-file", str(SAMPLES / picture))
    page.get_by_role("img", name=re.compile(picture)).wait_for()
    page.get_by_role("textbox", name="Question").fill(question)
    while page.get_by_role("button", name="Remove choice").count():
        page.get_by_role("button", name="Remove choice").first.click()
    box = page.get_by_role("textbox", name="Choices")
    for choice in choices:
        box.fill(choice)
        box.press("Enter")
    page.get_by_role("button", name="Ask", exact=True).click()
    page.get_by_role("button", name="Correct it").wait_for()


def main(page):
    """What is seen, without what is told to screen readers only."""
    return page.locator("main, dialog")


def statement(page, number):
    return page.get_by_role("textbox", name=f"Statement {number}")


def answer(page):
    return page.locator(".answer .spoken").inner_text().strip()


def said(page):
    return page.locator("#polite").inner_text()


def drag(page, start, end):
    """Drags on the picture; places are shares of its sides."""
    frame = page.locator(".frame .overlay").bounding_box()
    at = lambda share: (frame["x"] + share[0] * frame["width"], frame["y"] + share[1] * frame["height"])
    page.mouse.move(*at(start))
    page.mouse.down()
    page.mouse.move(*at(end), steps=4)
    page.mouse.up()


def settled(page):
    """Waits until every picture that is seen has come. The page looks after the service all the time, so that the network is never idle."""
    page.wait_for_load_state("load")
    until(lambda: page.evaluate("[...document.images].every((one) => one.complete || one.loading === 'lazy' && !one.checkVisibility())"))
    page.wait_for_timeout(300)


def test_the_first_load_is_small_and_stays_at_home(tab):
    sizes = {}
    session = tab.context.new_cdp_session(tab.page)
    session.send("Network.enable")
    # The sample pictures are the demo model's, and no other service has them.
    samples = set()
    session.on("Network.requestWillBeSent", lambda event: samples.add(event["requestId"]) if "/assets/samples/" in event["request"]["url"] else None)
    session.on("Network.loadingFinished", lambda event: event["requestId"] in samples or sizes.update({event["requestId"]: event["encodedDataLength"]}))
    page = tab.open()
    page.get_by_role("heading", name="Ask about a picture").wait_for()
    page.get_by_text("ready", exact=True).wait_for()
    settled(page)
    total = sum(sizes.values())
    assert len(sizes) > 10 and total < 120_000, f"{len(sizes)} files, {total} bytes"
    policy = page.request.get(tab.service.url + "/").headers["content-security-policy"]
    assert "unsafe" not in policy and "default-src 'none'" in policy and "trusted-types" in policy
    tab.shot("01-first")


def test_asking_without_what_is_needed_says_so(tab):
    page = tab.open()
    page.get_by_role("button", name="Ask", exact=True).click()
    main(page).get_by_text("Choose a picture first.").first.wait_for()
    assert page.evaluate("document.activeElement.id") == "picture-file"
    tab.expected.append("422|Failed to load resource")
    page.set_input_files("#picture-file", {"name": "cut.tif", "mimeType": "image/tiff", "buffer": tiff(64)[:900]})
    main(page).get_by_text("This browser can’t show such a picture").wait_for()
    page.get_by_role("textbox", name="Question").fill("What is it?")
    page.get_by_role("textbox", name="Question").press("Enter")
    page.locator(".answer .trouble").get_by_text("The input can’t be used as it is.").wait_for()
    assert page.locator(".answer .trouble [lang=en]").count() >= 1, "what the service says stands below, in its language"
    tab.shot("02-refused")


def test_a_correction_from_question_to_undo(tab):
    tab.expert()
    page = tab.open()
    ask(page, "specimen.jpg", QUESTION, CHOICES)
    assert answer(page) == "triangle"
    main(page).get_by_text("No correction applied.").wait_for()
    assert "Answer: triangle" in said(page) and "No correction applied" in said(page)
    tab.shot("03-no-edits-yet")

    page.get_by_role("button", name="Correct it").click()
    assert page.evaluate("document.activeElement.textContent") == "Correct it"
    page.get_by_role("radio", name="pumpkin").check()
    first = statement(page, 1)
    first.fill(REASONS[0])
    first.press("Enter")
    statement(page, 2).fill(REASONS[1])
    page.get_by_role("button", name="Add a statement").click()
    statement(page, 3).fill(REASONS[2])

    # A box by pointer, moved and resized by pointer, another placed and moved by keys.
    page.get_by_role("button", name="Draw a box").first.click()
    drag(page, (0.08, 0.1), (0.4, 0.45))
    boxes = page.locator(".box")
    assert boxes.count() == 1
    before = boxes.first.get_attribute("aria-label")
    page.get_by_role("button", name="Done drawing").click()
    drag(page, (0.2, 0.3), (0.22, 0.32))
    moved = boxes.first.get_attribute("aria-label")
    assert moved != before
    drag(page, (0.42, 0.47), (0.46, 0.53))
    assert boxes.first.get_attribute("aria-label") != moved
    page.get_by_role("button", name="Place a box").nth(1).click()
    placed = boxes.nth(1)
    before = placed.get_attribute("aria-label")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowDown")
    assert placed.get_attribute("aria-label") != before
    page.keyboard.press("Delete")
    assert boxes.count() == 1
    tab.shot("04-boxes")

    # What was written is not lost by asking something else.
    page.get_by_role("textbox", name="Question").press("Enter")
    page.get_by_role("dialog", name="Give up the correction?").get_by_role("button", name="Cancel").click()
    assert statement(page, 3).input_value() == REASONS[2]

    # The model looks for the second one.
    page.get_by_role("button", name="Find it for me").nth(1).click()
    page.locator(".heat rect").first.wait_for(state="attached")
    assert page.locator(".heat rect").count() >= 9
    main(page).get_by_text(re.compile("The five likeliest of 2[0-9] parts")).click()
    tab.shot("05-heat")
    use = page.get_by_role("button", name=re.compile("^Use th"))
    if use.count():
        use.click()
        assert boxes.count() >= 2
    page.get_by_label("Author").fill("dermatology-2")
    page.get_by_role("textbox", name="Tags").fill("dermoscopy")
    page.get_by_role("button", name="Save the correction").click()
    page.get_by_role("heading", name="Correction saved").wait_for()
    main(page).get_by_text("It took: the model now gives the right answer.").first.wait_for()
    assert [one.inner_text() for one in page.locator(".versus .said").all()] == ["triangle", "pumpkin"]
    tab.shot("06-saved")

    page.get_by_role("button", name="Take it back").click()
    page.get_by_role("heading", name="Correction taken back").wait_for()
    assert tab.service.call("GET", "/edits")["edits"] == []
    page.get_by_role("button", name="Correct it anew").click()
    page.get_by_role("button", name="Save the correction").click()
    page.get_by_role("heading", name="Correction saved").wait_for()
    page.get_by_role("button", name="Ask again").click()
    page.get_by_role("button", name="Correct it").wait_for()
    page.get_by_role("heading", name="Why").wait_for()
    assert answer(page) == "pumpkin"
    assert main(page).get_by_text("changed by the corrections").is_visible()


def test_why_names_its_sources_and_leads_to_the_edit(tab):
    tab.expert()
    page = tab.open()
    ask(page, "another.jpg", QUESTION, CHOICES)
    assert answer(page) == "pumpkin"
    fact = page.locator(".facts > .fact").first
    fact.get_by_text("dermatology-2").wait_for()
    told = " ".join(fact.locator(".distance").first.inner_text().split())
    assert re.search(r"bears on the question by \d.*distance \d", told), told
    assert fact.locator(".ruler").count() == 0, "relevance chose it, so there is no limit of distance to draw"
    page.locator(".fact .box").first.wait_for(state="attached")
    assert page.locator(".fact .crop").count() >= 1
    settled(page)
    tab.shot("07-why")
    fact.get_by_role("link", name="open the correction").click()
    page.get_by_role("heading", name=QUESTION).wait_for()
    page.get_by_role("table", name="Entries of this correction").wait_for()
    assert main(page).get_by_text(re.compile(r"in \d+ answers?, last")).is_visible()
    tab.shot("08-edit")
    page.get_by_role("button", name=re.compile("Show on the picture what shows statement 1")).click()
    assert page.locator(".box.current").count() >= 1
    # The answer is still there on the way back.
    page.go_back()
    page.get_by_role("heading", name="Why").wait_for()
    assert answer(page) == "pumpkin"


def test_a_generated_answer_comes_token_by_token(tab):
    page = tab.open()
    ask(page, "specimen.jpg", "What is the colour of the specimen?")
    assert page.locator(".token").count() >= 1
    assert re.search(r"\d", page.locator(".token").first.get_attribute("title"))
    main(page).get_by_text("Probability of the whole answer").wait_for()
    tab.shot("09-generated")


def test_the_nearest_miss_is_told(tab):
    page = tab.open()
    ask(page, "unrelated.jpg", "What is the rim of the specimen?", ["none", "dark"])
    main(page).get_by_text("No correction applied.").wait_for()
    assert page.locator(".facts .fact").count() >= 1, "what was nearest, or held back, is shown"
    settled(page)
    tab.shot("10-nearest-miss")


def test_browsing_searching_and_reverting(tab):
    tab.expert()
    page = tab.open("#/edits")
    page.locator(".edit-item").first.wait_for()
    tab.shot("11-edits")
    page.get_by_label("Search").fill("nothing of the kind")
    page.get_by_role("button", name="Search").click()
    main(page).get_by_text("Nothing found.").wait_for()
    page.get_by_role("link", name="All corrections").click()
    page.get_by_role("link", name="dermoscopy").first.click()
    main(page).get_by_text("1 correction found").wait_for()
    page.get_by_role("link", name=QUESTION).click()
    page.get_by_role("button", name="Take back…").click()
    page.get_by_role("dialog").wait_for()
    assert page.evaluate("document.activeElement.textContent") == "Cancel", "nothing is lost by a careless Enter"
    tab.shot("12-revert")
    page.keyboard.press("Escape")
    assert len(tab.service.call("GET", "/edits")["edits"]) == 1
    page.get_by_role("button", name="Ask this again").click()
    page.get_by_role("heading", name="Ask about a picture").wait_for()
    assert page.get_by_role("textbox", name="Question").input_value() == QUESTION
    page.go_back()
    page.get_by_role("table", name="Entries of this correction").wait_for()
    page.get_by_role("button", name="Take back…").click()
    page.get_by_role("dialog").get_by_role("button", name="Take back").click()
    main(page).get_by_text("Nothing has been corrected here yet.").wait_for()
    assert tab.service.call("GET", "/edits")["edits"] == []


def test_topology_is_measured_applied_and_rolled_back(tab):
    tab.expert()
    world = [json.loads(line) for line in (SAMPLES / "edits.jsonl").read_text().splitlines()]
    page = tab.open()
    ask(page, world[0]["image"], world[0]["question"])
    page.get_by_role("button", name="Correct it").click()
    page.get_by_label("The right answer").fill(world[0]["answer"])
    statement(page, 1).fill(world[0]["reasoning"][0])
    page.get_by_role("button", name="Save the correction").click()
    page.get_by_role("heading", name="Correction saved").wait_for()

    page.get_by_role("link", name="Topology").click()
    main(page).get_by_text("No report yet.").wait_for()
    page.get_by_label("On", exact=True).select_option("world")
    page.get_by_label("Then").select_option("never")
    page.get_by_label("Pairs in a run").fill("6")
    page.get_by_label("Runs").fill("3")
    page.get_by_role("button", name="Measure").click()
    page.locator("progress").wait_for()
    main(page).get_by_text(re.compile(r": [\d,]+ of [\d,]+")).wait_for()
    tab.shot("13-measuring")
    page.get_by_role("heading", name="Report").wait_for(timeout=240_000)
    for image in page.locator(".figures-grid img").all():
        image.scroll_into_view_if_needed()
    until(lambda: page.evaluate("[...document.querySelectorAll('.figures-grid img')].every((one) => one.complete && one.naturalWidth > 0)"))
    tab.shot("14-report")
    before = tab.service.call("GET", "/modularity")["active"]
    if page.get_by_role("button", name="Apply…").count():
        page.get_by_role("button", name="Apply…").click()
        page.get_by_role("button", name="Move over").click()
        main(page).get_by_text("The codebook has moved over.").wait_for(timeout=120_000)
        moved = tab.service.call("GET", "/modularity")["active"]
        assert moved["embedding"]["id"] != before["embedding"]["id"] and moved["chosen"]
        page.get_by_role("button", name="Roll back…").click()
        page.get_by_role("dialog").get_by_role("button", name="Roll back").click()
        main(page).get_by_text("The codebook has gone back.").wait_for(timeout=120_000)
        assert tab.service.call("GET", "/modularity")["active"]["embedding"]["id"] == before["embedding"]["id"]
        tab.shot("15-rolled-back")


def test_status_and_codebooks(tab):
    tab.expert()
    page = tab.open("#/status")
    main(page).get_by_text("qwen3_vl").wait_for()
    page.get_by_role("heading", name="Queue").wait_for()
    page.get_by_role("table", name="Jobs, newest first").wait_for()
    tab.shot("16-status")
    page.get_by_text("Settings", exact=True).click()
    tab.shot("16-settings")
    page.get_by_label("Collection").focus()
    edits = tab.service.call("GET", "/codebook")["edits"]
    until(lambda: page.locator(f"#codebooks option[value=default][label^='default ({edits} ']").count() == 1)
    page.get_by_label("Collection").fill("skin")
    page.get_by_label("Collection").press("Enter")
    main(page).get_by_text("set by the first correction").wait_for()
    assert "codebook=skin" in page.url
    page.get_by_role("link", name="Corrections", exact=True).click()
    main(page).get_by_text("Nothing has been corrected here yet.").wait_for()


def test_by_keyboard_alone(tab):
    page = tab.open()
    page.set_input_files("#picture-file", str(SAMPLES / "specimen.jpg"))
    page.get_by_role("img", name=re.compile("specimen")).wait_for()
    assert page.evaluate("document.activeElement.tagName") == "TEXTAREA", "the question comes next"
    page.keyboard.type(QUESTION)
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Correct it").wait_for()
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "Correct it":
            break
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.textContent") == "Correct it"
    assert page.evaluate("document.activeElement.tagName") == "H2"
    page.keyboard.press("Tab")
    page.keyboard.type("pumpkin")
    page.keyboard.press("Tab")
    page.keyboard.type(REASONS[0])
    page.keyboard.press("Enter")
    page.keyboard.type(REASONS[2])
    assert statement(page, 2).input_value() == REASONS[2]


def test_what_the_service_says_is_never_markup(tab):
    tab.expert()
    page = tab.open()
    hostile = '<img src=x onerror="alert(1)"><b>bold</b>'
    picture = (SAMPLES / "specimen.jpg").read_bytes()
    made = tab.service.call("POST", "/edits?codebook=hostile&verify=false", {
        "image": {"data": base64.b64encode(picture).decode()}, "question": hostile, "answer": hostile, "reasoning": [hostile],
        "author": hostile, "tags": [hostile], "metadata": {hostile: hostile}})
    page.goto(f"{tab.service.url}/?codebook=hostile#/edits/{made['id']}")
    page.get_by_role("heading", name=hostile).wait_for()
    page.get_by_role("table", name="Entries of this correction").wait_for()
    assert page.locator("main b").count() == 0
    page.get_by_role("link", name="Corrections", exact=True).first.click()
    page.locator(".edit-item").first.wait_for()
    assert page.locator("main b").count() == 0
    # Nor is there a way to make it markup: the policy refuses the sinks.
    assert page.evaluate("(() => { try { document.body.innerHTML = '<i>x</i>'; return false; } catch { return true; } })()")
    tab.expected.append("TrustedHTML")
    tab.faults = [fault for fault in tab.faults if "TrustedHTML" not in fault]


def until(holds, seconds=20):
    """Asks again and again, from here: the page's policy forbids scripts made of strings, and with them Playwright's own waiting for one."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.05)


def test_what_merged_with_what_is_told(tab):
    tab.expert()
    picture = base64.b64encode((SAMPLES / "specimen.jpg").read_bytes()).decode()
    # Another statement more: what was said before has the same keys. Exactly the same edit would have none of its own.
    made = [tab.service.call("POST", "/edits?codebook=twice&verify=false", {
        "image": {"data": picture}, "question": QUESTION, "answer": "pumpkin", "reasoning": reasons,
    }) for reasons in (REASONS, [*REASONS, "The specimen stands alone."])]
    merged = [entry["merged_into"] for entry in made[-1]["entries"]]
    assert any(merged), "the same statement of the same picture again merges"
    page = tab.open(f"?codebook=twice#/edits/{made[-1]['id']}")
    entries = page.get_by_role("table", name="Entries of this correction")
    entries.wait_for()
    told = entries.get_by_text("into a key of")
    assert told.count() == len([key for key in merged if key])
    other = entries.get_by_role("link", name="…").first
    tail = other.inner_text().strip().lstrip("…")
    tab.shot("18-merged")
    other.click()
    until(lambda: made[-1]["id"] not in page.url)
    assert any(page.url.endswith(edit["id"]) and edit["id"].endswith(tail) for edit in made[:-1])
    page.get_by_text("merged into it").first.wait_for()


def tiff(side):
    """A TIFF of one colour, which no browser but Safari shows."""
    pixels = bytes([90, 60, 160]) * side * side
    tags = [(256, 3, 1, side), (257, 3, 1, side), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 2), (273, 4, 1, 8), (277, 3, 1, 3), (278, 3, 1, side),
            (279, 4, 1, len(pixels)), (339, 3, 1, 1)]
    head = struct.pack("<2sHI", b"II", 42, 8 + len(pixels))
    return head + pixels + struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + struct.pack("<I", 0)


def test_a_picture_that_no_browser_reads_is_shown_once_it_is_stored(tab):
    picture = base64.b64encode(tiff(64)).decode()
    made = tab.service.call("POST", "/edits?codebook=tiff", {
        "image": {"data": picture}, "question": "What colour is it?", "answer": "purple",
        "reasoning": [{"statement": "It is purple.", "evidence": [{"x": 8, "y": 8, "width": 24, "height": 32}]}]})
    page = tab.open(f"?codebook=tiff#/edits/{made['id']}")
    page.locator(".page .box").wait_for()
    assert page.evaluate("document.querySelector('.page .frame img').naturalWidth") == 64


@pytest.mark.skipif("PAGE_URL" in os.environ, reason="needs the built page")
def test_a_service_that_wants_a_token_asks_for_it(browser, guarded):
    tab = Watched(browser, guarded)
    tab.expected.append("401")
    page = tab.open()
    page.get_by_role("dialog").wait_for()
    tab.shot("17-token")
    page.get_by_label("Token", exact=True).fill("wrong")
    page.get_by_role("button", name="Use it").click()
    main(page).get_by_text("The service did not accept the token.").wait_for()
    page.get_by_label("Token", exact=True).fill(TOKEN)
    page.get_by_role("button", name="Use it").click()
    page.get_by_role("dialog").wait_for(state="detached")
    ask(page, "specimen.jpg", QUESTION, CHOICES)
    page.get_by_role("button", name="Correct it").click()
    page.get_by_role("radio", name="pumpkin").check()
    statement(page, 1).fill(REASONS[2])
    page.get_by_role("button", name="Save the correction").click()
    page.get_by_role("heading", name="Correction saved").wait_for()
    page.get_by_role("link", name="Open the correction").click()
    # Pictures need the token too, which a browser does not send by itself.
    page.locator(".page .frame .shot img[src^='blob:']").wait_for()
    until(lambda: page.evaluate("document.querySelector('.page .frame .shot img').naturalWidth > 0"))
    page.get_by_role("button", name="Sign out").click()
    page.get_by_role("dialog").wait_for()
    tab.close()
    assert SHOTS.exists()


class Taking(BaseHTTPRequestHandler):
    """Takes every message."""

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.mark.skipif("PAGE_URL" in os.environ, reason="needs the built page")
def test_receivers_of_events_are_shown_and_tried_again(browser, tmp_path):
    port = free_port()
    secret = "whsec_" + base64.b64encode(bytes(32)).decode()
    settings = tmp_path / "reasonedit.toml"
    settings.write_text(
        "[server.webhooks]\nretry_first_ms = 3600000\n[server.webhooks.endpoints.audit]\nallow_private = true\n"
        f'url = "http://127.0.0.1:{port}/in"\nsecret = "{secret}"\n',
        encoding="utf-8",
    )
    process, url = start(tmp_path, "--config", str(settings))
    tab = Watched(browser, Service(url))
    tab.expert()
    # The codebook that is looked at has nothing to do with it.
    page = tab.open("?codebook=skin#/status")
    row = page.get_by_role("table", name="Receivers of events").get_by_role("row", name="audit")
    row.get_by_text("delivering").wait_for()
    image = {"data": base64.b64encode((SAMPLES / "specimen.jpg").read_bytes()).decode()}
    tab.service.call("POST", "/edits?verify=false", {"image": image, "question": QUESTION, "answer": "pumpkin"})
    row.get_by_text("failing").wait_for()
    row.get_by_text("it could not be connected to").wait_for()
    row.get_by_text("1 event").wait_for()
    tab.shot("21-webhooks")
    server = HTTPServer(("127.0.0.1", port), Taking)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    row.get_by_role("button", name="Try now: audit").click()
    row.get_by_text("0 events").wait_for()
    row.get_by_text("delivering").wait_for()
    assert said(page) == "audit is tried again."
    tab.close()
    stop(process)
    server.shutdown()
    server.server_close()
