//! Writes data sets and training episodes to a folder that is given. The only module with side effects.

mod dataset;
mod episodes;

pub use dataset::{write_pairs, write_probes, write_records};
pub use episodes::{EpisodeCounts, EpisodeOptions, FORMAT_VERSION, write_episodes};

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use crate::WorldError;

/// A buffered file whose errors name it.
struct Output {
    name: &'static str,
    file: BufWriter<File>,
}

impl Output {
    fn create(directory: &Path, name: &'static str) -> Result<Self, WorldError> {
        let file = File::create(directory.join(name)).map_err(|source| write_error(name, source))?;
        Ok(Self { name, file: BufWriter::with_capacity(1 << 20, file) })
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), WorldError> {
        self.file.write_all(bytes).map_err(|source| write_error(self.name, source))
    }

    fn line(&mut self, text: &str) -> Result<(), WorldError> {
        self.write(text.as_bytes())?;
        self.write(b"\n")
    }

    fn finish(mut self) -> Result<(), WorldError> {
        self.file.flush().map_err(|source| write_error(self.name, source))
    }
}

fn write_error(path: &str, source: std::io::Error) -> WorldError {
    WorldError::Write { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::view::{MAX_CELLS, VIEW_BYTES};

    const FILES: [&str; 7] =
        ["views.u8", "views.grid", "views.cells", "rows.jsonl", "sentences.jsonl", "corpus.txt", "meta.json"];

    fn episodes(threads: usize) -> (EpisodeCounts, Vec<Vec<u8>>) {
        let directory = tempfile::tempdir().unwrap();
        let options = EpisodeOptions { cuts: 2, sentence_pairs: 50, corpus_scenes: 2, corpus_names: 10 };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let mut reported = Vec::new();
        let counts = pool
            .install(|| write_episodes(directory.path(), 5, 7, &options, |done| reported.push(done)))
            .unwrap();
        assert_eq!(reported, [7]);
        (counts, FILES.map(|name| std::fs::read(directory.path().join(name)).unwrap()).to_vec())
    }

    #[test]
    fn episodes_do_not_depend_on_the_number_of_threads() {
        let ((counts, files), (again, others)) = (episodes(1), episodes(3));
        assert_eq!(counts, again);
        for (index, name) in FILES.iter().enumerate() {
            assert!(files[index] == others[index], "{name} differs");
        }
        let views = counts.views as usize;
        assert_eq!(counts.scenes, 7);
        assert_eq!(files[0].len(), views * VIEW_BYTES);
        assert_eq!(files[1].len(), views * 2);
        assert_eq!(files[2].len(), views * MAX_CELLS * 6);
        let rows: Vec<serde_json::Value> = String::from_utf8(files[3].clone())
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(rows.len() as u64, counts.rows);
        assert!(rows.iter().enumerate().all(|(index, row)| row["v"] == index / 3));
    }

    #[test]
    fn records_and_probes_are_written_with_their_pictures() {
        let directory = tempfile::tempdir().unwrap();
        let mut last = (0, 0);
        let records =
            write_records(directory.path(), 1_000_003, 2, |done, total| last = (done, total)).unwrap();
        assert!(last.0 == last.1 && last.0 > 10);
        let text = std::fs::read_to_string(directory.path().join("edits.jsonl")).unwrap();
        let read: Vec<crate::record::NativeRecord> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(read, records);
        for record in &records {
            let bytes = std::fs::read(directory.path().join(&record.image)).unwrap();
            let decoded =
                reasonedit_imaging::decode(&bytes, &reasonedit_imaging::DecodeLimits::default()).unwrap();
            assert!(decoded.image.width() >= 300);
        }
        let probes = write_probes(directory.path(), 1_000_003, 9, |_, _| ()).unwrap();
        let text = std::fs::read_to_string(directory.path().join("probes.jsonl")).unwrap();
        assert_eq!(text.lines().count(), probes.len());
        assert!(probes.iter().all(|probe| directory.path().join(&probe.image).is_file()));
    }

    #[test]
    fn a_missing_folder_is_an_error_that_names_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let missing = directory.path().join("nowhere");
        let error = write_episodes(&missing, 0, 1, &EpisodeOptions::default(), |_| ()).unwrap_err();
        assert!(error.to_string().contains("views.u8"), "{error}");
    }
}
