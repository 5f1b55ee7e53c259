//! The folders that the authors publish their sets in, beside those of the records: `AOKVQA/test.parquet`,
//! `t_gen/aokvqa.parquet`, `i_gen/…`, `r_gen/qa/…`, `r_gen/cot/…`, `e_gen/…`.

use std::path::{Path, PathBuf};

use super::companion_set::CompanionSet;

/// Their folders, by the set that they hold.
const FOLDERS: [(&str, CompanionSet); 5] = [
    ("t_gen", CompanionSet::Texts),
    ("i_gen", CompanionSet::Images),
    ("r_gen/qa", CompanionSet::Rationale),
    ("e_gen", CompanionSet::Errors),
    ("r_gen/cot", CompanionSet::Thoughts),
];

/// Where the sets that go with a file of records may be, and what they may be called.
pub(crate) struct Layout {
    pub(super) roots: Vec<PathBuf>,
    /// What the data may be called in names of files: by its folder, and by its file.
    pub(super) names: Vec<String>,
}

impl Layout {
    /// Around a file of records: its folder, and where that holds none of the authors' folders, the one
    /// above.
    pub(crate) fn around(file: &Path) -> Self {
        let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty());
        let folder = parent.unwrap_or_else(|| Path::new(".")).to_owned();
        let lower = |name: Option<&std::ffi::OsStr>| name.map(|name| name.to_string_lossy().to_lowercase());
        // The name of a folder that is given as `.` is known only to the file system.
        let known = folder.canonicalize().unwrap_or_else(|_| folder.clone());
        let names = [lower(known.file_name()), lower(file.file_stem())].into_iter().flatten().collect();
        let above = known.parent().map(Path::to_owned);
        let holds = |root: &PathBuf| FOLDERS.iter().any(|(inner, _)| root.join(inner).is_dir());
        let roots = match above.filter(|above| !holds(&folder) && holds(above)) {
            Some(above) => vec![folder, above],
            None => vec![folder],
        };
        Self { roots, names }
    }

    /// The folders that pictures may be below.
    pub(crate) fn roots(&self) -> impl Iterator<Item = PathBuf> + '_ {
        // The authors' paths begin at the folder above `data`.
        self.roots.iter().flat_map(|root| [root.clone(), root.join("data")]).filter(|root| root.is_dir())
    }

    /// The sets in the authors' folders: the file that is called as the data; in the folder of the records
    /// themselves also the only one.
    pub(crate) fn sets(&self) -> Vec<(CompanionSet, PathBuf)> {
        let mut found = Vec::new();
        for (inner, set) in FOLDERS {
            let file = self.roots.iter().enumerate().find_map(|(at, root)| {
                let mut files: Vec<PathBuf> = std::fs::read_dir(root.join(inner))
                    .ok()?
                    .filter_map(|entry| Some(entry.ok()?.path()))
                    .filter(|path| path.is_file())
                    .collect();
                files.sort();
                let called = |path: &&PathBuf| {
                    path.file_stem()
                        .is_some_and(|stem| self.names.contains(&stem.to_string_lossy().to_lowercase()))
                };
                let only = || files.first().filter(|_| at == 0 && files.len() == 1);
                files.iter().find(called).or_else(only).cloned()
            });
            found.extend(file.map(|file| (set, file)));
        }
        found
    }
}
