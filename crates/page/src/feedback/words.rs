//! The words of the page: every language says everything, nothing is said that is in no catalogue, and no
//! catalogue says what nobody asks for.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::files;

const LANGUAGES: [&str; 3] = ["de", "en", "fr"];
/// Forms of a plural; French and others have more, which fall back on the last.
const FORMS: [&str; 2] = ["one", "other"];

type Catalogue = BTreeMap<String, Vec<String>>;

/// A literal of a script. Of a template the places where something is put in are `HOLE`.
struct Literal {
    file: &'static str,
    line: usize,
    text: String,
    template: bool,
}

const HOLE: char = '\u{0}';

fn catalogue(language: &str) -> Catalogue {
    let file = files::find(&format!("words-{language}.json")).expect("a catalogue");
    let Value::Object(messages) = serde_json::from_str(file.text).expect("JSON") else { panic!("no object") };
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let forms = |value: &Value| match value {
        Value::Object(forms) => {
            assert!(forms.keys().eq(FORMS), "{language}: {value}");
            forms.values().map(text).collect()
        }
        whole => vec![text(whole)],
    };
    messages.iter().map(|(key, value)| (key.clone(), forms(value))).collect()
}

/// The parameters of a message: `{name}`.
fn parameters(text: &str) -> BTreeSet<&str> {
    let parts = text.split('{').skip(1);
    parts.map(|part| part.split_once('}').expect("a closed brace").0).collect()
}

fn scripts() -> Vec<Literal> {
    files::all()
        .filter(|(name, _)| ending(name) == "js")
        .flat_map(|(name, text)| literals(name, text))
        .collect()
}

/// Every literal of a script. Comments and regular expressions are passed over.
fn literals(file: &'static str, script: &str) -> Vec<Literal> {
    let chars: Vec<char> = script.chars().collect();
    let mut found = Vec::new();
    // Where a template's hole ends, and the template that goes on there.
    let mut open: Vec<(usize, Literal)> = Vec::new();
    let (mut at, mut line, mut depth, mut before) = (0, 1, 0, '(');
    while at < chars.len() {
        let (c, next) = (chars[at], chars.get(at + 1).copied().unwrap_or('\n'));
        match c {
            '\n' => line += 1,
            '/' if next == '/' => {
                while chars[at] != '\n' {
                    at += 1;
                }
                continue;
            }
            '/' if next == '*' => {
                while !(chars[at] == '*' && chars[at + 1] == '/') {
                    line += usize::from(chars[at] == '\n');
                    at += 1;
                }
                at += 2;
                continue;
            }
            '/' if "(,=:[!&|?{};>".contains(before) => {
                let mut class = false;
                at += 1;
                while class || chars[at] != '/' {
                    class = chars[at] == '[' || (class && chars[at] != ']');
                    at += if chars[at] == '\\' { 2 } else { 1 };
                }
            }
            '"' | '\'' => {
                let start = at + 1;
                at = start;
                while chars[at] != c {
                    at += if chars[at] == '\\' { 2 } else { 1 };
                }
                let text = chars[start..at].iter().collect();
                found.push(Literal { file, line, text, template: false });
            }
            '`' => {
                let begun = Literal { file, line, text: String::new(), template: true };
                at = template(&chars, at + 1, &mut line, begun, depth, &mut open, &mut found);
            }
            '{' => depth += 1,
            '}' => {
                // The brace of a hole is not counted.
                if open.last().is_some_and(|(outer, _)| *outer == depth) {
                    let (_, mut begun) = open.pop().expect("one is open");
                    begun.text.push(HOLE);
                    at = template(&chars, at + 1, &mut line, begun, depth, &mut open, &mut found);
                } else {
                    depth -= 1;
                }
            }
            _ => {}
        }
        if !chars[at].is_whitespace() {
            before = chars[at];
        }
        at += 1;
    }
    found
}

/// Reads on in a template to its end, or to its next hole; the place of the last character read.
fn template(
    chars: &[char],
    mut at: usize,
    line: &mut usize,
    mut begun: Literal,
    depth: usize,
    open: &mut Vec<(usize, Literal)>,
    found: &mut Vec<Literal>,
) -> usize {
    loop {
        match chars[at] {
            '`' => {
                found.push(begun);
                return at;
            }
            '$' if chars[at + 1] == '{' => {
                open.push((depth, begun));
                return at + 1;
            }
            '\\' => at += 1,
            c => {
                *line += usize::from(c == '\n');
                begun.text.push(c);
            }
        }
        at += 1;
    }
}

/// What stands behind the last stop.
fn ending(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or_default()
}

