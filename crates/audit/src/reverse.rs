//! Lines of a file from its end.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};

/// Bytes that are read at a time.
const BLOCK: u64 = 64 << 10;

/// Lines of a file, the last first, without their newlines; what stands behind the last newline is none.
pub(crate) struct ReverseLines {
    file: File,
    /// Where `held` begins in the file.
    begins: u64,
    /// Read and not given out.
    held: Vec<u8>,
}

impl ReverseLines {
    pub(crate) fn new(mut file: File) -> io::Result<Self> {
        let begins = file.seek(SeekFrom::End(0))?;
        let mut lines = Self { file, begins, held: Vec::new() };
        // What is no whole line yet.
        lines.next()?;
        Ok(lines)
    }

    /// The line before; none before the first.
    pub(crate) fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut looked = self.held.len();
        loop {
            if let Some(at) = self.held[..looked].iter().rposition(|&byte| byte == b'\n') {
                let line = self.held.split_off(at + 1);
                self.held.truncate(at);
                return Ok(Some(line));
            }
            if self.begins == 0 {
                let line = std::mem::take(&mut self.held);
                return Ok((!line.is_empty()).then_some(line));
            }
            let block = self.begins.min(BLOCK);
            self.begins -= block;
            self.file.seek(SeekFrom::Start(self.begins))?;
            let mut read = vec![0; block as usize];
            self.file.read_exact(&mut read)?;
            looked = read.len();
            read.append(&mut self.held);
            self.held = read;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn lines_come_from_the_end_and_what_is_unfinished_is_none() {
        for length in [1, 7, 4000, 100_000] {
            let lines: Vec<String> = (0..20).map(|n| format!("{n}").repeat(length)).collect();
            for tail in ["", "half"] {
                let mut file = tempfile::tempfile().unwrap();
                file.write_all(format!("{}\n{tail}", lines.join("\n")).as_bytes()).unwrap();
                let mut reverse = ReverseLines::new(file).unwrap();
                let mut found = Vec::new();
                while let Some(line) = reverse.next().unwrap() {
                    found.push(String::from_utf8(line).unwrap());
                }
                found.reverse();
                assert!(found == lines, "{length} {tail}: {} lines", found.len());
            }
        }
        let mut empty = ReverseLines::new(tempfile::tempfile().unwrap()).unwrap();
        assert_eq!(empty.next().unwrap(), None);
    }
}
