"""What a clinician meets beside the plain walk: the demo model, files of other kinds, a phone, a service that goes, and what became of corrections."""

import base64
import json
import re
import signal
import time

import pytest
from conftest import SIZES, Watched
from service import SAMPLES, Service, start, stop
from test_page import CHOICES, QUESTION, REASONS, answer, ask, main, settled, statement, until

PHONE = dict(zip(("width", "height"), SIZES["390"]))
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(400)
DICOM = bytes(128) + b"DICM" + bytes(200)

DROP = """(files) => {
  const given = new DataTransfer();
  for (const { name, type, data } of files) given.items.add(new File([Uint8Array.from(atob(data), (c) => c.charCodeAt(0))], name, { type }));
  document.querySelector(".frame").dispatchEvent(new DragEvent("drop", { dataTransfer: given, bubbles: true, cancelable: true }));
}"""


def drop(page, *files):
    """Drops files on the picture's place."""
    page.locator(".frame:visible").wait_for()
    page.evaluate(DROP, [{"name": name, "type": kind, "data": base64.b64encode(data).decode()} for name, kind, data in files])


def told(page):
    return page.locator(".told-of-files").inner_text()


def image(name):
    return {"data": base64.b64encode((SAMPLES / name).read_bytes()).decode()}


def test_the_demo_model_says_what_it_knows_and_offers_pictures(tab):
    page = tab.open()
    demo = page.get_by_role("region", name="This is the demonstration model.")
    demo.get_by_text("It knows coloured shapes and nothing else").wait_for()
    assert demo.get_by_role("button").count() == 3
    demo.get_by_role("button", name="Sample picture 2").click()
    page.get_by_role("img", name="The picture specimen.jpg").wait_for()
    assert page.get_by_role("textbox", name="Question").input_value() == QUESTION
    page.get_by_role("button", name="Ask", exact=True).click()
    page.get_by_role("button", name="Correct it").wait_for()
    assert answer(page)


def test_files_that_are_not_taken_are_told_before_anything_is_sent(tab):
    page = tab.open()
    sent = []
    page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    jpeg = (SAMPLES / "specimen.jpg").read_bytes()
    drop(page, ("IMG_0001.HEIC", "", HEIC))
    page.locator(".told-of-files").get_by_text("is a HEIC photo").wait_for()
    assert "Most Compatible" in told(page) and "nothing was sent" in told(page)
    assert page.locator(".drop").is_visible(), "another one can be chosen"
    drop(page, ("ct.dcm", "application/dicom", DICOM))
    page.locator(".told-of-files").get_by_text("is a DICOM file").wait_for()
    assert "HEIC" not in told(page) and "without the patient’s name" in told(page)
    # By its content, whatever it is called.
    drop(page, ("scan.jpg", "image/jpeg", DICOM))
    page.locator(".told-of-files").get_by_text("“scan.jpg” is a DICOM file").wait_for()
    for name, data, said in (("a.pdf", b"%PDF-1.7", "PDF document"), ("a.zip", b"PK\x03\x04" + bytes(90), "archive"), ("a.txt", b"plain text", "no picture in a format"),
                             ("a.png", b"", "is empty"), ("a.mp4", b"\0\0\0\x18ftypisom" + bytes(90), "video"), ("a.avif", b"\0\0\0\x18ftypavif" + bytes(90), "AVIF"),
                             ("a.svg", b"<svg xmlns='x'></svg>", "SVG drawing")):
        drop(page, (name, "", data))
        page.locator(".told-of-files").get_by_text(said).wait_for()
    drop(page)
    page.locator(".told-of-files").get_by_text("No file came with that.").wait_for()
    tab.shot("30-not-taken")
    # Several: one is taken, and it is said which are not.
    drop(page, ("notes.pdf", "", b"%PDF-1.7"), ("one.jpg", "image/jpeg", jpeg), ("two.jpg", "image/jpeg", jpeg), ("three.jpg", "image/jpeg", jpeg))
    page.get_by_role("img", name="The picture one.jpg").wait_for()
    assert "“one.jpg” was taken" in told(page) and "“two.jpg” and “three.jpg”" in told(page) and "“notes.pdf” is a PDF" in told(page)
    assert sent == [], "nothing leaves before the question is asked"
    tab.shot("31-several")


@pytest.fixture
def phone(browser, service):
    tab = Watched(browser, service, has_touch=True, is_mobile=True, device_scale_factor=2)
    tab.page.set_viewport_size(PHONE)
    yield tab
    tab.close()


