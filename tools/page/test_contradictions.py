"""Two corrections that contradict each other: each tells of the other, and somebody decides."""

import base64
import os

import pytest
from conftest import TOKEN, Watched
from service import SAMPLES, Service, start, stop
from test_page import CHOICES, QUESTION, ask, main, said, settled, statement, until
from test_review import seen_by

pytestmark = pytest.mark.skipif("PAGE_URL" in os.environ, reason="needs a service of its own")

LEFT, RIGHT = "The thing lies on the left.", "The thing lies on the right."
ONE, OTHER = "Where does it lie?", "Which part of the picture shows it?"


@pytest.fixture
def ward(tmp_path):
    """A service of its own with people of three roles, and two corrections of the same picture."""
    process, url = start(tmp_path, "--set", f'server.auth_tokens=["{TOKEN}"]')
    root = Service(url, TOKEN)
    people = {}
    for name, role in (("kim", "contributor"), ("lee", "contributor"), ("ada", "editor"), ("ray", "reader")):
        people[name] = Service(url, root.call("POST", "/tokens", {"name": name, "role": role})["token"])
    people["edits"] = [made(people["kim"], ONE, "left", LEFT), made(people["lee"], OTHER, "the right part", RIGHT)]
    yield people
    stop(process)


def made(person, question, answer, statement):
    data = base64.b64encode((SAMPLES / "specimen.jpg").read_bytes()).decode()
    reasoning = [{"statement": statement, "evidence": [{"x": 30, "y": 40, "width": 130, "height": 120}]}]
    body = {"image": {"data": data}, "question": question, "answer": answer, "reasoning": reasoning}
    return person.call("POST", "/edits?verify=false", body)


def part(page, title):
    return page.locator("section").filter(has=page.get_by_role("heading", name=title, exact=True))


def test_each_correction_tells_of_the_other(browser, ward):
    one, _ = ward["edits"]
    tab = seen_by(browser, ward["kim"])
    page = tab.open(f"#/edits/{one['id']}")
    odds = part(page, "Contradicts what others said")
    odds.get_by_text("They name different sides.").wait_for()
    # Both stand: nothing is said to stand back.
    main(page).get_by_text("This correction stands. What contradicts it is listed below.").wait_for()
    for told in (f"“{LEFT}”", f"“{RIGHT}”", "lee", "Nobody has decided yet; both stand."):
        odds.get_by_text(told).wait_for()
    settled(page)
    tab.shot("80-at-odds")
    odds.get_by_role("link", name="“the right part”").click()
    part(page, "Contradicts what others said").get_by_role("link", name="“left”").wait_for()
    tab.close()


def test_an_editor_decides_and_takes_it_back(browser, ward):
    one, other = ward["edits"]
    tab = seen_by(browser, ward["ada"])
    page = tab.open("#/review")
    page.get_by_text("1 pair of corrections waits for a decision.").wait_for()
    settled(page)
    tab.shot("81-way")
    page.get_by_role("link", name="Corrections that contradict each other").click()
    undecided, decided = part(page, "Undecided"), part(page, "Decided lately")
    undecided.get_by_role("heading", name="They name different sides.").wait_for()
    decided.get_by_text("Nothing has been decided yet.").wait_for()
    for shown in (ONE, OTHER, f"“{LEFT}”", f"“{RIGHT}”"):
        undecided.get_by_text(shown, exact=True).wait_for()
    page.wait_for_function("document.querySelectorAll('.side img').length === 2 && [...document.querySelectorAll('.side img')].every((one) => one.complete)")
    settled(page)
    tab.shot("82-undecided")

    # Whom to ask is said by keyboard alone, and the pair stays undecided.
    page.get_by_role("button", name="Ask somebody…").press("Enter")
    assert page.evaluate("document.activeElement.labels[0].innerText") == "Whom?"
    page.keyboard.press("Enter")
    assert page.get_by_role("textbox", name="Whom?").evaluate("(one) => one.validity.valueMissing")
    page.keyboard.type("Dr. Eve")
    tab.shot("83-whom")
    page.get_by_role("textbox", name="Whom?").press("Enter")
    undecided.get_by_text("Dr. Eve is to be asked; both stand until then.").wait_for()
    assert said(page) == "Noted. Both stand until then."
    assert page.evaluate("document.activeElement.innerText") == "They name different sides."

    # Both hold, each where somebody says.
    page.get_by_role("button", name="Both hold…").click()
    page.get_by_role("textbox", name="When does each of them hold?").fill("left of the midline in the first view only")
    tab.shot("84-both")
    page.get_by_role("button", name="Both hold", exact=True).click()
    decided.get_by_text("Both hold: left of the midline in the first view only").wait_for()
    undecided.get_by_text("Nothing is undecided.").wait_for()
    assert decided.get_by_role("button", name="Keep this one").count() == 0
    tab.shot("85-both-hold")
    decided.get_by_role("button", name="Take the decision back").click()
    undecided.get_by_role("heading", name="They name different sides.").wait_for()
    assert said(page) == "Taken back. Both stand, and nothing is decided."

    # One is kept: asked first, and not done where the question is closed.
    keep = page.get_by_role("button", name="Keep this one: “left” by kim")
    keep.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("“the right part” by lee then does not stand any more").wait_for()
    tab.shot("86-keep")
    page.keyboard.press("Escape")
    assert keep.evaluate("(one) => one === document.activeElement")
    keep.click()
    dialog.get_by_role("button", name="Keep it").click()
    decided.get_by_text("“left” by kim was kept; the other does not stand.").wait_for()
    assert said(page) == "Decided. The other one does not stand any more."
    settled(page)
    tab.shot("87-kept")
    decided.get_by_role("link", name="the right part").click()
    main(page).get_by_text("This correction does not stand. The two contradicted each other, and it was decided to keep this one:").wait_for()
    part(page, "Contradicts what others said").get_by_text("The other one was kept; this one does not stand.").wait_for()
    settled(page)
    tab.shot("88-lost")
    main(page).get_by_role("link", name="“left”").first.click()
    part(page, "Contradicts what others said").get_by_text("This one was kept; the other does not stand.").wait_for()

    # Taken back, the other stands again, and the kept one is as it was.
    page.get_by_role("link", name="All corrections that contradict each other").click()
    decided.get_by_role("button", name="Take the decision back").click()
    undecided.get_by_role("heading", name="They name different sides.").wait_for()
    now = [ward["ada"].call("GET", f"/edits/{edit['id']}") for edit in (one, other)]
    assert [(edit["version"], edit["superseded_by"]) for edit in now] == [(1, None), (1, None)]
    pair = ward["ada"].call("GET", "/conflicts?open=true")["conflicts"][0]
    assert [step["decision"] for step in pair["history"]] == ["ask", "keep_both", "reopen", "keep", "reopen"]
    tab.close()


