//! Where the pictures of a data set are: in its folders, or within its files.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use bytes::Bytes;

use crate::DatasetError;

/// Bytes of pictures within files: they are held in memory, and written nowhere.
const EMBEDDED_BYTES: usize = 4 << 30;
/// Stands before the name of a picture within a file. A path can't be taken for one: these are looked up,
/// never opened.
const EMBEDDED: &str = "embedded:";
/// Folders within the data folder that pictures are looked for in.
const FOLDERS: usize = 64;

/// The pictures of a data set.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pictures {
    /// Folders that paths are relative to, the first one first.
    bases: Vec<PathBuf>,
    /// Whether leading folders of a path may be missing: published paths begin where their authors' disks do.
    lenient: bool,
    /// Pictures within files, by name.
    embedded: HashMap<String, Bytes>,
    /// Bytes of all of them.
    bytes: usize,
}

impl Pictures {
    /// Paths are relative to this folder, and to nothing else.
    pub(crate) fn within(folder: &Path) -> Self {
        Self { bases: vec![folder.to_owned()], ..Self::default() }
    }

    /// Paths are relative to one of these folders or to a folder in them, and may have lost some of the
    /// folders they begin with.
    pub(crate) fn around(folders: impl IntoIterator<Item = PathBuf>) -> Self {
        let mut bases: Vec<PathBuf> = Vec::new();
        for folder in folders {
            let mut inner: Vec<PathBuf> = std::fs::read_dir(&folder)
                .into_iter()
                .flatten()
                .filter_map(|entry| Some(entry.ok()?.path()))
                .filter(|path| path.is_dir())
                .collect();
            inner.sort();
            inner.truncate(FOLDERS);
            bases.push(folder);
            bases.append(&mut inner);
        }
        let mut seen = std::collections::HashSet::new();
        bases.retain(|base| seen.insert(base.clone()));
        Self { bases, lenient: true, ..Self::default() }
    }

    /// Keeps a picture that stands within a file; returns its name. The same bytes have the same name.
    ///
    /// # Errors
    /// More bytes than are held.
    pub(crate) fn keep(&mut self, bytes: &[u8]) -> Result<String, String> {
        let name = format!("{EMBEDDED}{}", blake3::hash(bytes).to_hex());
        if !self.embedded.contains_key(&name) {
            self.bytes += bytes.len();
            if self.bytes > EMBEDDED_BYTES {
                return Err(format!("more than {} GiB of pictures", EMBEDDED_BYTES >> 30));
            }
            self.embedded.insert(name.clone(), Bytes::copy_from_slice(bytes));
        }
        Ok(name)
    }

    /// Whether there is a picture of this name.
    ///
    /// # Errors
    /// A path that leads out of the folders.
    pub(crate) fn has(&self, name: &str) -> Result<bool, DatasetError> {
        Ok(self.embedded.contains_key(name) || self.find(name)?.is_some())
    }

    /// The bytes of a picture.
    ///
    /// # Errors
    /// A path that leads out of the folders, a file that is not there or can't be read.
    pub(crate) fn read(&self, name: &str) -> Result<Bytes, DatasetError> {
        if let Some(bytes) = self.embedded.get(name) {
            return Ok(bytes.clone());
        }
        let missing = || DatasetError::Data(format!("{name}: there is no such picture"));
        let path = self.find(name)?.ok_or_else(missing)?;
        let bytes = std::fs::read(path).map_err(|error| DatasetError::Data(format!("{name}: {error}")))?;
        Ok(Bytes::from(bytes))
    }

    /// Files of a folder of pictures, sorted, each by a name that it is found under; empty if there is no
    /// such folder. Of its path the first folder may be missing.
    ///
    /// # Errors
    /// A path that leads out of the folders.
    pub(crate) fn list(&self, folder: &str) -> Result<Vec<String>, DatasetError> {
        let folder = folder.trim_end_matches('/');
        let Some(found) = self.locate(folder, Path::is_dir, 2)? else { return Ok(Vec::new()) };
        let mut names: Vec<String> = std::fs::read_dir(found)
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter(|name| !name.starts_with('.'))
            .map(|name| format!("{folder}/{name}"))
            .collect();
        names.sort();
        Ok(names)
    }

    fn find(&self, name: &str) -> Result<Option<PathBuf>, DatasetError> {
        self.locate(name, Path::is_file, usize::MAX)
    }

    /// Where a path lies that has lost fewer than `most` of the folders it begins with.
    fn locate(
        &self,
        name: &str,
        is: fn(&Path) -> bool,
        most: usize,
    ) -> Result<Option<PathBuf>, DatasetError> {
        let mut parts = Vec::new();
        for part in Path::new(name).components() {
            match part {
                Component::Normal(part) => parts.push(part),
                Component::CurDir => {}
                _ => return Err(DatasetError::Data(format!("{name} leads out of the data folder"))),
            }
        }
        let lost = parts.len().min(if self.lenient { most } else { 1 });
        let candidates = (0..lost).flat_map(|skip| {
            let rest: PathBuf = parts[skip..].iter().collect();
            self.bases.iter().map(move |base| base.join(&rest))
        });
        Ok(candidates.into_iter().find(|path| is(path)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_may_have_lost_folders_but_never_lead_out() {
        let folder = tempfile::tempdir().unwrap();
        let (data, pictures) = (folder.path().join("data"), folder.path().join("data/coco/val2017"));
        std::fs::create_dir_all(&pictures).unwrap();
        std::fs::write(pictures.join("1.jpg"), "one").unwrap();
        std::fs::write(folder.path().join("secret.jpg"), "no").unwrap();
        let around = Pictures::around([data.clone()]);
        for name in
            ["data/images/coco/val2017/1.jpg", "val2017/1.jpg", "./coco/val2017/1.jpg", "x/y/val2017/1.jpg"]
        {
            assert_eq!(around.read(name).unwrap(), "one", "{name}");
        }
        assert_eq!(around.list("data/coco/val2017").unwrap(), ["data/coco/val2017/1.jpg"]);
        assert!(around.list("nowhere").unwrap().is_empty());
        let within = Pictures::within(&data);
        assert!(within.has("coco/val2017/1.jpg").unwrap() && !within.has("val2017/1.jpg").unwrap());
        for pictures in [around, within] {
            for name in ["../secret.jpg", "/etc/hostname", "coco/../../secret.jpg", ""] {
                assert!(pictures.read(name).is_err(), "{name}");
            }
        }
    }

    #[test]
    fn pictures_within_files_are_kept_once_and_found_by_their_bytes() {
        let mut pictures = Pictures::default();
        let (one, again, two) = (pictures.keep(b"one"), pictures.keep(b"one"), pictures.keep(b"two"));
        assert_eq!(one, again);
        assert_ne!(one, two);
        assert_eq!(pictures.bytes, 6);
        assert_eq!(pictures.read(&one.unwrap()).unwrap(), "one");
        assert!(pictures.read("embedded:00").is_err());
    }
}