def test_on_a_phone_nothing_covers_and_the_picture_is_enlarged_to_draw(phone):
    page = phone.open("?codebook=phone")
    ask(page, "specimen.jpg", QUESTION, CHOICES)
    page.get_by_role("button", name="Correct it").click()
    page.get_by_role("radio", name="pumpkin").check()
    statement(page, 1).fill(REASONS[0])
    field = statement(page, 1)
    field.focus()
    box = field.bounding_box()
    seen = page.evaluate("([x, y]) => document.elementFromPoint(x, y).tagName", [box["x"] + box["width"] / 2, box["y"] + box["height"] / 2])
    assert seen == "TEXTAREA", "the picture lies over what is typed into"
    page.get_by_role("button", name="Draw a box").tap()
    dialog = page.get_by_role("dialog", name="Where does the picture show statement 1?")
    dialog.wait_for()
    picture = dialog.locator(".shot")
    small = picture.bounding_box()["width"]
    assert small > 340, "as wide as the phone"
    dialog.get_by_role("button", name="Enlarge further").tap()
    assert picture.bounding_box()["width"] == pytest.approx(1.5 * small, rel=0.02)
    page.keyboard.press("0")
    assert picture.bounding_box()["width"] == pytest.approx(small, rel=0.02)
    # Two fingers, by the protocol: Playwright has none.
    session = page.context.new_cdp_session(page)
    frame = picture.bounding_box()
    middle = (frame["x"] + frame["width"] / 2, frame["y"] + frame["height"] / 2)

    def touch(kind, *fingers):
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y, "id": at} for at, (x, y) in enumerate(fingers)]})

    def pair(apart):
        return (middle[0] - apart, middle[1]), (middle[0] + apart, middle[1])

    touch("touchStart", pair(30)[0])
    touch("touchStart", *pair(30))
    for apart in (40, 50, 60, 75, 90):
        touch("touchMove", *pair(apart))
    touch("touchEnd")
    assert picture.bounding_box()["width"] == pytest.approx(3 * small, rel=0.15)
    assert dialog.locator(".box").count() == 0, "a pinch draws nothing"
    phone.page.screenshot(path="target/screenshots/32-pinched-390.png")
    # One finger draws.
    touch("touchStart", (150, 300))
    for at in (20, 60, 100):
        touch("touchMove", (150 + at, 300 + at))
    touch("touchEnd")
    until(lambda: dialog.locator(".box").count() == 1)
    name = dialog.locator(".box").get_attribute("aria-label")
    width = int(re.search(r": ([\d]+) by", name).group(1))
    # A hundred pixels of the screen are a third as many of the picture as they would be at its usual size.
    assert width == pytest.approx(100 * 433 / (3 * small), rel=0.25), name
    dialog.get_by_role("button", name="Place a box").click()
    until(lambda: dialog.locator(".box").count() == 2)
    page.keyboard.press("Delete")
    until(lambda: dialog.locator(".box").count() == 1)
    dialog.get_by_role("button", name="Done").tap()
    dialog.wait_for(state="detached")
    # The focus is where it was.
    until(lambda: page.evaluate("document.activeElement.textContent") == "Draw a box")
    assert page.locator(".frame .box").count() == 1, "the picture is back in its place, with the box"
    main(page).get_by_text("Seen in 1 box of yours.").wait_for()
    # By the keyboard alone.
    page.get_by_role("button", name="Enlarge", exact=True).focus()
    page.keyboard.press("Enter")
    stage = page.get_by_role("group", name=re.compile("The picture; the arrow keys move it"))
    assert page.evaluate("document.activeElement.className") == "stage"
    for _ in range(3):
        page.keyboard.press("+")
    before = stage.evaluate("(node) => node.scrollLeft")
    page.keyboard.press("ArrowRight")
    until(lambda: stage.evaluate("(node) => node.scrollLeft") > before)
    phone.page.screenshot(path="target/screenshots/33-enlarged-390.png")
    page.keyboard.press("Escape")
    assert page.get_by_role("dialog").count() == 0


