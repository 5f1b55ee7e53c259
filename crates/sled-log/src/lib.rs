//! sled's log, read without sled: everything in it whose sums hold. sled stops at the first message that it
//! can't read and wipes what follows, or refuses to open; what is to be saved from a damaged folder is read
//! here, and nothing of the folder is written to.
//!
//! The form is that of sled 0.34 (`pagecache/logger.rs`, `serialization.rs`): segments of half a megabyte,
//! each with a header and messages; a message is a page, a change to one, or its end. Pages hold the nodes of
//! trees, and page 0 the names of the trees.

mod primitive;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use primitive::{bytes, crc, long, number, numbers, word};

const SEGMENT: usize = 512 << 10;
const SEGMENT_HEADER: usize = 20;
/// As much as the header of a message can take: what is left of a segment below that stays empty.
const MESSAGE_HEADER: usize = 32;
/// Bytes whose sums are taken in vain in a segment: as if all of it were read again and again. What decays
/// leaves a few places that look like the beginning of a message; more were put there, and what stands behind
/// them is not looked for.
const IN_VAIN: usize = 512 * SEGMENT;
/// Greatest number of a segment: all of it has a place in the log.
const LAST_SEGMENT: u64 = (i64::MAX as u64) / SEGMENT as u64 - 2;
/// Numbers in the header of a segment, its place in the log and how far all was written, are written as the
/// difference to this.
const MASK: i64 = i64::MAX;
const META: u64 = 0;

/// Kinds of messages.
const CAP: u8 = 2;
const BATCH: u8 = 3;
const FREE: u8 = 4;
const INLINE_META: u8 = 6;
const INLINE_NODE: u8 = 8;
const INLINE_LINK: u8 = 10;
const LAST_KIND: u8 = 11;

/// The pieces of values, by tree.
#[derive(Debug, Default)]
pub struct Rows {
    /// The values of each tree, by their keys.
    pub trees: BTreeMap<Vec<u8>, BTreeMap<Vec<u8>, Vec<u8>>>,
    /// What could not be read, in words.
    pub faults: Vec<String>,
}

/// A message whose sum holds.
struct Message<B> {
    kind: u8,
    page: u64,
    body: B,
}

#[derive(Clone)]
struct Node {
    next: u64,
    prefix: Vec<u8>,
    content: Content,
}

#[derive(Clone)]
enum Content {
    Leaf(BTreeMap<Vec<u8>, Vec<u8>>),
    Index(Vec<u64>),
}

/// Reads a file of segments.
///
/// # Errors
/// The disk refuses.
pub fn read(db: &Path) -> io::Result<Rows> {
    let (mut messages, mut rows) = (BTreeMap::new(), Rows::default());
    let walked = walk(db, |lsn, message| {
        messages.insert(lsn, Message { kind: message.kind, page: message.page, body: message.body.to_vec() });
    })?;
    // Behind what was never written nothing was acknowledged.
    if let Some(from) = walked.tear() {
        messages.split_off(&from);
    }
    rows.faults = walked.damage();
    let end = messages.last_key_value().map_or(0, |(lsn, _)| *lsn);
    // A batch whose end was never written was never acknowledged.
    let torn = messages.iter().find(|(_, message)| {
        message.kind == BATCH && long(&message.body).is_some_and(|last| last > end + SEGMENT as i64)
    });
    if let Some(from) = torn.map(|(lsn, _)| *lsn) {
        messages.split_off(&from);
    }
    let mut pages: BTreeMap<u64, Node> = BTreeMap::new();
    let mut names: BTreeMap<Vec<u8>, u64> = BTreeMap::new();
    for message in messages.values() {
        apply(message, &mut pages, &mut names, &mut rows.faults);
    }
    let mut taken = BTreeMap::new();
    for (tree, (name, root)) in names.into_iter().enumerate() {
        let found = rows.trees.entry(name.clone()).or_default();
        let lost = collect(root, &pages, found, tree, &mut taken);
        if lost > 0 {
            rows.faults.push(format!("{lost} pages of the tree {} are lost", String::from_utf8_lossy(&name)));
        }
    }
    Ok(rows)
}

/// What can't be read of a file of segments though something behind it can be, in words. What a process that
/// was killed was writing is no damage (it leaves places unwritten). Holds one segment at a time.
///
/// # Errors
/// The disk refuses.
pub fn damage(db: &Path) -> io::Result<Vec<String>> {
    Ok(walk(db, |_, _| ())?.damage())
}

/// A stretch that can't be read, with something behind it in its segment that can be.
struct Gap {
    /// Its place in the log.
    lsn: i64,
    /// Its place in the file.
    from: u64,
    to: u64,
    /// Nothing of this segment stands in it: zeros, or what was there before the segment was used again.
    unwritten: bool,
}

