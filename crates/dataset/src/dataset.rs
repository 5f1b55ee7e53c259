//! Native records (method section 7): `edits.jsonl` beside a folder of pictures, and `probes.jsonl` for plain
//! perception. Records as the authors publish them for A-OKVQA, FVQA and others (`published`) and those of
//! VLKEB (`vlkeb`) are read too; which ones they are is told by what they hold.

use std::path::{Path, PathBuf};

use reasonedit_editor::{ImageSource, SampleSet};
use serde::Deserialize;

use crate::files::{Pictures, data, name, rows, text};
use crate::published::{COLUMNS, CompanionSet, Companions, Layout};
use crate::record::{Probe, Record};
use crate::splits::{describes, is_of, part_of};
use crate::{DatasetError, published, splits, vlkeb};

/// File of native records.
const NATIVE: &str = "edits.jsonl";
/// File of probes.
const PROBES: &str = "probes.jsonl";
/// Files that may hold records or sets that go with them.
const EXTENSIONS: [&str; 6] = ["jsonl", "json", "parquet", "arrow", "csv", "tsv"];

/// Records with their pictures.
#[derive(Clone, Debug)]
pub struct Dataset {
    pictures: Pictures,
    digest: String,
    /// Its edits.
    pub records: Vec<Record>,
    /// Its probes.
    pub probes: Vec<Probe>,
    /// What a reader of figures on these data must know: what was left out, what is not there, what a column
    /// means.
    pub notes: Vec<String>,
}

impl Dataset {
    /// Reads a folder: `edits.jsonl` and, where it exists, `probes.jsonl`; else the one file of published
    /// records, JSON, JSON Lines, Parquet, Arrow or CSV (or one file in numbered parts), with the sets that
    /// go with it; or a folder that Hugging Face's `save_to_disk` wrote. Or one file of records by its name.
    ///
    /// # Errors
    /// Files that can't be read, lines that are no records: the file and the line are named. No records, or
    /// several files of them. No picture.
    pub fn open(path: &Path) -> Result<Self, DatasetError> {
        Self::open_with(path, None, None)
    }

    /// As [`Self::open`], with the folder that the pictures of published records are in, or below (native
    /// records have theirs beside them), and the split that is meant of data that have several.
    ///
    /// # Errors
    /// As there.
    pub fn open_with(path: &Path, images: Option<&Path>, split: Option<&str>) -> Result<Self, DatasetError> {
        let native = if path.file_name().is_some_and(|name| name == NATIVE) {
            path.to_owned()
        } else {
            path.join(NATIVE)
        };
        if native.is_file() { Self::native(&native) } else { Self::published(path, images, split) }
    }

    fn native(file: &Path) -> Result<Self, DatasetError> {
        let folder = file.parent().unwrap_or_else(|| Path::new("."));
        let records: Vec<Record> = read_lines(file)?;
        if let Some((record, fault)) = records.iter().find_map(|record| Some((record, record.fault()?))) {
            return Err(data(file, &format!("record {}: {fault}", record.uid)));
        }
        let probes = folder.join(PROBES);
        let probes = if probes.exists() { read_lines(&probes)? } else { Vec::new() };
        let bytes = std::fs::read(file).map_err(|error| DatasetError::file(file, error))?;
        let digest = blake3::hash(&bytes).to_hex().to_string();
        Ok(Self { pictures: Pictures::within(folder), digest, records, probes, notes: Vec::new() })
    }

    fn published(path: &Path, images: Option<&Path>, split: Option<&str>) -> Result<Self, DatasetError> {
        let folder =
            splits::folder(path, split, |folder| candidates(folder).is_ok_and(|files| !files.is_empty()))?;
        // A folder that was chosen by its split holds that alone.
        let split = split.filter(|_| folder.file_name() != split.map(std::ffi::OsStr::new));
        let found = Found::at(&folder)?;
        let (file, parts) = found.records(&folder, split)?;
        let layout = Layout::around(&file);
        let roots = images.map(Path::to_owned).into_iter().chain(layout.roots());
        let mut pictures = Pictures::around(roots);
        let mut read = Vec::new();
        for part in &parts {
            read.append(&mut rows(part, COLUMNS, usize::MAX, &mut pictures)?);
        }
        let (records, mut notes) = if read.first().is_some_and(vlkeb::is_record) {
            vlkeb::records(&file, read, &pictures)?
        } else {
            let mut sets = Vec::new();
            for (set, file) in found.sets.into_iter().chain(layout.sets()) {
                sets.push((set, name(&file), rows(&file, COLUMNS, usize::MAX, &mut pictures)?));
            }
            let (mut records, mut notes) = published::records(&file, &read, &pictures)?;
            let mut companions = Companions::of(&mut records, &pictures, &layout)?;
            for (set, name, rows) in &sets {
                companions.join(*set, name, rows)?;
            }
            notes.append(&mut companions.finish()?);
            (records, notes)
        };
        notes.extend(found.faults.iter().map(|fault| format!("Not used: {fault}.")));
        // Of everything that was read: the records with what was joined to them, pictures within files by
        // what they are.
        let text = serde_json::to_vec(&records).map_err(|error| data(&file, &error))?;
        let digest = blake3::hash(&text).to_hex().to_string();
        Ok(Self { pictures, digest, records, probes: Vec::new(), notes })
    }

