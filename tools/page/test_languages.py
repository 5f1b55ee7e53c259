"""The page in German, English and French: chosen by the browser, by the person or by the service, and nothing of another language in it."""

import json
import re

import pytest
from conftest import Watched
from service import ROOT, SAMPLES, Service, start, stop

FEEDBACK = ROOT / "crates" / "page" / "feedback"
WORDS = {language: json.loads((FEEDBACK / f"words-{language}.json").read_text()) for language in ("de", "en", "fr")}
QUESTION = "What is this specimen called?"
REASONS = ["The colour of this object is purple.", "A purple object with a jagged border is called a pumpkin."]
# What is data, or a name in every language.
DATA = [QUESTION, *REASONS, "pumpkin", "triangle", "square", "specimen.jpg", "another.jpg", "dermatology-2", "dermoscopy", "default", "demo", "ReasonEdit", "qwen3_vl",
        "Deutsch", "English", "Français", "vision.3", "mean", "cpu, f32"]
ENGLISH = {"the", "of", "and", "is", "are", "with", "this", "that", "you", "your", "it", "not", "to", "for", "from", "answer", "edit", "edits", "picture", "yes", "by"}

# Everything that is seen or read out: texts, and names of controls. What the service says is marked as English.
SAID = """() => {
  const said = [];
  const walker = document.createTreeWalker(document.documentElement, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT);
  for (let node = walker.currentNode; node; node = walker.nextNode()) {
    const element = node.nodeType === 3 ? node.parentElement : node;
    if (element.closest("script, style, noscript, head, [lang=en]:not(html), option[lang], code, pre")) continue;
    if (node.nodeType === 3) said.push(node.data);
    else for (const name of ["aria-label", "title", "alt", "placeholder", "aria-roledescription"]) if (node.hasAttribute(name)) said.push(node.getAttribute(name));
  }
  said.push(document.title);
  return said.filter((one) => one.trim() !== "");
}"""


def walk(tab, words, look):
    """Asks, corrects, looks at lists and states; `look(name)` at each place."""
    said = lambda key: words[key]
    page = tab.open()
    page.get_by_role("heading", name=said("ask.title")).wait_for()
    look("first")
    page.get_by_role("button", name=said("ask.go"), exact=True).click()
    page.locator("main").get_by_text(said("ask.missing.picture")).wait_for()
    page.set_input_files("#picture-file", str(SAMPLES / "specimen.jpg"))
    page.get_by_role("textbox", name=said("ask.question"), exact=True).fill(QUESTION)
    for choice in ("triangle", "square", "pumpkin"):
        page.get_by_placeholder(said("ask.choices.placeholder")).fill(choice)
        page.keyboard.press("Enter")
    page.get_by_role("button", name=said("ask.go"), exact=True).click()
    page.get_by_role("button", name=said("correct.open")).click()
    page.get_by_role("radio", name="pumpkin").check()
    fields = page.locator(".statement-input textarea")
    fields.first.fill(REASONS[0])
    fields.first.press("Enter")
    fields.nth(1).fill(REASONS[1])
    page.get_by_role("button", name=said("correct.place")).first.click()
    page.get_by_role("button", name=said("find.go")).nth(1).click()
    page.locator(".found").wait_for()
    page.get_by_label(said("edit.author")).fill("dermatology-2")
    page.get_by_placeholder(said("correct.tags.placeholder")).fill("dermoscopy")
    look("correcting")
    page.get_by_role("button", name=said("correct.save"), exact=True).click()
    page.get_by_role("heading", name=said("outcome.saved")).wait_for()
    look("saved")
    page.get_by_role("button", name=said("ask.again")).click()
    page.locator(".facts .source a").first.wait_for()
    page.get_by_role("button", name=said("correct.open")).wait_for()
    look("why")
    page.get_by_role("link", name=said("nav.edits"), exact=True).click()
    page.locator(".edit-item").first.wait_for()
    look("list")
    page.get_by_role("link", name=QUESTION).first.click()
    page.get_by_role("button", name=said("edit.take-back")).wait_for()
    page.locator(".frame .box").first.wait_for(state="attached")
    look("edit")
    page.get_by_role("button", name=said("edit.take-back")).click()
    page.get_by_role("dialog").wait_for()
    look("take-back")
    page.get_by_role("dialog").get_by_role("button", name=said("take-back.go"), exact=True).click()
    page.get_by_role("heading", name=said("taken-back.title")).wait_for()
    look("taken-back")
    page.get_by_role("link", name=said("nav.status"), exact=True).click()
    page.get_by_role("heading", name=said("jobs.title")).wait_for()
    look("status")


def without_data(text):
    for one in sorted(DATA, key=len, reverse=True):
        text = text.replace(one, " ")
    # Ids of what is stored, and of requests.
    return re.sub(r"\b[0-9A-HJKMNP-TV-Z]{26}\b|\b[0-9a-f]{16,}\b", " ", text)