/// What there is to say of a log. sled writes its buffers by several threads and in any order, and the
/// message that begins a batch, in a buffer of its own, after those of the batch: a process that is killed
/// leaves a stretch that was never written, and behind it what nobody was told is done. Where a segment
/// begins stands how far all was written by then; no such stretch lies before that.
///
/// A stretch behind it that the disk has emptied is not told from one that was never written: what is missing
/// then is known by counts that are kept elsewhere.
#[derive(Default)]
struct Walked {
    gaps: Vec<Gap>,
    stable: i64,
}

impl Walked {
    fn torn(&self, gap: &Gap) -> bool {
        gap.unwritten && gap.lsn > self.stable
    }

    /// Where the log of a process that was killed ends.
    fn tear(&self) -> Option<i64> {
        self.gaps.iter().filter(|gap| self.torn(gap)).map(|gap| gap.lsn).min()
    }

    fn damage(&self) -> Vec<String> {
        let harmed = self.gaps.iter().filter(|gap| !self.torn(gap));
        harmed.map(|gap| format!("the log can't be read from {} to {}", gap.from, gap.to)).collect()
    }
}

/// Goes through all segments and hands every message whose sum holds to `found`, with its place in the log.
fn walk(db: &Path, mut found: impl FnMut(i64, Message<&[u8]>)) -> io::Result<Walked> {
    let mut file = File::open(db)?;
    let (mut walked, mut segment, mut offset) = (Walked::default(), vec![0; SEGMENT], 0u64);
    loop {
        let read = read_up_to(&mut file, &mut segment)?;
        if read == 0 {
            return Ok(walked);
        }
        read_segment(&segment[..read], offset, &mut found, &mut walked);
        offset += read as u64;
    }
}

fn read_up_to(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..])? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(filled)
}

fn read_segment(
    segment: &[u8],
    offset: u64,
    found: &mut impl FnMut(i64, Message<&[u8]>),
    walked: &mut Walked,
) {
    let Some(header) = segment.first_chunk::<SEGMENT_HEADER>() else { return };
    let sound = crc(&[&header[4..]]) ^ u32::MAX == word(header);
    let base = long(&header[4..]).map(|lsn| lsn ^ MASK).filter(|_| sound);
    if sound {
        let stable = long(&header[12..]).map_or(0, |lsn| lsn ^ MASK);
        walked.stable = walked.stable.max(stable);
    }
    let mut at = SEGMENT_HEADER;
    // Its messages say which segment they are of; the header is not needed for that.
    let mut number = base.map(|base| base as u64 / SEGMENT as u64);
    let mut unreadable_from: Option<usize> = (!sound).then_some(0);
    let mut in_vain = 0;
    while at < segment.len() && at + MESSAGE_HEADER <= SEGMENT && in_vain < IN_VAIN {
        let Some((message, length, of)) = message(&segment[at..], number, &mut in_vain) else {
            unreadable_from.get_or_insert(at);
            at += 1;
            continue;
        };
        number.get_or_insert(of);
        let begins = (of * SEGMENT as u64) as i64;
        if let Some(from) = unreadable_from.take() {
            walked.gaps.push(Gap {
                lsn: begins + from as i64,
                from: offset + from as u64,
                to: offset + at as u64,
                unwritten: unwritten(&segment[from..at], of),
            });
        }
        if message.kind == CAP {
            break;
        }
        found(begins + at as i64, message);
        at += length;
    }
    // What was not looked through is told, whatever stands there.
    if let Some(from) = unreadable_from.filter(|_| in_vain >= IN_VAIN) {
        let to = offset + segment.len() as u64;
        walked.gaps.push(Gap { lsn: 0, from: offset + from as u64, to, unwritten: false });
    }
}

/// Whether nothing of the segment of this number was ever written to a stretch: it is empty, or has neither
/// kind and number of the segment where a message has them, nor just the length that a message says it has.
/// One flipped byte spoils one of the two.
fn unwritten(bytes: &[u8], segment: u64) -> bool {
    if bytes.iter().all(|byte| *byte == 0) {
        return true;
    }
    let written = numbers(segment);
    // Behind sum, kind and a length of one to nine bytes.
    let numbered = bytes.get(4).is_some_and(|kind| (1..=LAST_KIND).contains(kind))
        && (6..=14).any(|at| bytes.get(at..).is_some_and(|rest| rest.starts_with(&written)));
    let mut rest = bytes.get(5..).unwrap_or_default();
    let length = number(&mut rest);
    let fits = number(&mut rest).and_then(|_| number(&mut rest)).is_some()
        && length.is_some_and(|length| length == rest.len() as u64);
    !numbered && !fits
}

