//! `docs/errors.md` names every kind of problem and every message that a client can be told, read from the
//! code: a message that is added, changed or taken from a library shows there.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Where the list stands in the page.
const BEGIN: &str =
    "<!-- messages: made by UPDATE_ERRORS=1 cargo test --release -p reasonedit-server --test it errors -->";
const END: &str = "<!-- end of messages -->";

/// What makes a message, and the status it has there; the call's own words may name another.
const MAKERS: [(&str, &str); 18] = [
    ("Problem::invalid(", "422"),
    ("Problem::not_found(", "404"),
    ("Problem::new(", ""),
    ("Problem::at(", ""),
    ("Self::new(", ""),
    ("Failure::new(", ""),
    ("Failure::at(", ""),
    ("Fault::value(", "422"),
    ("Fault::of_field(", "422"),
    ("Self::value(", "422"),
    ("Self::of_field(", "422"),
    ("FieldError::new(", "422"),
    (".add(", "422"),
    ("unsupported(", ""),
    ("unusable(", "422"),
    ("refused(", ""),
    ("malformed(", "400"),
    ("unreadable(", "422"),
];

/// Errors of the crates beneath whose own words are told, by the file that words them.
const WORDED: [(&str, &str); 7] = [
    ("crates/backup/src/error.rs", "BackupError"),
    ("crates/imaging/src/error.rs", "ImagingError"),
    ("crates/editor-error/src/error.rs", "EditorError"),
    ("crates/records/src/error.rs", "CodebookError"),
    ("crates/inference/src/error.rs", "EngineError"),
    ("crates/http/src/outbound.rs", "Refusal"),
    ("crates/jobs/src/error.rs", "JobsError"),
];

/// Of those, what is told to the log alone, or has no words of its own.
const UNTOLD: [&str; 12] = [
    "BackupError::File",
    "EditorError::Storage",
    "EditorError::Config",
    "EditorError::Internal",
    "EditorError::Engine",
    "EngineError::QueueFull",
    "JobsError::Folder",
    "JobsError::Form",
    "JobsError::Panicked",
    "JobsError::Records",
    "JobsError::UnknownKind",
    "JobsError::Upload",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The files of a folder whose messages reach clients: not those of settings, which stop a start.
fn sources(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            sources(&path, out);
        } else if Path::new(&name).extension().is_some_and(|own| own == "rs")
            && !name.contains("test")
            && name != "config.rs"
        {
            out.push(path);
        }
    }
}

/// The code of a file without its comments and its tests.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .fold(String::new(), |code, line| code + line + "\n")
}

/// The texts between here and the bracket or semicolon that ends what began, unescaped.
fn texts(code: &str, until: char) -> Vec<String> {
    let (mut out, mut depth, mut characters) = (Vec::new(), 1, code.chars().peekable());
    while let Some(character) = characters.next() {
        match character {
            '"' => {
                let mut text = String::new();
                while let Some(character) = characters.next() {
                    match character {
                        '"' => break,
                        '\\' => match characters.next() {
                            // A line that goes on.
                            Some('\n') => while characters.next_if(|c| c.is_whitespace()).is_some() {},
                            Some('n') => text.push_str("\\n"),
                            Some(escaped @ ('"' | '\\')) => text.push(escaped),
                            Some(other) => text.extend(['\\', other]),
                            None => {}
                        },
                        other => text.push(other),
                    }
                }
                out.push(text);
            }
            // A bracket as a character.
            '\'' if characters.clone().nth(1) == Some('\'') => drop((characters.next(), characters.next())),
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => {
                depth -= 1;
                if depth == 0 {
                    break;
                }
            }
            character if character == until && depth == 1 => break,
            _ => {}
        }
    }
    out
}

/// The status that a piece of code names.
fn status(code: &str) -> Option<&'static str> {
    [
        ("Malformed", "400"),
        ("Unsupported,", "400"),
        ("Unauthorized", "401"),
        ("Forbidden", "403"),
        ("NotFound", "404"),
        ("MethodNotAllowed", "405"),
        ("RequestTimeout", "408"),
        ("Conflict", "409"),
        ("TooLarge", "413"),
        ("UnsupportedMediaType", "415"),
        ("Invalid", "422"),
        ("QueueFull", "429"),
        ("TooManyAttempts", "429"),
        ("RateLimited", "429"),
        ("Internal", "500"),
        ("Upstream", "502"),
        ("Overloaded", "503"),
        ("Unavailable", "503"),
        ("NotReady", "503"),
        ("DeadlineExceeded", "504"),
    ]
    .into_iter()
    .filter_map(|(kind, status)| {
        let named = ["ProblemKind", "FailureKind"].map(|of| code.find(&format!("{of}::{kind}")));
        Some((named.into_iter().flatten().min()?, status))
    })
    .min()
    .map(|(_, status)| status)
}

/// Whether a text is a message and no pointer, name or format.
fn is_message(text: &str) -> bool {
    text.contains(' ') && !text.starts_with('/') && text.chars().any(char::is_alphabetic)
}

fn head(code: &str, characters: usize) -> &str {
    code.char_indices().nth(characters).map_or(code, |(end, _)| &code[..end])
}

