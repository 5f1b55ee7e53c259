//! Rows in packs. A pack is a line that says its form and the tree of its rows, and then the rows: the
//! lengths of key and value, key, value.
//!
//! Where a pack ends is decided by each row alone, by a hash of its key: rows that are what they were make
//! the same packs again, whatever came or went elsewhere, and what has the same bytes is kept once.

use reasonedit_codebook::DumpedRow;

/// Bytes of a pack on average. What is new in a tree comes to its last pack, as a rule, so that the next
/// backup writes about as much again for each tree: few, for little; but each pack is a file to be synced.
const TARGET: u64 = 128 << 10;
/// Bytes that a pack is never longer than, but for a single row that is.
const MOST: usize = 4 << 20;
/// Before the name of the tree.
const FORM: &str = "reasonedit rows 1 ";
/// Lengths of key and value, four bytes each, little endian.
const LENGTHS: usize = 8;

/// Whether a pack ends behind a row: the more bytes it has, the likelier, so that packs come to `TARGET`
/// bytes on average whatever the rows are.
fn ends_behind(row: &DumpedRow<'_>) -> bool {
    let chance =
        blake3::hash(row.key).as_bytes().first_chunk::<8>().map_or(0, |first| u64::from_le_bytes(*first));
    let bytes = (LENGTHS + row.key.len() + row.value.len()) as u128;
    u128::from(chance) * u128::from(TARGET) < bytes << 64
}

/// Cuts rows into packs.
#[derive(Debug, Default)]
pub(crate) struct Packer {
    pack: Vec<u8>,
    tree: String,
}

impl Packer {
    /// Takes the next row, in the order of the dump, and hands on the packs that it ends.
    ///
    /// # Errors
    /// What `emit` says.
    pub(crate) fn add<E>(
        &mut self,
        row: &DumpedRow<'_>,
        emit: &mut dyn FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let bytes = LENGTHS + row.key.len() + row.value.len();
        if self.tree != row.tree || self.pack.len() + bytes > MOST {
            self.end(emit)?;
        }
        if self.pack.is_empty() {
            row.tree.clone_into(&mut self.tree);
            self.pack.extend_from_slice(FORM.as_bytes());
            self.pack.extend_from_slice(row.tree.as_bytes());
            self.pack.push(b'\n');
        }
        for part in [row.key, row.value] {
            self.pack.extend_from_slice(&(part.len() as u32).to_le_bytes());
        }
        self.pack.extend_from_slice(row.key);
        self.pack.extend_from_slice(row.value);
        if ends_behind(row) { self.end(emit) } else { Ok(()) }
    }

    /// Hands on what is left.
    ///
    /// # Errors
    /// What `emit` says.
    pub(crate) fn end<E>(&mut self, emit: &mut dyn FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        if self.pack.is_empty() {
            return Ok(());
        }
        let done = emit(&self.pack);
        self.pack.clear();
        done
    }
}

/// Reads the rows of a pack; `None` behind a row is where it is no pack.
pub(crate) fn rows(pack: &[u8]) -> impl Iterator<Item = Option<DumpedRow<'_>>> {
    let head = pack.iter().position(|byte| *byte == b'\n').map(|end| pack.split_at(end));
    let tree = head.and_then(|(line, _)| std::str::from_utf8(line).ok()?.strip_prefix(FORM));
    let mut rest = head.map_or(pack, |(_, rest)| &rest[1..]);
    let mut failed = false;
    std::iter::from_fn(move || {
        if failed || (rest.is_empty() && tree.is_some()) {
            return None;
        }
        let row = tree.and_then(|tree| row(tree, &mut rest));
        failed = row.is_none();
        Some(row)
    })
}

