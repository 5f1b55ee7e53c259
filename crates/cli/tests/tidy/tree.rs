//! The files that people write, read from the checkout or made up by a test.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Folders that are not ours.
const FOREIGN: [&str; 6] = [".git", "target", "__pycache__", ".venv", "node_modules", ".schemathesis"];
/// Folders that hold data.
const DATA: [&str; 3] = ["data", "fixtures", "models"];
/// Files that programs write.
const GENERATED: [&str; 2] = ["Cargo.lock", "openapi.yaml"];
/// What counts as text that people write.
const EXTENSIONS: [&str; 12] =
    ["rs", "py", "sh", "toml", "md", "html", "css", "js", "sql", "yml", "yaml", "cuda"];

/// A checkout, or a few made-up files that stand for one.
pub(crate) struct Tree {
    /// What people write, with its content.
    files: BTreeMap<String, String>,
    /// Everything there is, data and folders included.
    paths: BTreeSet<String>,
}

impl Tree {
    /// The checkout that this test was compiled in, read once.
    pub(crate) fn checkout() -> &'static Self {
        static TREE: OnceLock<Tree> = OnceLock::new();
        TREE.get_or_init(|| {
            let mut tree = Self { files: BTreeMap::new(), paths: BTreeSet::new() };
            tree.walk(&root(), "", true);
            assert!(
                tree.files.len() > 50,
                "the walk over the checkout found only {} files",
                tree.files.len()
            );
            tree
        })
    }

    /// A tree of these files: (path, content).
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let mut paths = BTreeSet::new();
        for (path, _) in files {
            paths.extend(path.match_indices('/').map(|(at, _)| path[..at].to_owned()));
            paths.insert((*path).to_owned());
        }
        let files = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        Self { files, paths }
    }

    /// Every file, as (path relative to the root, content), in the order of the paths.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&str, &str)> {
        self.files.iter().map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// The content of one file.
    pub(crate) fn read(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    /// Every file and folder, whatever it holds.
    pub(crate) fn paths(&self) -> &BTreeSet<String> {
        &self.paths
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

    /// `written` is false inside of folders whose files are only known by name.
    fn walk(&mut self, folder: &Path, relative: &str, written: bool) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let relative = if relative.is_empty() { name.clone() } else { format!("{relative}/{name}") };
            if path.is_dir() {
                if !FOREIGN.contains(&name.as_str()) {
                    // Folders of that name hold checkpoints, but for the crate.
                    let data = DATA.contains(&name.as_str()) && relative != "crates/models"
                        || relative == "docs/contract";
                    self.walk(&path, &relative, written && !data);
                    self.paths.insert(relative);
                }
                continue;
            }
            let extension = path.extension().map(|e| e.to_string_lossy().into_owned()).unwrap_or_default();
            let script = relative.starts_with(".ci/") || name.starts_with("Dockerfile");
            // Another program may take a temporary file away between the listing and the reading.
            if written
                && (EXTENSIONS.contains(&extension.as_str()) || script)
                && !GENERATED.contains(&name.as_str())
                && let Ok(content) = fs::read_to_string(&path)
            {
                self.files.insert(relative.clone(), content);
            }
            self.paths.insert(relative);
        }
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