def test_a_service_that_is_gone_is_told_within_two_seconds(browser, tmp_path):
    process, url = start(tmp_path)
    tab = Watched(browser, Service(url))
    tab.expected += ["ERR_", "Failed to load", "timed out", "signal"]
    page = tab.open()
    page.get_by_text("ready", exact=True).wait_for()
    page.get_by_role("textbox", name="Question").fill("What was typed stays.")
    banner = page.locator("#banner")

    def gone():
        began = time.monotonic()
        banner.get_by_text("The service can’t be reached.").wait_for(timeout=10_000)
        return time.monotonic() - began

    def back():
        banner.wait_for(state="hidden", timeout=10_000)
        page.get_by_text("ready", exact=True).wait_for()

    # The network of this machine, a service that doesn't answer, and one that has ended.
    tab.context.set_offline(True)
    assert gone() < 2
    tab.context.set_offline(False)
    back()
    process.send_signal(signal.SIGSTOP)
    assert gone() < 2.2, "the half second is the test's own"
    tab.shot("34-gone")
    process.send_signal(signal.SIGCONT)
    back()
    stop(process)
    assert gone() < 2
    port = int(url.rsplit(":", 1)[1])
    process, _ = start(tmp_path, port=port)
    back()
    assert page.get_by_role("textbox", name="Question").input_value() == "What was typed stays."
    tab.close()
    stop(process)


def test_what_became_of_corrections_ones_own_first(browser, service):
    tab = Watched(browser, service)
    made = {}
    for author, right in (("ada", "pumpkin"), ("grace", "gourd"), ("ada", "turnip")):
        body = {"image": image("specimen.jpg" if right != "turnip" else "another.jpg"), "question": QUESTION, "answer": right, "reasoning": REASONS[:1], "author": author}
        made[right] = service.call("POST", "/edits?codebook=ward&verify=false", body)["id"]
        time.sleep(0.01)
    page = tab.open("?codebook=ward")
    page.evaluate("localStorage.setItem('reasonedit.author', 'ada')")
    page.get_by_role("link", name="Corrections", exact=True).click()
    own = page.locator(".listing").filter(has=page.get_by_role("heading", name="Yours"))
    others = page.locator(".listing").filter(has=page.get_by_role("heading", name="Of others"))
    others.locator(".edit-item").first.wait_for()
    assert own.locator(".edit-item").count() == 2 and others.locator(".edit-item").count() == 1
    replaced = own.locator(".edit-item").filter(has_text="pumpkin")
    replaced.get_by_text("replaced by a newer one").wait_for()
    assert own.locator(".edit-item").filter(has_text="turnip").get_by_text("stands", exact=True).is_visible()
    settled(page)
    tab.shot("35-own-first")
    page.get_by_label("Only mine").check()
    main(page).get_by_text("2 corrections found").wait_for()
    assert "author=ada" in page.url
    page.get_by_role("link", name="All corrections").click()
    replaced.get_by_role("link", name=QUESTION).click()
    standing = page.locator(".standing")
    standing.get_by_text("This correction does not stand.").wait_for()
    standing.get_by_text("by grace").wait_for()
    tab.shot("36-replaced")
    standing.get_by_role("link", name="“gourd”").click()
    standing.get_by_text("It is newer than what was answered before").wait_for()
    standing.get_by_role("link", name="“pumpkin”").wait_for()
    tab.shot("37-stands")
    # Taken back, the older one stands again; made again, it doesn't.
    page.get_by_role("button", name="Take back…").click()
    page.get_by_role("dialog").get_by_role("button", name="Take back").click()
    page.get_by_role("heading", name="Taken back").wait_for()
    own.locator(".edit-item").filter(has_text="pumpkin").get_by_text("stands", exact=True).wait_for()
    tab.shot("38-taken-back")
    page.get_by_role("button", name="Make it again").click()
    standing.get_by_text("This correction stands.").wait_for()
    again = service.call("GET", f"/edits/{page.url.rsplit('/', 1)[1]}?codebook=ward")
    assert (again["answer"], again["author"], [one["statement"] for one in again["reasoning"]]) == ("gourd", "grace", REASONS[:1])
    assert again["id"] != made["gourd"]
    page.get_by_role("link", name="Corrections", exact=True).first.click()
    replaced.get_by_text("replaced by a newer one").wait_for()
    assert page.get_by_role("heading", name="Taken back").count() == 0
    tab.close()