fn row<'a>(tree: &'a str, rest: &mut &'a [u8]) -> Option<DumpedRow<'a>> {
    let (lengths, behind) = rest.split_first_chunk::<LENGTHS>()?;
    let [key, value] = [0, 4]
        .map(|at| lengths[at..].first_chunk::<4>().map_or(0, |length| u32::from_le_bytes(*length)) as usize);
    let (key, behind) = behind.split_at_checked(key)?;
    let (value, behind) = behind.split_at_checked(value)?;
    *rest = behind;
    Some(DumpedRow { tree, key, value })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::convert::Infallible;

    use super::*;

    fn packs(rows: &[(&str, u32, usize)]) -> Vec<Vec<u8>> {
        let (mut packer, mut packs) = (Packer::default(), Vec::new());
        let mut emit = |pack: &[u8]| {
            packs.push(pack.to_vec());
            Ok::<_, Infallible>(())
        };
        for (tree, key, length) in rows {
            let value = vec![*key as u8; *length];
            let row = DumpedRow { tree, key: &key.to_be_bytes(), value: &value };
            packer.add(&row, &mut emit).unwrap();
        }
        packer.end(&mut emit).unwrap();
        packs
    }

    fn numbers(packs: &[Vec<u8>]) -> Vec<(String, u32, usize)> {
        let all = packs.iter().flat_map(|pack| rows(pack));
        all.map(|row| {
            let row = row.unwrap();
            (row.tree.to_owned(), u32::from_be_bytes(row.key.try_into().unwrap()), row.value.len())
        })
        .collect()
    }

    #[test]
    fn rows_come_back_in_their_order_and_packs_are_about_as_long_as_meant() {
        let rows: Vec<(&str, u32, usize)> = (0..3000)
            .map(|n| (if n < 1500 { "edits" } else { "vectors" }, n, (n as usize * 37) % 5_000))
            .collect();
        let packs = packs(&rows);
        let back = numbers(&packs);
        assert_eq!(back.len(), rows.len());
        assert!(back.iter().zip(&rows).all(|(a, b)| (a.0.as_str(), a.1, a.2) == *b));
        assert!(packs.iter().all(|pack| pack.len() <= MOST + 5_000));
        let mean = packs.iter().map(Vec::len).sum::<usize>() / packs.len();
        assert!((64_000..256_000).contains(&mean), "{mean}");
        assert!(self::packs(&[]).is_empty());
        let long = self::packs(&[("edits", 1, 5 << 20), ("edits", 2, 10)]);
        assert_eq!(numbers(&long).len(), 2, "a row that is longer than a pack may be is a pack");
    }

    #[test]
    fn what_comes_goes_or_changes_somewhere_leaves_the_packs_elsewhere_as_they_were() {
        let rows: Vec<(&str, u32, usize)> = (0..4000).map(|n| ("edits", n, 5000)).collect();
        let before: BTreeSet<Vec<u8>> = packs(&rows).into_iter().collect();
        for change in 0..4 {
            let mut rows = rows.clone();
            match change {
                0 => drop(rows.remove(2000)),
                1 => rows.insert(2000, ("edits", 70_000, 5000)),
                2 => rows[2000].2 = 6000,
                _ => rows.push(("edits", 70_000, 5000)),
            }
            let new = packs(&rows).into_iter().filter(|pack| !before.contains(pack)).count();
            assert!((1..=2).contains(&new), "{change}: {new} of {}", before.len());
        }
    }

    #[test]
    fn what_is_no_pack_is_told() {
        let pack = &packs(&[("edits", 1, 100), ("edits", 2, 100)])[0];
        for cut in 1..pack.len() {
            let read: Vec<_> = rows(&pack[..cut]).collect();
            let whole = pack.len() - 112;
            let sound = [whole, FORM.len() + 6].contains(&cut);
            assert_eq!(read.iter().any(Option::is_none), !sound, "{cut}");
        }
        assert!(rows(b"reasonedit rows 2 edits\n").next().unwrap().is_none());
        assert!(rows(b"").next().unwrap().is_none());
    }
}
