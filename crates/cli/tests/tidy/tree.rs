//! The files that people write, read from the checkout or made up by a test.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Folders that are not ours, or hold data.
const SKIPPED: [&str; 7] = [".git", "target", "data", "models", "__pycache__", ".venv", "fixtures"];
/// Files that programs write.
const GENERATED: [&str; 2] = ["Cargo.lock", "openapi.yaml"];
/// What counts as text that people write.
const EXTENSIONS: [&str; 12] =
    ["rs", "py", "sh", "toml", "md", "html", "css", "js", "sql", "yml", "yaml", "cuda"];

/// A checkout, or a few made-up files that stand for one.
pub(crate) struct Tree {
    files: BTreeMap<String, String>,
}

impl Tree {
    /// The checkout that this test was compiled in, read once.
    pub(crate) fn checkout() -> &'static Self {
        static TREE: OnceLock<Tree> = OnceLock::new();
        TREE.get_or_init(|| {
            let mut files = BTreeMap::new();
            walk(&root(), &root(), &mut files);
            assert!(files.len() > 50, "the walk over the checkout found only {} files", files.len());
            Self { files }
        })
    }

    /// A tree of these files: (path, content).
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        Self { files: files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect() }
    }

    /// Every file, as (path relative to the root, content), in the order of the paths.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// The content of one file.
    pub(crate) fn read(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    /// The folders of all crates, nested ones too, as `crates/NAME` or `crates/GROUP/NAME`.
    pub(crate) fn crates(&self) -> Vec<&str> {
        self.files
            .keys()
            .filter_map(|path| path.strip_suffix("/Cargo.toml"))
            .filter(|folder| folder.starts_with("crates/"))
            .collect()
    }

    /// The folder of the crate that a file belongs to.
    pub(crate) fn crate_of(&self, path: &str) -> Option<&str> {
        self.crates()
            .into_iter()
            .filter(|folder| path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/')))
            .max_by_key(|folder| folder.len())
    }

    /// The manifest of a crate, by its folder.
    pub(crate) fn manifest(&self, folder: &str) -> &str {
        self.read(&format!("{folder}/Cargo.toml")).unwrap_or_default()
    }
}

/// The root of the checkout.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// `crates/codebook` to `codebook`, `crates/integrations/openai` to `integrations/openai`.
pub(crate) fn short(folder: &str) -> &str {
    folder.strip_prefix("crates/").unwrap_or(folder)
}

fn walk(folder: &Path, root: &Path, into: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let relative = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            // `models` at the root holds checkpoints; a crate of that name holds code.
            if !SKIPPED.contains(&name.as_str()) || relative.starts_with("crates/models") {
                walk(&path, root, into);
            }
            continue;
        }
        let extension = path.extension().map(|e| e.to_string_lossy().into_owned()).unwrap_or_default();
        let script = path.parent().is_some_and(|parent| parent.file_name().is_some_and(|name| name == ".ci"));
        if GENERATED.contains(&name.as_str())
            || !(EXTENSIONS.contains(&extension.as_str()) || script || name.starts_with("Dockerfile"))
        {
            continue;
        }
        // Another program may take a temporary file away between the listing and the reading.
        if let Ok(content) = fs::read_to_string(&path) {
            into.insert(relative, content);
        }
    }
}