/// Whether a text has the form of a key, with holes or without.
fn is_key(text: &str) -> bool {
    let part = |part: &str| {
        !part.is_empty()
            && part
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c) || c == HOLE)
    };
    text.contains('.')
        && text.split('.').all(part)
        && !["js", "css", "svg", "json"].contains(&ending(text))
        && !text.starts_with("reasonedit.")
}

/// Whether a key may be what a template makes.
fn fits(pattern: &str, key: &str) -> bool {
    match pattern.split_once(HOLE) {
        Some((start, end)) => key
            .strip_prefix(start)
            .and_then(|rest| rest.strip_suffix(end))
            .is_some_and(|hole| !hole.is_empty()),
        None => pattern == key,
    }
}

/// Keys that the page's HTML names.
fn in_html() -> BTreeSet<String> {
    let named = ["data-words=\"", "data-words-label=\""].map(|name| {
        files::HOME.split(name).skip(1).filter_map(|rest| rest.split('"').next()).map(str::to_owned)
    });
    named.into_iter().flatten().collect()
}

#[test]
fn every_language_says_everything_with_the_same_parameters() {
    let english = catalogue("en");
    for language in LANGUAGES {
        let other = catalogue(language);
        assert!(other.keys().eq(english.keys()), "{language}: {:?}", {
            let (a, b): (BTreeSet<_>, BTreeSet<_>) = (other.keys().collect(), english.keys().collect());
            a.symmetric_difference(&b).copied().cloned().collect::<Vec<_>>()
        });
        for (key, forms) in &other {
            let asked = &english[key];
            assert_eq!(forms.len(), asked.len(), "{language}: {key} is a plural in one and not in the other");
            assert!(forms.iter().all(|form| !form.trim().is_empty()), "{language}: {key} is empty");
            // "one statement" may leave the number out, the general form may not.
            let (own, theirs) = (forms.last().unwrap(), asked.last().unwrap());
            assert_eq!(parameters(own), parameters(theirs), "{language}: {key}");
        }
    }
}

#[test]
fn every_word_that_is_asked_for_is_there_and_none_is_there_in_vain() {
    let known = catalogue("en");
    let literals = scripts();
    let (plain, patterns): (Vec<_>, Vec<_>) =
        literals.iter().filter(|one| is_key(&one.text)).partition(|one| !one.text.contains(HOLE));
    for one in &plain {
        assert!(known.contains_key(&one.text), "{}:{}: no words for {}", one.file, one.line, one.text);
    }
    for one in &patterns {
        assert!(
            known.keys().any(|key| fits(&one.text, key)),
            "{}:{}: no words like {:?}",
            one.file,
            one.line,
            one.text
        );
    }
    let html = in_html();
    assert!(html.len() > 10 && html.iter().all(|key| known.contains_key(key)), "{html:?}");
    let asked = |key: &String| {
        html.contains(key)
            || plain.iter().any(|one| one.text == *key)
            || patterns.iter().any(|one| fits(&one.text, key))
    };
    let vain: Vec<&String> = known.keys().filter(|key| !asked(key)).collect();
    assert!(vain.is_empty(), "nobody asks for {vain:?}");
}

#[test]
fn what_can_go_wrong_has_words() {
    let known = catalogue("en");
    let table = include_str!("../../../../docs/errors.md");
    let types: BTreeSet<&str> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| "))
        .filter_map(|row| row.split(" | ").nth(1)?.strip_prefix('`')?.strip_suffix('`'))
        .filter(|name| name.chars().all(|c| c.is_ascii_lowercase() || c == '-'))
        .collect();
    assert!(types.len() > 20, "{types:?}");
    for name in types {
        assert!(known.contains_key(&format!("problem.{name}")), "no words for the problem {name}");
    }
}

/// Literals with the look of a text that are none, each with the reason.
const NO_TEXT: [(&str, &str); 5] = [
    (
        "What is this specimen called?",
        "a question for the demo model, which reads English whatever the page speaks",
    ),
    ("Bearer ", "a scheme of HTTP"),
    ("Enter", "a key of the keyboard"),
    ("PK\\x03\\x04", "the first bytes of files"),
    ("no words for ", "a fault of the page's own making, for whoever works on it"),
];

/// Names of the platform: keys, events' errors, formats of `Intl`.
fn is_name(text: &str) -> bool {
    let camel = text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    let prefixes = [
        "Arrow",
        "Escape",
        "Backspace",
        "Delete",
        "Abort",
        "Content",
        "SHA",
        "BM",
        "PK",
        "RIFF",
        "WEBP",
        "DICM",
        "GIF",
        "Plural",
        "Number",
        "DateTime",
        "List",
    ];
    camel && prefixes.iter().any(|prefix| text.starts_with(prefix))
}

