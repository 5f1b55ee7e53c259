"""Two corrections that contradict each other: each tells of the other, and somebody decides."""

import base64
import os

import pytest
from conftest import TOKEN
from service import SAMPLES, Service, start, stop
from test_page import main, settled
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
    one, other = ward["edits"]
    tab = seen_by(browser, ward["kim"])
    page = tab.open(f"#/edits/{one['id']}")
    odds = part(page, "Contradicts what others said")
    odds.get_by_text("They name different sides.").wait_for()
    # Both stand: nothing is said to stand back.
    main(page).get_by_text("This correction stands. What contradicts it is listed below.").wait_for()
    for said in (f"“{LEFT}”", f"“{RIGHT}”", "lee", "Nobody has decided yet; both stand."):
        odds.get_by_text(said).wait_for()
    settled(page)
    tab.shot("80-at-odds")
    odds.get_by_role("link", name="“the right part”").click()
    part(page, "Contradicts what others said").get_by_role("link", name="“left”").wait_for()
    tab.close()