def test_more_statements_are_advised_only_where_nothing_is_in_the_way(browser, service):
    tab = Watched(browser, service)
    page = tab.open("?codebook=way")

    def unmoved(route):
        """The edit as it was made, and the model's answer after it as it is where it didn't take."""
        response = route.fetch()
        made = response.json()
        made["after"] = {"answer": "pumpkin", "probability": 0.97}
        route.fulfill(response=response, body=json.dumps(made))

    page.route(lambda url: "/edits" in url and "/edits/" not in url, lambda route: unmoved(route) if route.request.method == "POST" else route.continue_())

    def correct():
        ask(page, "specimen.jpg", QUESTION, [*CHOICES, "gherkin"])
        page.get_by_role("button", name="Correct it").click()
        page.get_by_role("radio", name="gherkin").check()
        statement(page, 1).fill(REASONS[1])
        page.get_by_role("button", name="Save the correction").click()
        page.get_by_role("heading", name="Correction saved").wait_for()

    correct()
    main(page).get_by_text("No other correction is in the way. More statements").wait_for()
    page.get_by_role("button", name="Take it back").click()
    page.get_by_role("heading", name="Correction taken back").wait_for()
    service.call("POST", "/edits?codebook=way&verify=false", {
        "image": image("another.jpg"), "question": QUESTION, "answer": "pumpkin", "reasoning": REASONS, "author": "grace"})
    correct()
    main(page).get_by_text("Other corrections are in the way, which speak for “pumpkin”.").wait_for()
    main(page).get_by_role("link", name="“pumpkin”").wait_for()
    assert main(page).get_by_text("More statements, or ones closer").count() == 0
    settled(page)
    tab.shot("39-in-the-way")
    tab.close()


def test_a_word_on_an_answer_is_counted_and_taken_back(tab):
    page = tab.open("?codebook=verdict")
    ask(page, "specimen.jpg", QUESTION, CHOICES)
    asked = page.get_by_role("group", name="Is this answer right?")
    asked.get_by_role("button", name="Wrong").click()
    until(lambda: asked.get_by_role("button", name="Wrong").get_attribute("aria-pressed") == "true")
    said = lambda: [one["verdict"] for one in tab.service.call("GET", "/feedback?codebook=verdict")["feedback"]]
    assert said() == ["disagree"]
    asked.get_by_role("button", name="Right").click()
    until(lambda: said() == ["agree"])
    until(lambda: asked.get_by_role("button", name="Right").is_enabled())
    tab.shot("40-right")
    asked.get_by_role("button", name="Right").click()
    until(lambda: said() == [])
    # Of an answer that a correction stood in front of it is told there.
    made = tab.service.call("POST", "/edits?codebook=verdict&verify=false", {"image": image("specimen.jpg"), "question": QUESTION, "answer": "pumpkin", "reasoning": REASONS})
    page.get_by_role("button", name="Ask", exact=True).click()
    page.locator(".facts .source a").first.wait_for()
    asked.get_by_role("button", name="Right").click()
    until(lambda: said() == ["agree"])
    page.goto(f"{tab.service.url}/?codebook=verdict#/edits/{made['id']}")
    main(page).get_by_text("said to be right: 1, wrong: 0").wait_for()


def test_experts_alone_see_the_method(tab):
    words = re.compile(r"codebook|lambda|λ|\blayer|topology|\bkeys?\b|distance|radius", re.I)
    page = tab.open()
    ask(page, "unrelated.jpg", "What is the rim of the specimen?", ["none", "dark"])
    for view in ("#/ask", "#/edits", "#/status"):
        page.goto(f"{tab.service.url}/{view}")
        page.locator("h1:visible").wait_for()
        page.wait_for_timeout(500)
        shown = page.inner_text("body")
        assert not words.search(shown), (view, words.search(shown).group(), shown)
    page.goto(f"{tab.service.url}/#/topology")
    page.get_by_role("heading", name="Ask about a picture").wait_for()
    page.get_by_text("Settings", exact=True).click()
    page.get_by_label("Expert view").check()
    page.get_by_role("link", name="Topology").click()
    # What changes the service for everybody is asked about first, and is not what happens by default.
    page.get_by_role("heading", name="Measure").wait_for()
    assert page.get_by_label("Then").input_value() == "never"
    page.get_by_label("Then").select_option("always")
    page.get_by_role("button", name="Measure", exact=True).click()
    page.get_by_role("dialog", name="Move the codebook over?").get_by_role("button", name="Cancel").click()
    assert tab.service.call("GET", "/jobs")["jobs"] == [] or all(job["state"] != "running" for job in tab.service.call("GET", "/jobs")["jobs"])
    page.reload()
    page.get_by_role("link", name="Topology").wait_for()
