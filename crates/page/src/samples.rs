//! Pictures to try the demo model with.

use std::io;
use std::path::Path;

/// Most pictures that are offered.
const MOST: usize = 12;
/// Largest of them, in bytes: they are kept in memory.
const LARGEST: u64 = 1 << 20;

/// The pictures, by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples(Vec<Sample>);

/// One of them.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    name: String,
    pub(crate) bytes: Vec<u8>,
}

impl Samples {
    /// The JPEG and PNG files of a folder, by name; none if it can't be read, which the log tells.
    pub(crate) fn read(folder: &Path) -> Self {
        match pictures(folder) {
            Ok(pictures) => Self(pictures),
            Err(error) => {
                tracing::warn!(%error, folder = %folder.display(), "sample pictures can't be read; the page offers none");
                Self::default()
            }
        }
    }

    /// The names, with spaces between.
    pub(crate) fn names(&self) -> String {
        let names: Vec<&str> = self.0.iter().map(|sample| sample.name.as_str()).collect();
        names.join(" ")
    }

    /// The picture of a name.
    pub(crate) fn find(&self, name: &str) -> Option<&Sample> {
        self.0.iter().find(|sample| sample.name == name)
    }
}

impl Sample {
    pub(crate) fn media_type(&self) -> &'static str {
        if is(&self.name, "png") { "image/png" } else { "image/jpeg" }
    }
}

fn is(name: &str, ending: &str) -> bool {
    Path::new(name).extension().is_some_and(|found| found.eq_ignore_ascii_case(ending))
}

/// Whether the name can stand in an address and an attribute as it is.
fn plain(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

fn pictures(folder: &Path) -> io::Result<Vec<Sample>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        let taken = plain(&name) && ["jpg", "jpeg", "png"].iter().any(|ending| is(&name, ending));
        if taken && entry.metadata()?.is_file() && entry.metadata()?.len() <= LARGEST {
            found.push((name, entry.path()));
        }
    }
    found.sort();
    found.truncate(MOST);
    found.into_iter().map(|(name, path)| Ok(Sample { name, bytes: std::fs::read(path)? })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_of_the_demo_are_offered_by_name() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/demo/samples");
        let samples = Samples::read(Path::new(folder));
        assert_eq!(samples.names(), "another.jpg specimen.jpg unrelated.jpg");
        let specimen = samples.find("specimen.jpg").unwrap();
        assert!(specimen.bytes.starts_with(&[0xff, 0xd8]) && specimen.media_type() == "image/jpeg");
        assert!(samples.find("edits.jsonl").is_none());
    }

    #[test]
    fn names_that_would_need_escaping_are_left_out_and_so_is_what_is_no_picture() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["a b.png", "\"quoted\".png", "good.PNG", "notes.txt"] {
            std::fs::write(folder.path().join(name), b"x").unwrap();
        }
        std::fs::write(folder.path().join("large.jpg"), vec![0; (LARGEST + 1) as usize]).unwrap();
        std::fs::create_dir(folder.path().join("folder.png")).unwrap();
        assert_eq!(Samples::read(folder.path()).names(), "good.PNG");
        assert_eq!(Samples::read(&folder.path().join("missing")).names(), "");
    }
}
