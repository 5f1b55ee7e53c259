//! The edits of a batch as they lie on disk: JSON Lines, or a tar of native records with their pictures.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

use bytes::Bytes;
use reasonedit_editor::{EditRequest, Editor, ImageSource, StatementInput};
use reasonedit_http::fetch::Fetcher;
use reasonedit_http::json::from_slice;
use reasonedit_http::problem::{Problem, ProblemKind, Result};
use reasonedit_jobs::{UploadFile, UploadReader};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::failure::unreadable;
use reasonedit_api::BoxInput;
use reasonedit_dto::contributor::Contributor;
use reasonedit_dto::edit_input::EditInput;

/// The file of native records within a tar.
const RECORDS: &str = "edits.jsonl";
/// Most files of a tar: 5,000 records with all that is measured about them have fewer.
const MAX_FILES: usize = 500_000;

/// What an upload is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Format {
    /// A body of `POST /edits` a line.
    Lines,
    /// `edits.jsonl` and the pictures it names.
    Records,
}

/// What lines may weigh.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SourceLimits {
    /// Bytes of a line or a picture.
    pub(crate) item_bytes: u64,
    /// Lines that are not empty.
    pub(crate) lines: u64,
}

/// Where files lie in a tar: start and length by path.
type Places = HashMap<String, (u64, u64)>;

/// An upload that is being read. Blocks.
#[derive(Debug)]
pub(crate) struct Source {
    lines: BufReader<io::Take<UploadReader>>,
    number: u64,
    item_bytes: u64,
    /// Of a tar: its file, and where in it each picture lies.
    pictures: Option<(UploadReader, Places)>,
}

/// One line that is not empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// From 1, empty ones counted.
    pub(crate) number: u64,
    pub(crate) bytes: Bytes,
}

impl Source {
    /// Opens an upload at its first line.
    ///
    /// # Errors
    /// 422 for a tar that is damaged or has no `edits.jsonl`, 500 when the disk refuses.
    pub(crate) fn open(upload: &UploadFile, format: Format, item_bytes: u64) -> Result<Self> {
        let open = || upload.open().map_err(|error| unreadable(&error));
        let (lines, pictures) = match format {
            Format::Lines => (open()?.take(u64::MAX), None),
            Format::Records => {
                let mut files = files_of(open()?)?;
                // Whoever packs a folder has its name before everything: the pictures are told from where the
                // records are.
                let records = files
                    .keys()
                    .filter(|path| *path == RECORDS || path.ends_with(&format!("/{RECORDS}")))
                    .min_by_key(|path| (path.matches('/').count(), (*path).clone()))
                    .cloned()
                    .ok_or_else(|| unusable(format!("The archive has no `{RECORDS}`.")))?;
                let folder = records.strip_suffix(RECORDS).unwrap_or_default().to_owned();
                let (start, length) = files.remove(&records).unwrap_or_default();
                let pictures = files
                    .into_iter()
                    .filter_map(|(path, place)| Some((path.strip_prefix(&folder)?.to_owned(), place)))
                    .collect();
                let mut file = open()?;
                file.seek(SeekFrom::Start(start)).map_err(|error| unreadable(&error))?;
                (file.take(length), Some((open()?, pictures)))
            }
        };
        Ok(Self { lines: BufReader::new(lines), number: 0, item_bytes, pictures })
    }

    /// Reads an upload through and gives the number of its lines that are not empty.
    ///
    /// # Errors
    /// As [`Self::open`]; 413 for too many or too long lines; 422 if there is none.
    pub(crate) fn check(upload: &UploadFile, format: Format, limits: SourceLimits) -> Result<u64> {
        let mut source = Self::open(upload, format, limits.item_bytes)?;
        let mut count = 0;
        while source.next_line()?.is_some() {
            count += 1;
            if count > limits.lines {
                let detail = format!("More than the {} edits allowed in one upload.", limits.lines);
                return Err(Problem::new(ProblemKind::TooLarge, detail));
            }
        }
        if count == 0 {
            return Err(unusable("There is no edit in the upload.".to_owned()));
        }
        Ok(count)
    }

    /// The next line that is not empty.
    ///
    /// # Errors
    /// 413 for a line that is too long, 400 for lines that are not UTF-8, 500 when the disk refuses.
    pub(crate) fn next_line(&mut self) -> Result<Option<Line>> {
        loop {
            let mut bytes = Vec::new();
            let read = self
                .lines
                .by_ref()
                .take(self.item_bytes + 1)
                .read_until(b'\n', &mut bytes)
                .map_err(|error| unreadable(&error))?;
            if read == 0 {
                return Ok(None);
            }
            self.number += 1;
            let marked = if self.number == 1 { begins(&bytes)? } else { 0 };
            if bytes.last() == Some(&b'\n') {
                bytes.pop();
            }
            if bytes.len() as u64 > self.item_bytes {
                let detail =
                    format!("Line {} is longer than the {} bytes allowed.", self.number, self.item_bytes);
                return Err(Problem::new(ProblemKind::TooLarge, detail));
            }
            if !bytes[marked.min(bytes.len())..].iter().all(u8::is_ascii_whitespace) {
                return Ok(Some(Line { number: self.number, bytes: bytes.into() }));
            }
        }
    }