/// The message that begins here, its length, and the number of its segment. `in_vain` counts the bytes of
/// what looked like one and is none.
fn message<'a>(
    bytes: &'a [u8],
    segment: Option<u64>,
    in_vain: &mut usize,
) -> Option<(Message<&'a [u8]>, usize, u64)> {
    let mut rest = bytes;
    let sum = word(bytes.first_chunk::<4>()?);
    rest = &rest[4..];
    let (&kind, after) = rest.split_first()?;
    if kind == 0 || kind > LAST_KIND {
        return None;
    }
    rest = after;
    let length = usize::try_from(number(&mut rest)?).ok()?;
    let of = number(&mut rest)?;
    if of > LAST_SEGMENT || segment.is_some_and(|segment| segment != of) {
        return None;
    }
    let page = number(&mut rest)?;
    let body = rest.get(..length)?;
    let header = &bytes[4..bytes.len() - rest.len()];
    if crc(&[body, header]) ^ u32::MAX != sum {
        *in_vain += length;
        return None;
    }
    let whole = bytes.len() - rest.len() + length;
    Some((Message { kind, page, body }, whole, of))
}

fn apply(
    message: &Message<Vec<u8>>,
    pages: &mut BTreeMap<u64, Node>,
    names: &mut BTreeMap<Vec<u8>, u64>,
    faults: &mut Vec<String>,
) {
    let mut body = message.body.as_slice();
    match message.kind {
        FREE => drop(pages.remove(&message.page)),
        INLINE_META if message.page == META => {
            names.clear();
            while let (Some(name), Some(root)) = (bytes(&mut body), number(&mut body)) {
                names.insert(name, root);
            }
        }
        INLINE_NODE => match node(&mut body) {
            Some(node) => drop(pages.insert(message.page, node)),
            None => faults.push(format!("the page {} makes no sense", message.page)),
        },
        INLINE_LINK => {
            let Some(Node { content: Content::Leaf(leaf), .. }) = pages.get_mut(&message.page) else {
                return;
            };
            let Some((&what, rest)) = body.split_first() else { return };
            body = rest;
            match what {
                0 => {
                    if let (Some(key), Some(value)) = (bytes(&mut body), bytes(&mut body)) {
                        leaf.insert(key, value);
                    }
                }
                1 => drop(bytes(&mut body).and_then(|key| leaf.remove(&key))),
                // Merges of pages: both are read, whichever of them stands.
                _ => {}
            }
        }
        _ => {}
    }
}

fn node(body: &mut &[u8]) -> Option<Node> {
    let next = number(body)?;
    let _merging_child = number(body)?;
    let (&[_merging, prefix], rest) = body.split_first_chunk::<2>()?;
    *body = rest;
    let (lo, _hi) = (bytes(body)?, bytes(body)?);
    let prefix = lo.get(..usize::from(prefix))?.to_vec();
    let (&kind, rest) = body.split_first()?;
    *body = rest;
    let count = number(body)?;
    let keys: Vec<Vec<u8>> = (0..count).map(|_| bytes(body)).collect::<Option<_>>()?;
    let content = match kind {
        0 => Content::Leaf(keys.into_iter().map(|key| Some((key, bytes(body)?))).collect::<Option<_>>()?),
        1 => Content::Index((0..count).map(|_| number(body)).collect::<Option<_>>()?),
        _ => return None,
    };
    Some(Node { next, prefix, content })
}

/// Everything below a page, and how many pages are missing there. A page is one tree's: what another one has
/// `taken` is missing, however often it is named.
fn collect(
    root: u64,
    pages: &BTreeMap<u64, Node>,
    found: &mut BTreeMap<Vec<u8>, Vec<u8>>,
    tree: usize,
    taken: &mut BTreeMap<u64, usize>,
) -> usize {
    let (mut left, mut lost) = (vec![root], 0);
    while let Some(page) = left.pop() {
        if let Some(other) = taken.insert(page, tree) {
            lost += usize::from(other != tree);
            continue;
        }
        let Some(node) = pages.get(&page) else {
            lost += 1;
            continue;
        };
        if node.next != 0 {
            left.push(node.next);
        }
        match &node.content {
            Content::Index(children) => left.extend(children),
            Content::Leaf(leaf) => {
                found.extend(
                    leaf.iter().map(|(key, value)| ([&node.prefix, &key[..]].concat(), value.clone())),
                );
            }
        }
    }
    lost
}

#[cfg(test)]
mod tests;
