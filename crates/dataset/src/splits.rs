//! Which part of a data set is meant: Hugging Face's folders have several splits, each in a folder or in
//! files of its own.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::DatasetError;
use crate::files::{data, name, text};

/// Lists the splits of a folder that `DatasetDict.save_to_disk` wrote.
const DICTIONARY: &str = "dataset_dict.json";
/// Where repositories of data sets keep their files.
const DATA: &str = "data";
/// Files that describe others and hold no records.
const DESCRIPTIONS: [&str; 4] = [DICTIONARY, "dataset_info.json", "dataset_infos.json", "state.json"];

#[derive(Deserialize)]
struct Dictionary {
    splits: Vec<String>,
}

/// Whether a file describes others.
pub(crate) fn describes(path: &Path) -> bool {
    path.file_name().is_some_and(|own| DESCRIPTIONS.iter().any(|known| own == *known))
}

/// The folder that holds the records of this split: one in `path`, or `path` itself. `has_records` says
/// whether a folder has files that may hold some.
///
/// # Errors
/// Several splits and none named, a split that is not there, a list of splits that can't be read.
pub(crate) fn folder(
    path: &Path,
    split: Option<&str>,
    has_records: impl Fn(&Path) -> bool,
) -> Result<PathBuf, DatasetError> {
    let dictionary = path.join(DICTIONARY);
    if !dictionary.is_file() {
        let inner = path.join(DATA);
        return Ok(if path.is_dir() && !has_records(path) && has_records(&inner) {
            inner
        } else {
            path.to_owned()
        });
    }
    let Dictionary { splits } = serde_json::from_str(&text(&dictionary)?)
        .map_err(|_| data(&dictionary, &"it is no list of splits"))?;
    let listed = splits.join(", ");
    let chosen = match (split, splits.as_slice()) {
        (Some(split), _) => splits
            .iter()
            .find(|own| *own == split)
            .ok_or_else(|| data(path, &format!("there is no split {split}; there are {listed}")))?,
        (None, [only]) => only,
        (None, _) => {
            return Err(data(path, &format!("it has several splits: name one with --split ({listed})")));
        }
    };
    // A name from a file: it must not lead out of the folder.
    if chosen.is_empty() || chosen.starts_with('.') || chosen.contains(['/', '\\']) {
        return Err(data(&dictionary, &"it names a split that is no folder"));
    }
    Ok(path.join(chosen))
}

/// What a numbered part is a part of, and of how many: `train-00000-of-00002.parquet`.
pub(crate) fn part_of(name: &str) -> Option<(&str, usize)> {
    let (rest, extension) = name.rsplit_once('.')?;
    let (rest, count) = rest.rsplit_once("-of-").filter(|_| matches!(extension, "parquet" | "arrow"))?;
    let (whole, number) = rest.rsplit_once('-')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if digits(count) && digits(number) { Some((whole, count.parse().ok()?)) } else { None }
}

/// Whether a file of records is of this split, by its name: `test.parquet`, `test-00000-of-00001.parquet`.
pub(crate) fn is_of(file: &Path, split: &str) -> bool {
    part_of(&name(file))
        .map_or_else(|| file.file_stem().is_some_and(|stem| stem == split), |(whole, _)| whole == split)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_split_is_found_or_told() {
        let root = tempfile::tempdir().unwrap();
        let never = |_: &Path| false;
        assert_eq!(folder(root.path(), Some("test"), never).unwrap(), root.path());
        let only_data = |path: &Path| path.ends_with(DATA);
        assert_eq!(folder(root.path(), None, only_data).unwrap(), root.path().join(DATA));
        let listing = |json: &str| std::fs::write(root.path().join(DICTIONARY), json).unwrap();
        let told = |split| folder(root.path(), split, never).map_err(|error| error.to_string());
        listing(r#"{"splits": ["train", "test"]}"#);
        assert_eq!(told(Some("test")).unwrap(), root.path().join("test"));
        assert!(told(None).unwrap_err().contains("--split (train, test)"));
        assert!(told(Some("dev")).unwrap_err().contains("no split dev; there are train, test"));
        listing(r#"{"splits": ["train"]}"#);
        assert_eq!(told(None).unwrap(), root.path().join("train"));
        for bad in
            ["{", "[]", r#"{"splits": ["../elsewhere"]}"#, r#"{"splits": ["/etc"]}"#, r#"{"splits": [".."]}"#]
        {
            listing(bad);
            assert!(told(None).unwrap_err().contains(DICTIONARY), "{bad}");
        }
    }

    #[test]
    fn parts_are_known_by_their_names() {
        assert_eq!(part_of("train-00000-of-00002.parquet"), Some(("train", 2)));
        assert_eq!(part_of("data-00001-of-00012.arrow"), Some(("data", 12)));
        for other in
            ["train.parquet", "train-0-of-2.json", "a-of-b.arrow", "train-x-of-2.parquet", "-of-.arrow"]
        {
            assert_eq!(part_of(other), None, "{other}");
        }
        assert!(
            is_of(Path::new("x/test.jsonl"), "test")
                && is_of(Path::new("test-00000-of-00001.parquet"), "test")
        );
        assert!(!is_of(Path::new("test-00000-of-00001.parquet"), "train"));
    }
}