/// Every message by status; `""` where the place that tells it decides.
fn messages() -> BTreeMap<String, BTreeSet<String>> {
    let mut found = BTreeMap::<String, BTreeSet<String>>::new();
    let mut keep = |status: &str, text: &str| {
        if is_message(text) {
            found.entry(status.to_owned()).or_default().insert(text.to_owned());
        }
    };
    let mut files = Vec::new();
    for name in [
        "api",
        "archive",
        "asking",
        "backup",
        "conflicts",
        "dto",
        "editor",
        "editor-error",
        "http",
        "integrations",
        "jobs",
        "page",
        "proposals",
        "server/src",
        "text",
    ] {
        sources(&root().join("crates").join(name), &mut files);
    }
    files.push(root().join("crates/inference/src/failure.rs"));
    for path in &files {
        let code = code(path);
        if path.ends_with("json/syntax.rs") {
            // Tables: what is found, and what is told.
            for table in ["const WORDS", "const HINTS"] {
                let rest = code.split(table).nth(1).and_then(|rest| rest.split("= &").nth(1)).unwrap();
                texts(&rest[1..], ';').iter().skip(1).step_by(2).for_each(|text| keep("400", text));
            }
        }
        for (maker, usual) in MAKERS {
            for (at, _) in code.match_indices(maker) {
                let before = code[..at].chars().next_back();
                // The end of another name, or where it is made itself.
                if !maker.starts_with('.') && before.is_some_and(|c| c.is_alphanumeric() || c == '_')
                    || code[..at].ends_with("fn ")
                {
                    continue;
                }
                let rest = &code[at + maker.len()..];
                let named = if usual.is_empty() { status(head(rest, 60)) } else { None };
                for text in &texts(rest, '\0') {
                    keep(named.unwrap_or(usual), text);
                }
            }
        }
        for name in ["let detail =", "let what =", "let refuse =", "let refused ="] {
            for (at, _) in code.match_indices(name) {
                let rest = &code[at + name.len()..];
                let end = rest.find(";\n").map_or(rest.len(), |end| end + 200);
                let after = head(rest, end);
                let named = status(after).or_else(|| {
                    (after.contains("Problem::invalid") || after.contains(".add(")).then_some("422")
                });
                for text in &texts(rest, ';') {
                    keep(named.unwrap_or_default(), text);
                }
            }
        }
    }
    // What each crate says of its own errors.
    let table: String = ["editor-error", "records", "inference"]
        .iter()
        .map(|name| code(&root().join(format!("crates/{name}/src/failure.rs"))))
        .collect();
    for (file, kind) in WORDED {
        let code = code(&root().join(file));
        for (at, _) in code.match_indices("#[error(") {
            let rest = &code[at + "#[error(".len()..];
            let words = texts(rest, '\0');
            let variant: String = rest
                .split(")]\n")
                .nth(1)
                .unwrap_or_default()
                .trim_start()
                .chars()
                .take_while(|c| c.is_alphanumeric())
                .collect();
            let name = format!("{kind}::{variant}");
            let told = ["BackupError", "Refusal", "ImagingError", "JobsError"].contains(&kind)
                || table.contains(&name);
            if told && !UNTOLD.contains(&name.as_str()) {
                for text in &words {
                    keep("", text);
                }
            }
        }
    }
    found
}

#[test]
fn every_message_stands_in_the_page() {
    let found = messages();
    let count: usize = found.values().map(BTreeSet::len).sum();
    assert!(count > 150, "{count} messages were found");
    let mut list = String::new();
    for (status, texts) in found {
        let title = if status.is_empty() { "As the place decides that finds it".to_owned() } else { status };
        list.extend(["\n### ", &title, "\n\n"]);
        for text in texts {
            list.extend(["- ", &text.replace('<', "&lt;"), "\n"]);
        }
    }
    let path = root().join("docs/errors.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).expect("the page has a place for messages");
    let (_, after) = rest.split_once(END).expect("the list of messages has an end");
    let made = format!("{before}{BEGIN}\n{list}\n{END}{after}");
    if std::env::var_os("UPDATE_ERRORS").is_some() {
        fs::write(&path, &made).unwrap();
        return;
    }
    assert!(made == page, "docs/errors.md lacks messages of the code; {BEGIN} writes them anew");
}

#[test]
fn every_kind_stands_in_the_page() {
    let page = fs::read_to_string(root().join("docs/errors.md")).unwrap();
    let table = code(&root().join("crates/http/src/problem.rs"));
    let rows = table.split("const fn row").nth(1).unwrap().split("fn of_status").next().unwrap();
    let slugs: Vec<String> = texts(rows, '\0')
        .into_iter()
        .filter(|text| !text.contains(' ') && text.chars().all(|c| c.is_ascii_lowercase() || c == '-'))
        .collect();
    assert!(slugs.len() >= 15, "{slugs:?}");
    for slug in slugs {
        assert!(page.contains(&format!("`{slug}`")), "{slug} is not in docs/errors.md");
    }
}

#[test]
fn no_message_is_a_librarys() {
    for (status, texts) in messages() {
        for text in texts {
            // What is put in is a value of the request or of the settings, never what a library says.
            for foreign in ["{error}", "{error:?}", "{err}", "{e}", "{cause}", "{failure}"] {
                assert!(!text.contains(foreign), "{status}: {text}");
            }
            for word in ["serde", "usize", "u32", "deserial", "utf-8 sequence", "panicked"] {
                assert!(!text.contains(word), "{status}: {text}");
            }
        }
    }
}
