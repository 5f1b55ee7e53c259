//! A safetensors file, read piece by piece.
//!
//! Nothing is mapped: what has been turned into a tensor leaves no trace in memory, so that weights are never
//! held twice.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Metadata, TensorInfo};

use crate::error::{NnError, Result};
use crate::settings;

/// Bytes read at a time.
const PIECE: usize = 8 << 20;
/// Greatest size of a header that is believed (safetensors' own limit).
const GREATEST_HEADER: u64 = 100_000_000;

/// An opened safetensors file.
#[derive(Debug)]
pub struct WeightFile {
    path: PathBuf,
    file: RefCell<File>,
    len: u64,
    /// First byte of the tensors.
    start: u64,
    /// What the header says besides its tensors.
    notes: HashMap<String, String>,
}

impl WeightFile {
    /// Opens a file and reads its header: names, and where each tensor lies.
    ///
    /// # Errors
    /// [`NnError::Read`]; [`NnError::Load`] for a file that isn't whole or isn't a safetensors file.
    pub fn open(path: &Path) -> Result<(Self, Vec<(String, TensorInfo)>)> {
        let read = |source| NnError::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(read)?;
        let len = file.metadata().map_err(read)?.len();
        let (path, file, notes) = (path.to_owned(), RefCell::new(file), HashMap::new());
        let mut this = Self { path, file, len, start: 8, notes };
        if len < 8 {
            return Err(this.malformed("it is empty"));
        }
        let mut size = [0; 8];
        this.read_at(0, &mut size)?;
        if len < 1024 {
            let mut bytes = vec![0; len as usize];
            this.read_at(0, &mut bytes)?;
            if settings::is_pointer(&bytes) {
                let reason = "it is the stand-in that Git LFS leaves for a file; `git lfs pull` brings the file itself";
                return Err(NnError::load(this.name(), reason));
            }
        }
        let header = u64::from_le_bytes(size);
        if header > GREATEST_HEADER {
            return Err(this.malformed("what should be its header's size is beyond reason"));
        }
        this.start += header;
        if this.start > len {
            return Err(this.malformed("it ends within its header"));
        }
        let mut bytes = vec![0; header as usize];
        this.read_at(8, &mut bytes)?;
        let metadata: Metadata =
            serde_json::from_slice(&bytes).map_err(|_| this.malformed("its header can't be read"))?;
        let mut tensors: Vec<(String, TensorInfo)> =
            metadata.tensors().into_iter().map(|(name, info)| (name, info.clone())).collect();
        tensors.sort_by_key(|(_, info)| info.data_offsets);
        this.notes = metadata.metadata().clone().unwrap_or_default();
        let end = this.check(&tensors)?;
        match len.cmp(&(this.start + end)) {
            std::cmp::Ordering::Equal => Ok((this, tensors)),
            std::cmp::Ordering::Less => Err(this
                .malformed(&format!("it has {len} bytes where its header speaks of {}", this.start + end))),
            std::cmp::Ordering::Greater => Err(this.malformed("it is longer than its header says")),
        }
    }

    /// Checks that the tensors lie one behind the other, each as long as its shape needs; returns where they
    /// end.
    fn check(&self, tensors: &[(String, TensorInfo)]) -> Result<u64> {
        let mut at = 0;
        for (name, info) in tensors {
            let (start, end) = info.data_offsets;
            let bits = info
                .shape
                .iter()
                .try_fold(info.dtype.bitsize(), |product, n| product.checked_mul(*n))
                .ok_or_else(|| self.malformed(&format!("the shape of {name} is beyond reason")))?;
            if start != at || end < start || end - start != bits.div_ceil(8) {
                return Err(self.malformed(&format!("{name} doesn't lie where its shape needs it")));
            }
            at = end;
        }
        Ok(at as u64)
    }

