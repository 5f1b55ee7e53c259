"""Corrections that wait: one person makes one on the page, another looks at it, changes, approves and rejects."""

import base64
import os

import pytest
from conftest import TOKEN, Watched
from service import SAMPLES, Service, start, stop
from test_page import CHOICES, QUESTION, REASONS, answer, ask, main, said, settled, statement, until

pytestmark = pytest.mark.skipif("PAGE_URL" in os.environ, reason="needs a service of its own")


@pytest.fixture(scope="module")
def ward(tmp_path_factory):
    """A service whose contributors' edits wait, and the tokens of its people."""
    settings = ["--set", f'server.auth_tokens=["{TOKEN}"]', "--set", 'editor.review.mode="contributors"']
    process, url = start(tmp_path_factory.mktemp("ward"), *settings)
    root = Service(url, TOKEN)
    people = {}
    for name, role in (("kim", "contributor"), ("lee", "contributor"), ("ada", "editor"), ("bo", "editor")):
        people[name] = Service(url, root.call("POST", "/tokens", {"name": name, "role": role})["token"])
    yield people
    stop(process)


def seen_by(browser, person):
    """A tab of somebody who has signed in."""
    tab = Watched(browser, person)
    tab.context.add_init_script(f"sessionStorage.setItem('reasonedit.token', '{person.token}')")
    return tab


def body(picture, right):
    data = base64.b64encode((SAMPLES / picture).read_bytes()).decode()
    return {"image": {"data": data}, "question": QUESTION, "answer": right, "choices": CHOICES,
            "reasoning": [{"statement": REASONS[0], "evidence": [{"x": 20, "y": 20, "width": 60, "height": 50}]}, {"statement": REASONS[2]}]}


def test_a_correction_waits_until_a_colleague_has_looked_at_it(browser, ward):
    tab = seen_by(browser, ward["kim"])
    page = tab.open()
    ask(page, "specimen.jpg", QUESTION, CHOICES)
    assert answer(page) == "triangle"
    # Nothing waits yet, so that nothing leads there.
    assert page.get_by_role("link", name="Review", exact=True).count() == 0
    page.get_by_role("button", name="Correct it").click()
    page.get_by_role("radio", name="pumpkin").check()
    statement(page, 1).fill(REASONS[2])
    page.get_by_role("button", name="Save the correction").click()
    page.get_by_role("heading", name="Correction submitted").wait_for()
    page.get_by_role("link", name="Review", exact=True).wait_for()
    tab.shot("60-submitted")
    page.get_by_role("link", name="See what becomes of it").click()
    main(page).get_by_text("It is yours: somebody else decides").wait_for()
    assert page.get_by_role("button", name="Approve").count() == 0
    page.locator(".versus .opinion.took").wait_for()
    assert page.locator(".versus .said").all_inner_texts() == ["triangle", "pumpkin"]
    settled(page)
    tab.shot("61-own")
    page.get_by_role("button", name="Amend", exact=True).click()
    page.get_by_role("textbox", name="Why").fill("\n".join(REASONS))
    tab.shot("62-amend")
    page.get_by_role("button", name="Save the change").click()
    main(page).get_by_text("Changed by kim").wait_for()
    assert page.locator(".reasons .statement").all_inner_texts() == REASONS
    # The answers are still as they were.
    page.get_by_role("link", name="Ask", exact=True).click()
    page.get_by_role("button", name="Ask", exact=True).click()
    until(lambda: answer(page) == "triangle")
    tab.close()

    tab = seen_by(browser, ward["ada"])
    page = tab.open()
    page.get_by_role("link", name="Review", exact=True).click()
    waiting = page.locator(".listing").filter(has=page.get_by_role("heading", name="For you to decide"))
    waiting.locator(".edit-item").wait_for()
    settled(page)
    tab.shot("63-queue")
    waiting.get_by_role("link", name=QUESTION).click()
    page.locator(".versus .opinion.took").wait_for()
    settled(page)
    tab.shot("64-decide")
    page.get_by_role("button", name="Approve").click()
    main(page).get_by_text("Approved by ada").wait_for()
    assert said(page) == "Approved."
    page.get_by_role("link", name="Open the correction").click()
    main(page).get_by_text("This correction stands.").wait_for()
    made = ward["kim"].call("GET", "/edits")["edits"]
    assert [(one["answer"], one["author"]) for one in made] == [("pumpkin", "kim")]
    tab.close()


def test_what_is_rejected_says_why_and_what_somebody_else_decided_is_told(browser, ward):
    proposal = ward["lee"].call("POST", "/edits?verify=false", body("another.jpg", "square"))
    assert proposal["status"] == "proposed"
    tab = seen_by(browser, ward["ada"])
    # Refusals are asked for here.
    tab.expected += ["409", "412", "422"]
    page = tab.open(f"#/review/{proposal['id']}")
    page.get_by_role("button", name="Reject…").wait_for()
    page.locator(".versus .said").nth(1).wait_for()
    page.get_by_role("button", name="Reject…").click()
    # Changed meanwhile by whoever made it: what is decided about is what was seen.
    ward["lee"].call("PATCH", f"/proposals/{proposal['id']}", {"tags": ["again"]})
    page.get_by_role("textbox", name="Reason").fill("The border is jagged: look at the upper corner.")
    tab.shot("65-reject")
    page.get_by_role("button", name="Reject", exact=True).click()
    page.locator(".trouble").wait_for()
    tab.shot("66-changed-meanwhile")
    page.reload()
    page.get_by_role("button", name="Reject…").click()
    page.get_by_role("textbox", name="Reason").fill("The border is jagged: look at the upper corner.")
    page.get_by_role("button", name="Reject", exact=True).click()
    main(page).get_by_text("Rejected by ada").wait_for()
    tab.close()

    tab = seen_by(browser, ward["lee"])
    page = tab.open("#/review")
    mine = page.locator(".listing").filter(has=page.get_by_role("heading", name="Yours"))
    mine.get_by_text("Reason: The border is jagged").wait_for()
    settled(page)
    tab.shot("67-rejected")
    # Withdrawn by whoever made it.
    other = ward["lee"].call("POST", "/edits?verify=false", body("unrelated.jpg", "square"))
    page.goto(f"{ward['lee'].url}/#/review/{other['id']}")
    page.get_by_role("button", name="Withdraw…").click()
    page.get_by_role("dialog").get_by_role("button", name="Withdraw", exact=True).click()
    main(page).get_by_text("Withdrawn by lee").wait_for()
    tab.close()


@pytest.mark.parametrize("locale", ["de-DE", "fr-FR"])
def test_the_queue_speaks_the_reviewers_language(browser, ward, locale):
    ward["kim"].call("POST", "/edits?verify=false", body("unrelated.jpg", "triangle"))
    tab = Watched(browser, ward["bo"], locale=locale)
    tab.context.add_init_script(f"sessionStorage.setItem('reasonedit.token', '{ward['bo'].token}')")
    page = tab.open("#/review")
    page.locator(".edit-item").first.wait_for()
    settled(page)
    tab.shot(f"68-queue-{locale[:2]}")
    page.locator(".edit-item h3 a").first.click()
    page.locator(".versus .said").nth(1).wait_for()
    settled(page)
    tab.shot(f"69-decide-{locale[:2]}")
    text = page.inner_text("main").replace(QUESTION, "")
    for english in ("Approve", "Reject", "Decision", "waiting", "Submitted"):
        assert english not in text, text
    tab.close()