@pytest.mark.parametrize("locale", ["de-AT", "fr-CH"])
def test_a_walk_shows_no_english(browser, service, locale):
    tab = Watched(browser, service, locale=locale)
    page, language = tab.page, locale[:2]

    def look(name):
        assert page.evaluate("document.documentElement.lang") == language
        for text in page.evaluate(SAID):
            words = set(re.findall(r"[^\W\d_]+", without_data(text).lower()))
            assert not words & ENGLISH, f"{name}: {text!r}"
        tab.shot(f"{language}-{name}")

    walk(tab, WORDS[language], look)
    tab.close()


def bracketed(message):
    """A message of a language in which every word of the page stands in brackets; what is put in stands outside."""
    if isinstance(message, dict):
        return {form: bracketed(text) for form, text in message.items()}
    return "".join(part if part.startswith("{") else f"⟦{part}⟧" for part in re.split(r"(\{\w+\})", message) if part)


@pytest.mark.parametrize("expert", [False, True])
def test_every_word_comes_from_the_catalogue(browser, service, expert):
    words = {key: bracketed(message) for key, message in WORDS["en"].items()}
    tab = Watched(browser, service)
    if expert:
        tab.expert()
    page = tab.page
    page.route("**/words-en.json", lambda route: route.fulfill(body=json.dumps(words), content_type="application/json"))

    def look(name):
        for text in page.evaluate(SAID):
            rest = without_data(re.sub(r"⟦[^⟧]*⟧", " ", text))
            # Dates and units are Intl's.
            rest = re.sub(r"\b(Jan|Feb|Mar|Apr|May|June?|July?|Aug|Sept?|Oct|Nov|Dec|ms|secs?|min|hrs?|kB|MB|byte|and)\b", " ", rest)
            assert not re.search(r"[^\W\d_]{2,}", rest), f"{name}: {text!r}"

    walk(tab, words, look)
    if expert:
        page.get_by_role("link", name=words["nav.topology"], exact=True).click()
        page.get_by_role("heading", name=words["topology.in-use"]).wait_for()
        look("topology")
    tab.close()


def test_the_language_is_chosen_on_the_page_and_kept(browser, service):
    tab = Watched(browser, service, locale="fr-FR")
    page = tab.open()
    page.get_by_role("heading", name=WORDS["fr"]["ask.title"]).wait_for()
    page.get_by_role("textbox", name="Question").fill("Ce qui est écrit reste.")
    page.set_input_files("#picture-file", str(SAMPLES / "specimen.jpg"))
    page.get_by_text("433 × 325").wait_for()
    page.get_by_text(WORDS["fr"]["menu.open"], exact=True).click()
    page.locator("#language").select_option("de")
    page.get_by_role("heading", name=WORDS["de"]["ask.title"]).wait_for()
    assert page.evaluate("document.documentElement.lang") == "de"
    assert page.get_by_role("textbox", name="Frage", exact=True).input_value() == "Ce qui est écrit reste."
    assert page.get_by_role("img", name="Das Bild specimen.jpg").count() == 1
    french = {text for text in WORDS["fr"].values() if isinstance(text, str) and " " in text and "{" not in text}
    left = [text for text in page.evaluate(SAID) if text.strip() in french]
    assert not left, left
    page.reload()
    page.get_by_role("heading", name=WORDS["de"]["ask.title"]).wait_for()
    page.get_by_text(WORDS["de"]["menu.open"], exact=True).click()
    page.locator("#language").select_option("")
    page.get_by_role("heading", name=WORDS["fr"]["ask.title"]).wait_for()
    tab.close()


def test_numbers_and_dates_are_of_the_country(browser, service):
    for locale, share, month in (("de-AT", "99,9", "Jänner"), ("en-US", "99.9", "January"), ("fr-CH", "99,9", "janvier")):
        tab = Watched(browser, service, locale=locale)
        page = tab.open()
        page.locator("h1").wait_for()
        words = "import(new URL('assets/words.js', location.href).href)"
        assert share in page.evaluate(f"{words}.then((words) => String(words.percent(0.999)))")
        assert page.evaluate("new Intl.DateTimeFormat(navigator.language, { month: 'long' }).format(new Date(2026, 0, 5))") == month
        said = page.evaluate(f"{words}.then((words) => String(words.t('n.corrections', {{ n: 12345 }})))")
        assert re.match(r"12\W?345 ", said), said
        tab.close()


def test_the_service_may_set_the_language(browser, tmp_path):
    process, url = start(tmp_path, "--set", 'page.language="de"')
    try:
        tab = Watched(browser, Service(url), locale="en-GB")
        page = tab.open()
        page.get_by_role("heading", name=WORDS["de"]["ask.title"]).wait_for()
        page.get_by_text(WORDS["de"]["menu.open"], exact=True).click()
        page.locator("#language").select_option("en")
        page.get_by_role("heading", name=WORDS["en"]["ask.title"]).wait_for()
        tab.close()
    finally:
        stop(process)