    fn name(&self) -> String {
        self.path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned())
    }

    fn malformed(&self, reason: &str) -> NnError {
        NnError::load(self.name(), format!("not a whole safetensors file ({reason}); download it again"))
    }

    fn read_at(&self, at: u64, to: &mut [u8]) -> Result<()> {
        let mut file = self.file.borrow_mut();
        file.seek(SeekFrom::Start(at))
            .and_then(|_| file.read_exact(to))
            .map_err(|source| NnError::Read { path: self.path.clone(), source })
    }

    /// What the header says besides its tensors.
    pub fn notes(&self) -> &HashMap<String, String> {
        &self.notes
    }

    /// Bytes of the file.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Calls `f` with the bytes of a tensor (from the first one's beginning), in pieces that are multiples of
    /// `row` bytes and come with their first row.
    pub(super) fn rows(
        &self,
        range: &Range<usize>,
        row: usize,
        mut f: impl FnMut(usize, &[u8]) -> Result<()>,
    ) -> Result<()> {
        if range.is_empty() || row == 0 {
            return Ok(());
        }
        let rows = (PIECE / row).max(1);
        let mut buffer = vec![0; (rows * row).min(range.len())];
        let mut done = 0;
        while done < range.len() {
            let count = buffer.len().min(range.len() - done);
            self.read_at(self.start + (range.start + done) as u64, &mut buffer[..count])?;
            f(done / row, &buffer[..count])?;
            done += count;
        }
        Ok(())
    }

    /// Calls `f` with all bytes of the file, in pieces.
    pub(super) fn all(&self, mut f: impl FnMut(&[u8])) -> Result<()> {
        let mut buffer = vec![0; PIECE.min(self.len as usize)];
        let mut at = 0;
        while at < self.len {
            let count = (self.len - at).min(PIECE as u64) as usize;
            self.read_at(at, &mut buffer[..count])?;
            f(&buffer[..count]);
            at += count as u64;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(bytes: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        file
    }

    fn with_header(header: &str, data: &[u8]) -> Vec<u8> {
        [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
    }

    const TWO: &str = r#"{"b": {"dtype": "U8", "shape": [3, 2], "data_offsets": [2, 8]}, "a": {"dtype": "BF16", "shape": [1], "data_offsets": [0, 2]}}"#;

    #[test]
    fn rows_come_in_order_and_whole() {
        let file = written(&with_header(TWO, &[9, 9, 0, 1, 2, 3, 4, 5]));
        let (file, tensors) = WeightFile::open(file.path()).unwrap();
        assert_eq!(tensors.iter().map(|t| t.0.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        let mut seen = Vec::new();
        file.rows(&(2..8), 2, |row, bytes| {
            seen.push((row, bytes.to_vec()));
            Ok(())
        })
        .unwrap();
        assert_eq!(seen, [(0, vec![0, 1, 2, 3, 4, 5])]);
        let mut all = 0;
        file.all(|bytes| all += bytes.len()).unwrap();
        assert_eq!(all as u64, file.len());
    }

    #[test]
    fn contradictory_headers_are_refused() {
        let data = [0u8; 8];
        for header in [
            TWO.replace("[2, 8]", "[3, 8]"),
            TWO.replace("[3, 2]", "[3, 3]"),
            TWO.replace("[3, 2]", "[4294967295, 4294967295, 4294967295]"),
            TWO.replace("[2, 8]", "[2, 1]"),
            TWO.replace("U8", "X8"),
            "{".into(),
        ] {
            let file = written(&with_header(&header, &data));
            let error = WeightFile::open(file.path()).unwrap_err().to_string();
            assert!(error.contains("download it again"), "{header}: {error}");
        }
        let file = written(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n");
        assert!(WeightFile::open(file.path()).unwrap_err().to_string().contains("git lfs pull"));
        let file = written(&u64::MAX.to_le_bytes());
        assert!(WeightFile::open(file.path()).unwrap_err().to_string().contains("beyond reason"));
        for data in [&data[..7], &[0; 9]] {
            assert!(WeightFile::open(written(&with_header(TWO, data)).path()).is_err());
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(mut bytes: Vec<u8>, header in 0u64..80) {
            let _ = WeightFile::open(written(&bytes).path());
            bytes.splice(..0, header.to_le_bytes());
            let _ = WeightFile::open(written(&bytes).path());
        }
    }
}
