//! How a trail is found at the start: gone on with as it was left, healed where a killed process had begun a
//! line, and gone on with behind a gap where its end is not what it had been.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Seek as _, SeekFrom};
use std::path::Path;

use crate::error::{AuditError, Result};
use crate::head::{Anchor, EndRecord};
use crate::layout::{DayFile, day_files};
use crate::line::{Place, Sealed, unseal};
use crate::record::{AuditEvent, AuditRecord};

/// How a trail was found.
#[derive(Debug)]
pub(crate) struct Found {
    /// The line that the next one follows.
    pub(crate) place: Place,
    /// The last day's file, and as much of it as is kept.
    pub(crate) last: Option<(DayFile, u64)>,
    /// Whether the last day's file has bytes beyond a whole line that are kept, since they may be evidence.
    pub(crate) unended: bool,
    /// What is to be told in the trail.
    pub(crate) told: Vec<AuditRecord>,
}

/// What follows a place in the files.
#[derive(Debug)]
struct Followed {
    /// The last line that follows from there.
    place: Place,
    /// The file in which something follows that doesn't, and where in it.
    stray: Option<(DayFile, u64)>,
    /// Whether whole lines are among what doesn't follow: a killed process leaves none.
    lines: bool,
    /// The last whole line of all.
    last_line: Option<Sealed>,
}

/// Looks at the end of a trail.
///
/// # Errors
/// [`AuditError::File`].
pub(crate) fn recover(folder: &Path) -> Result<Found> {
    let files = day_files(folder)?;
    let head = EndRecord::read(folder)?;
    let anchor = Anchor::read(folder)?.and_then(|anchor| anchor.place());
    let noted = head.as_ref().and_then(|head| Some((head, head.place()?)));
    let Some(last) = files.last().cloned() else {
        let begin = anchor.unwrap_or(Place::BEGIN);
        // The files are gone, and the record of their end says so.
        let lost = noted.map(|(_, place)| place).filter(|place| place.seq > begin.seq);
        let told = lost.map(|place| gap(&format!("the files of {} lines are gone", place.seq - begin.seq)));
        return Ok(Found {
            place: lost.unwrap_or(begin),
            last: None,
            unended: false,
            told: told.into_iter().collect(),
        });
    };
    let length = last.path.metadata().map_err(AuditError::file(&last.path))?.len();
    if let Some((head, place)) = noted
        && let Some(from) = files.iter().position(|file| file.name() == head.file)
        && line_at(&files[from], head.begins, head.ends)? == Some(place)
    {
        let followed = follow(&files[from..], head.ends, place)?;
        return match followed.stray {
            None => Ok(Found {
                place: followed.place,
                last: Some((last, length)),
                unended: false,
                told: Vec::new(),
            }),
            Some((file, at)) if file == last && !followed.lines => {
                let cut = length - at;
                let detail = "the last line was not whole, as a killed process leaves it, and was cut off";
                let told = AuditRecord::own(AuditEvent::Healed, Some(cut), detail);
                Ok(Found { place: followed.place, last: Some((file, at)), unended: false, told: vec![told] })
            }
            Some((ref file, _)) => {
                let what = format!("{} has lines that do not follow from those before", file.name());
                after_a_gap(&followed, Some(place), last, length, &what)
            }
        };
    }
    let followed = follow(std::slice::from_ref(&last), 0, Place::BEGIN)?;
    let what = match noted {
        Some((_, place)) => format!("line {} is not where it was left", place.seq),
        None => "the record of the end is gone".to_owned(),
    };
    after_a_gap(&followed, noted.map(|(_, place)| place), last, length, &what)
}

/// Goes on behind what was noted or is there, whichever is further: the numbers between stay missing, and
/// every later look at the trail finds that.
fn after_a_gap(
    followed: &Followed,
    noted: Option<Place>,
    last: DayFile,
    length: u64,
    what: &str,
) -> Result<Found> {
    let there = followed.last_line.as_ref().map(Sealed::place);
    let place = [noted, there, Some(followed.place)].into_iter().flatten().max_by_key(|place| place.seq);
    let unended = length > 0 && !ends_with_newline(&last)?;
    Ok(Found {
        place: place.unwrap_or(Place::BEGIN),
        last: Some((last, length)),
        unended,
        told: vec![gap(what)],
    })
}

fn gap(what: &str) -> AuditRecord {
    AuditRecord::own(AuditEvent::Gap, None, what)
}

/// The place after the line between two places of a file, if there is a whole one.
fn line_at(file: &DayFile, begins: u64, ends: u64) -> Result<Option<Place>> {
    let failed = || AuditError::file(&file.path);
    let mut opened = File::open(&file.path).map_err(failed())?;
    if ends <= begins || opened.metadata().map_err(failed())?.len() < ends {
        return Ok(None);
    }
    opened.seek(SeekFrom::Start(begins)).map_err(failed())?;
    let mut line = Vec::new();
    BufReader::new(opened).read_until(b'\n', &mut line).map_err(failed())?;
    let whole = line.strip_suffix(b"\n").filter(|_| line.len() as u64 == ends - begins);
    Ok(whole.and_then(unseal).filter(|sealed| sealed.holds).map(|sealed| sealed.place()))
}

/// Follows the lines of these files, of the first from `offset` on, as far as each follows from the one
/// before.
fn follow(files: &[DayFile], offset: u64, place: Place) -> Result<Followed> {
    let mut found = Followed { place, stray: None, lines: false, last_line: None };
    for (at, file) in files.iter().enumerate() {
        let failed = || AuditError::file(&file.path);
        let mut opened = File::open(&file.path).map_err(failed())?;
        let mut begins = if at == 0 { offset } else { 0 };
        opened.seek(SeekFrom::Start(begins)).map_err(failed())?;
        let mut lines = BufReader::new(opened);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).map_err(failed())? > 0 {
            let sealed = line.strip_suffix(b"\n").and_then(unseal).filter(|sealed| sealed.holds);
            match sealed {
                Some(sealed) if found.stray.is_none() && sealed.follows(found.place) => {
                    found.place = sealed.place();
                }
                _ => {
                    found.lines |= sealed.is_some();
                    found.stray.get_or_insert_with(|| (file.clone(), begins));
                }
            }
            found.last_line = sealed.or(found.last_line);
            begins += line.len() as u64;
            line.clear();
        }
    }
    Ok(found)
}

fn ends_with_newline(file: &DayFile) -> Result<bool> {
    let failed = || AuditError::file(&file.path);
    let mut opened = File::open(&file.path).map_err(failed())?;
    opened.seek(SeekFrom::End(-1)).map_err(failed())?;
    let mut last = [0];
    std::io::Read::read_exact(&mut opened, &mut last).map_err(failed())?;
    Ok(last == *b"\n")
}
