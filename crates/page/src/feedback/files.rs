//! The files of the page.

/// A file of the page.
pub(super) struct File {
    /// Its name under `/assets/`.
    name: &'static str,
    /// What is in it; all of them are text.
    pub(super) text: &'static str,
}

macro_rules! files {
    ($($name:literal),+ $(,)?) => {
        &[$(File { name: $name, text: include_str!(concat!("../../feedback/", $name)) }),+]
    };
}

/// The page itself.
pub(super) const HOME: &str = include_str!("../../feedback/index.html");

static FILES: &[File] = files![
    "answer.js",
    "api.js",
    "ask.js",
    "base.css",
    "contradictions.js",
    "correct.js",
    "dialog.js",
    "dom.js",
    "edit.js",
    "edits.js",
    "enlarge.js",
    "entries.js",
    "frame.js",
    "icon.svg",
    "intake.js",
    "main.js",
    "odds.js",
    "outcome.js",
    "parts.js",
    "picture.js",
    "proposal.js",
    "report.js",
    "review.js",
    "samples.js",
    "sign-in.js",
    "standing.js",
    "status.js",
    "taken-back.js",
    "thinking.js",
    "topology.js",
    "verdict.js",
    "views.css",
    "watch.js",
    "words-de.json",
    "words-en.json",
    "words-fr.json",
    "words.js",
];

/// The file of this name.
pub(super) fn find(name: &str) -> Option<&'static File> {
    FILES.iter().find(|file| file.name == name)
}

/// Every file beside the page itself, by name.
#[cfg(test)]
pub(super) fn all() -> impl Iterator<Item = (&'static str, &'static str)> {
    FILES.iter().map(|file| (file.name, file.text))
}

impl File {
    pub(super) fn media_type(&self) -> &'static str {
        match self.name.rsplit_once('.').map(|(_, ending)| ending) {
            Some("html") => "text/html; charset=utf-8",
            Some("js") => "text/javascript; charset=utf-8",
            Some("json") => "application/json",
            Some("css") => "text/css; charset=utf-8",
            _ => "image/svg+xml",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_folder_is_in_the_program() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/feedback");
        let mut there: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "index.html")
            .collect();
        there.sort();
        let known: Vec<&str> = FILES.iter().map(|file| file.name).collect();
        assert_eq!(there, known);
    }

    #[test]
    fn every_script_is_fetched_at_once() {
        let scripts = FILES.iter().filter(|file| {
            std::path::Path::new(file.name).extension().is_some_and(|of| of == "js") && file.name != "main.js"
        });
        let missing: Vec<&str> = scripts
            .map(|file| file.name)
            .filter(|name| !HOME.contains(&format!("<link rel=\"modulepreload\" href=\"assets/{name}\">")))
            .collect();
        assert!(missing.is_empty(), "one after another they would take a while: {missing:?}");
    }

    #[test]
    fn nothing_of_it_makes_markup_of_texts_or_asks_others() {
        let forbidden = [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            " eval(",
            "style=\"",
            "https://",
        ];
        let files = FILES.iter().map(|file| (file.name, file.text));
        for (name, whole) in files.chain([("index.html", HOME)]) {
            for text in forbidden {
                assert!(!whole.contains(text), "{text} in {name}");
            }
        }
    }
}