    /// BLAKE3 (hex) of the records.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// At most `count` pictures, each with a text that no other of them has: its question or a statement of
    /// its reasoning.
    ///
    /// # Errors
    /// As [`Dataset::picture`].
    pub fn samples(&self, name: &str, count: usize) -> Result<SampleSet, DatasetError> {
        let mut samples = SampleSet::new(name);
        for record in &self.records {
            if samples.len() == count {
                break;
            }
            let texts = std::iter::once(&record.sample.question).chain(&record.reasoning).cloned();
            samples.add(self.picture(&record.sample.image)?, texts);
        }
        Ok(samples)
    }

    /// The picture of a sample. Only pictures below the folders of the data are read, and those within their
    /// files.
    ///
    /// # Errors
    /// A path that leads out of the folders, a file that can't be read.
    pub fn picture(&self, name: &str) -> Result<ImageSource, DatasetError> {
        Ok(ImageSource::from(self.pictures.read(name)?))
    }
}

/// Files of a folder by what they hold.
#[derive(Default)]
struct Found {
    records: Vec<PathBuf>,
    sets: Vec<(CompanionSet, PathBuf)>,
    /// Why others can't be read.
    faults: Vec<DatasetError>,
}

impl Found {
    /// What there is at this place: in a folder, or in that of the one file of records that is meant.
    fn at(path: &Path) -> Result<Self, DatasetError> {
        let meant = path.is_file().then(|| path.file_name()).flatten();
        let mut found = Self::default();
        for file in candidates(path)? {
            let is_meant = meant.is_none_or(|meant| file.file_name() == Some(meant));
            // One row tells; pictures in it are of no interest yet.
            let first = match rows(&file, COLUMNS, 1, &mut Pictures::default()) {
                Ok(rows) => rows.into_iter().next(),
                Err(fault) if is_meant && meant.is_some() => return Err(fault),
                Err(fault) => {
                    found.faults.push(fault);
                    continue;
                }
            };
            let Some(first) = first else { continue };
            if vlkeb::is_record(&first) || published::is_record(&first) {
                found.records.extend(Some(file).filter(|_| is_meant));
            } else if let Some(set) = CompanionSet::of(&first) {
                found.sets.push((set, file));
            }
        }
        Ok(found)
    }

    /// The file of records, by its first part, and its parts; of several splits the one that is meant.
    fn records(&self, path: &Path, split: Option<&str>) -> Result<(PathBuf, Vec<PathBuf>), DatasetError> {
        let meant = |file: &&PathBuf| split.is_none_or(|split| is_of(file, split));
        let files: Vec<PathBuf> = self.records.iter().filter(meant).cloned().collect();
        let names: Vec<String> = files.iter().map(|file| name(file)).collect();
        let whole = |name: &String| part_of(name).map(|(whole, count)| (whole.to_owned(), count));
        let one = names.len() == 1
            || names.iter().all(|name| whole(name).is_some() && whole(name) == whole(&names[0]));
        match files.first() {
            Some(first) if one => match names.first().and_then(whole) {
                // Of one file by its name that file alone is meant.
                Some((_, count)) if count != files.len() && !path.is_file() => {
                    Err(data(path, &format!("of the {count} parts of its records {} are there", files.len())))
                }
                _ => Ok((first.clone(), files)),
            },
            Some(_) => Err(DatasetError::Data(format!(
                "{} files hold records: name the one that is meant, or its split with --split ({})",
                names.len(),
                names.join(", ")
            ))),
            None if !self.records.is_empty() => {
                let names: Vec<String> = self.records.iter().map(|file| name(file)).collect();
                let split = split.unwrap_or_default();
                Err(data(path, &format!("no file of records is of the split {split} ({})", names.join(", "))))
            }
            None => {
                let nothing = "there are neither edits.jsonl nor records with a question, a picture and an answer (A-OKVQA, FVQA, VLKEB and their like), \
                    as JSON, JSON Lines, Parquet, Arrow or CSV";
                let fault = self.faults.first().map(|fault| format!("{nothing}; {fault}"));
                Err(data(path, &fault.as_deref().unwrap_or(nothing)))
            }
        }
    }
}

/// Files that may hold records, sorted: of a folder, or of the folder of a file.
fn candidates(path: &Path) -> Result<Vec<PathBuf>, DatasetError> {
    let failed = |error: std::io::Error| data(path, &error);
    let folder = match path.parent() {
        Some(parent) if path.is_file() && parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) if path.is_file() => parent,
        _ => path,
    };
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let file = entry.map_err(failed)?.path();
        let known = file.extension().is_some_and(|own| EXTENSIONS.iter().any(|known| own == *known));
        let fits = known && name(&file) != PROBES && !describes(&file) && !name(&file).starts_with('.');
        if file.is_file() && (fits || file.file_name() == path.file_name()) {
            found.push(file);
        }
    }
    found.sort();
    Ok(found)
}

fn read_lines<T: for<'de> Deserialize<'de>>(path: &Path) -> Result<Vec<T>, DatasetError> {
    text(path)?
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(index, line)| {
            serde_json::from_str(line).map_err(|error| data(path, &format!("line {}: {error}", index + 1)))
        })
        .collect()
}

#[cfg(test)]
mod tests;
