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

static HOME: File = File { name: "index.html", text: include_str!("../../feedback/index.html") };

static FILES: &[File] = files![
    "answer.js",
    "api.js",
    "ask.js",
    "base.css",
    "correct.js",
    "dialog.js",
    "dom.js",
    "edit.js",
    "edits.js",
    "icon.svg",
    "main.js",
    "parts.js",
    "picture.js",
    "report.js",
    "sign-in.js",
    "status.js",
    "thinking.js",
    "topology.js",
    "views.css",
];

/// The page itself.
pub(super) fn home() -> &'static File {
    &HOME
}

/// The file of this name.
pub(super) fn find(name: &str) -> Option<&'static File> {
    FILES.iter().find(|file| file.name == name)
}

impl File {
    pub(super) fn media_type(&self) -> &'static str {
        match self.name.rsplit_once('.').map(|(_, ending)| ending) {
            Some("html") => "text/html; charset=utf-8",
            Some("js") => "text/javascript; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            _ => "image/svg+xml",
        }
    }

    /// Another one for other contents.
    pub(super) fn tag(&self) -> String {
        format!("\"{}\"", &blake3::hash(self.text.as_bytes()).to_hex()[..32])
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
            .filter(|name| name != HOME.name)
            .collect();
        there.sort();
        let known: Vec<&str> = FILES.iter().map(|file| file.name).collect();
        assert_eq!(there, known);
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
        for file in FILES.iter().chain([&HOME]) {
            for text in forbidden {
                assert!(!file.text.contains(text), "{text} in {}", file.name);
            }
        }
    }
}