def test_what_was_kept_twice_is_taken_back_last_first(browser, ward):
    one, other = ward["edits"]
    third = made(ward["lee"], "On which side of the picture is it?", "on that side", "The thing is on the right.")
    pairs = ward["ada"].call("GET", f"/conflicts?open=true&edit={one['id']}")["conflicts"]
    assert len(pairs) == 2 and third["conflicts"]
    for pair in reversed(pairs):
        ward["ada"].call("POST", f"/conflicts/{pair['id']}/resolve", {"decision": "keep", "keep": one["id"]})
    tab = seen_by(browser, ward["ada"])
    page = tab.open("#/review/contradictions")
    decided = part(page, "Decided lately")
    decided.get_by_role("button", name="Take the decision back").nth(1).click()
    page.get_by_text("The correction that was kept has been changed since, or kept against another one.").first.wait_for()
    assert ward["ada"].call("GET", f"/edits/{one['id']}")["version"] == 3
    for _ in range(2):
        n = decided.get_by_role("button", name="Take the decision back").count()
        decided.get_by_role("button", name="Take the decision back").first.click()
        until(lambda n=n: decided.get_by_role("button", name="Take the decision back").count() == n - 1)
    assert [ward["ada"].call("GET", f"/edits/{edit['id']}")["superseded_by"] for edit in (one, other, third)] == [None] * 3
    tab.close()


@pytest.mark.parametrize("person", ["ray", "kim"])
def test_who_may_not_decide_sees_it_without_buttons(browser, ward, person):
    tab = seen_by(browser, ward[person])
    page = tab.open()
    page.get_by_role("link", name="Review", exact=True).click()
    page.get_by_role("link", name="Corrections that contradict each other").click()
    main(page).get_by_text("Colleagues with the role editor decide about it.").wait_for()
    part(page, "Undecided").get_by_text(f"“{RIGHT}”").wait_for()
    assert main(page).get_by_role("button").count() == 0
    tab.shot(f"89-seen-by-{person}")
    tab.close()


@pytest.mark.parametrize("locale", ["de-DE", "fr-FR"])
def test_the_pairs_speak_the_readers_language(browser, ward, locale):
    pair = ward["ada"].call("GET", "/conflicts")["conflicts"][0]
    ward["ada"].call("POST", f"/conflicts/{pair['id']}/resolve", {"decision": "ask", "note": "Dr. Eve"})
    tab = Watched(browser, ward["ada"], locale=locale)
    tab.context.add_init_script(f"sessionStorage.setItem('reasonedit.token', '{ward['ada'].token}')")
    page = tab.open("#/review/contradictions")
    page.locator(".side").first.wait_for()
    settled(page)
    tab.shot(f"90-pairs-{locale[:2]}")
    text = page.inner_text("main")
    for english in ("Undecided", "Keep", "Both", "Ask", "asked", "pair.", "sides"):
        assert english not in text, text
    tab.close()


def test_what_was_just_saved_is_told_what_it_contradicts(browser, ward):
    tab = seen_by(browser, ward["kim"])
    page = tab.open()
    ask(page, "specimen.jpg", QUESTION, CHOICES)
    page.get_by_role("button", name="Correct it").click()
    page.get_by_role("radio", name="pumpkin").check()
    statement(page, 1).fill(RIGHT)
    page.get_by_role("button", name="Save the correction").click()
    page.get_by_role("heading", name="Correction saved").wait_for()
    odds = page.locator(".made .odds")
    odds.get_by_text(f"“{LEFT}”").wait_for()
    assert page.get_by_text("stands again").count() == 0
    settled(page)
    tab.shot("91-just-saved")
    page.get_by_role("button", name="Take it back").click()
    page.get_by_role("heading", name="Correction taken back").wait_for()
    assert odds.count() == 0
    tab.close()