    /// What a line asks for, as far as it can be told without waiting for anything.
    ///
    /// # Errors
    /// 400 and 422 as for `POST /edits`; a picture that the archive lacks.
    pub(crate) fn parse(&mut self, line: &[u8]) -> Result<Parsed> {
        let Some((file, pictures)) = &mut self.pictures else {
            return from_slice(line).map(|input| Parsed::Body(Box::new(input)));
        };
        let record: NativeRecord = from_slice(line)?;
        let place = pictures.get(record.image.trim_start_matches("./")).ok_or_else(|| {
            Problem::invalid("/image", format!("The archive holds no file `{}`.", record.image))
        })?;
        let picture = read_at(file, *place, self.item_bytes)?;
        record.into_request(picture).map(|request| Parsed::Request(Box::new(request)))
    }
}

/// A line that was understood.
pub(crate) enum Parsed {
    /// As sent to `POST /edits`; its picture may have to be fetched.
    Body(Box<EditInput>),
    /// All of it.
    Request(Box<EditRequest>),
}

impl Parsed {
    /// The request, its picture at hand. `verify` comes before what the line says.
    ///
    /// # Errors
    /// 403 for another author; 422 and what fetching says for pictures that can't be had.
    pub(crate) async fn into_request(
        self,
        fetcher: &Fetcher,
        by: &Contributor,
        editor: &Editor,
        verify: Option<bool>,
    ) -> Result<EditRequest> {
        match self {
            Self::Body(input) => input.into_request(fetcher, by, editor, verify).await,
            Self::Request(request) => {
                let author = by.author(None)?;
                Ok(EditRequest { author, verify: verify.unwrap_or(request.verify), ..*request })
            }
        }
    }
}

/// A native record, as far as an edit needs it (method section 7).
#[derive(Debug, Deserialize)]
struct NativeRecord {
    uid: Option<Value>,
    image: String,
    question: String,
    answer: String,
    #[serde(default)]
    choices: Vec<String>,
    #[serde(default)]
    reasoning: Vec<String>,
    #[serde(default)]
    evidence: Vec<Vec<BoxInput>>,
}

impl NativeRecord {
    fn into_request(self, picture: Bytes) -> Result<EditRequest> {
        if self.evidence.len() > self.reasoning.len() {
            return Err(Problem::invalid("/evidence", "There are more lists of boxes than statements."));
        }
        let mut boxes = self.evidence.into_iter();
        let reasoning = self
            .reasoning
            .into_iter()
            .map(|statement| StatementInput {
                statement,
                evidence: boxes.next().unwrap_or_default().into_iter().map(Into::into).collect(),
            })
            .collect();
        Ok(EditRequest {
            warnings: Vec::new(),
            image: ImageSource::from(picture),
            question: self.question,
            answer: self.answer,
            reasoning,
            choices: self.choices,
            author: None,
            tags: Vec::new(),
            metadata: self.uid.map_or_else(|| json!({}), |uid| json!({ "uid": uid })),
            verify: true,
            supersedes: Vec::new(),
            on_conflict: None,
            idempotency: None,
        })
    }
}

/// Bytes of the mark that some editors put in front of a text.
///
/// # Errors
/// 400 for lines that are no lines of bytes: other characters than UTF-8, or compressed.
fn begins(bytes: &[u8]) -> Result<usize> {
    let detail = match bytes {
        [0xef, 0xbb, 0xbf, ..] => return Ok(3),
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, ..] | [_, 0, ..] => {
            "The lines are UTF-16 or UTF-32; send UTF-8."
        }
        [0x1f, 0x8b, ..] => "The lines are compressed; say so with `Content-Encoding: gzip`.",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "The lines are compressed; say so with `Content-Encoding: zstd`.",
        _ => return Ok(0),
    };
    Err(Problem::new(ProblemKind::Malformed, detail))
}

/// Where each plain file of a tar lies in it.
fn files_of(tar: UploadReader) -> Result<Places> {
    let damaged = |error: io::Error| match error.kind() {
        // Not as it came.
        io::ErrorKind::InvalidData => unreadable(&error),
        _ => unusable("The archive is damaged, or no tar.".to_owned()),
    };
    let mut archive = tar::Archive::new(tar);
    let mut files = HashMap::new();
    for entry in archive.entries_with_seek().map_err(damaged)? {
        let entry = entry.map_err(damaged)?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        if files.len() == MAX_FILES {
            let detail = format!("The archive holds more than {MAX_FILES} files.");
            return Err(Problem::new(ProblemKind::TooLarge, detail));
        }
        // Names are compared and never opened.
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        files.insert(path.trim_start_matches("./").to_owned(), (entry.raw_file_position(), entry.size()));
    }
    Ok(files)
}

fn read_at(file: &mut UploadReader, (start, length): (u64, u64), limit: u64) -> Result<Bytes> {
    if length > limit {
        let detail = format!("The picture is larger than the {limit} bytes allowed.");
        return Err(Problem::at(ProblemKind::TooLarge, "/image", detail));
    }
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(start)).map_err(|error| unreadable(&error))?;
    file.take(length).read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
    if bytes.len() as u64 != length {
        return Err(Problem::invalid("/image", "The archive ends within this picture."));
    }
    Ok(bytes.into())
}

fn unusable(detail: String) -> Problem {
    Problem::new(ProblemKind::Invalid, detail)
}

#[cfg(test)]
mod tests;