#[test]
fn nothing_that_is_shown_stands_outside_of_the_catalogues() {
    let classes: BTreeSet<String> = files::all()
        .filter(|(name, _)| ending(name) == "css")
        .flat_map(|(_, css)| css.split('.').skip(1))
        .map(|rest| rest.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect())
        .collect();
    // Some classes are there for scripts and tests only, beside one that is styled.
    let class = |text: &str| {
        let small = text
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "- ".contains(c) || c == HOLE);
        small
            && text.split([' ', HOLE]).count() <= 4
            && text.split([' ', HOLE]).any(|part| classes.contains(part))
    };
    let text = |one: &Literal| {
        let text = one.text.trim();
        let words = text.split(|c: char| !c.is_alphabetic()).filter(|word| word.chars().count() > 1).count();
        let capital = text.starts_with(|c: char| c.is_uppercase()) && text.chars().any(char::is_lowercase);
        let several = words > 1 && text.contains(' ');
        (capital || several) && !class(text) && !is_name(text)
    };
    let technical = |one: &Literal| {
        let text = one.text.as_str();
        NO_TEXT.iter().any(|(known, _)| text.trim_end_matches(HOLE) == *known)
            // Addresses, selectors, media types, features of windows, queries of media, paths of SVG.
            || text.starts_with(['/', '#', '.', '[', '(', '?'])
            || text.starts_with("M\u{0}")
            || text.contains('=') || text.contains("://") || text.contains("0 0 ")
            || text.ends_with(':') || text.ends_with("button") || text.ends_with("img")
    };
    let strays: Vec<String> = scripts()
        .iter()
        .filter(|one| text(one) && !technical(one))
        .map(|one| format!("{}:{}: {:?} (template: {})", one.file, one.line, one.text, one.template))
        .collect();
    assert!(strays.is_empty(), "{strays:#?}");

    // Of the HTML only the program's name and what is said without scripts, which is said in every language.
    let (before, rest) = files::HOME.split_once("<noscript>").expect("a page without scripts");
    let (without, after) = rest.split_once("</noscript>").expect("its end");
    for language in LANGUAGES {
        assert!(without.contains(&format!("lang=\"{language}\"")), "{language} is not said without scripts");
    }
    for part in [before, after] {
        let shown: Vec<&str> = part
            .split('>')
            .filter_map(|piece| piece.split('<').next())
            .map(str::trim)
            .filter(|text| !text.is_empty() && *text != "ReasonEdit")
            .collect();
        assert!(shown.is_empty(), "{shown:?}");
        for attribute in [" title=\"", " aria-label=\"", " alt=\"S", "content=\"Ask"] {
            assert!(!part.contains(attribute), "{attribute}");
        }
    }
}

#[test]
fn german_and_french_are_no_english_and_address_people_formally() {
    let english =
        ["the", "of", "and", "is", "are", "with", "this", "that", "you", "your", "it", "not", "to", "for"];
    let familiar = [
        ("de", ["du", "dein", "deine", "dich", "dir"].as_slice()),
        ("fr", ["tu", "ton", "tes", "toi"].as_slice()),
    ];
    for (language, forbidden) in familiar {
        for (key, forms) in catalogue(language) {
            for word in forms.iter().flat_map(|form| form.split(|c: char| !c.is_alphabetic())) {
                let word = word.to_lowercase();
                assert!(!english.contains(&word.as_str()), "{language}: {key} has the English {word}");
                assert!(!forbidden.contains(&word.as_str()), "{language}: {key} says {word}");
            }
        }
    }
}

#[test]
fn only_experts_read_of_codebooks_and_layers() {
    // Where these words may stand: views and lines that are shown to experts only.
    let expert = [
        "topology.",
        "report.",
        "entries.",
        "status.",
        "menu.codebook.expert",
        "menu.expert",
        "outcome.entries",
        "job.modularity",
        "stage.",
    ];
    let terms = [
        "codebook",
        "lambda",
        "λ",
        "layer",
        "schicht",
        "couche",
        "tap",
        "embedding",
        "einbettung",
        "plongement",
    ];
    for language in LANGUAGES {
        for (key, forms) in catalogue(language) {
            if expert.iter().any(|prefix| key.starts_with(prefix)) {
                continue;
            }
            let words: Vec<String> = forms
                .iter()
                .flat_map(|form| form.split(|c: char| !c.is_alphabetic()))
                .map(str::to_lowercase)
                .collect();
            let found = words.iter().find(|word| terms.contains(&word.as_str()));
            assert!(found.is_none(), "{language}: {key} says {found:?}");
        }
    }
}
