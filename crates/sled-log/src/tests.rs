use super::*;

fn file(segment: u64, messages: &[(u8, u64, u64, Vec<u8>)]) -> tempfile::NamedTempFile {
    let base = ((segment as i64).wrapping_mul(SEGMENT as i64) ^ MASK).to_le_bytes();
    let head = [base, base].concat();
    let mut bytes = [&(crc(&[&head]) ^ u32::MAX).to_le_bytes()[..], &head].concat();
    for (kind, of, page, body) in messages {
        let header = [&[*kind][..], &numbers(body.len() as u64), &numbers(*of), &numbers(*page)].concat();
        bytes.extend((crc(&[body, &header]) ^ u32::MAX).to_le_bytes());
        bytes.extend([&header[..], body].concat());
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    file
}

fn text(text: &str) -> Vec<u8> {
    [&numbers(text.len() as u64)[..], text.as_bytes()].concat()
}

/// A leaf with one row.
fn leaf(key: &str, value: &str) -> Vec<u8> {
    [&[0, 0, 0, 0][..], &text(""), &text(""), &[0, 1], &text(key), &text(value)].concat()
}

fn names(trees: &[(&str, u64)]) -> Vec<u8> {
    trees.iter().flat_map(|(name, root)| [text(name), numbers(*root)].concat()).collect()
}

#[test]
fn a_row_is_read_as_it_was_written() {
    let log = file(3, &[(INLINE_META, 3, META, names(&[("a", 2)])), (INLINE_NODE, 3, 2, leaf("k", "v"))]);
    let rows = read(log.path()).unwrap();
    assert_eq!(rows.trees[&b"a"[..]][&b"k"[..]], b"v");
    assert!(rows.faults.is_empty() && damage(log.path()).unwrap().is_empty(), "{:?}", rows.faults);
}

#[test]
fn a_segment_that_no_log_has_room_for_holds_nothing() {
    for of in [LAST_SEGMENT + 1, u64::MAX / 2, u64::MAX] {
        let log =
            file(of, &[(INLINE_META, of, META, names(&[("a", 2)])), (INLINE_NODE, of, 2, leaf("k", "v"))]);
        assert!(read(log.path()).unwrap().trees.is_empty(), "{of}");
    }
}

#[test]
fn a_page_is_of_one_tree() {
    let trees = names(&[("a", 2), ("b", 2)]);
    let log = file(0, &[(INLINE_META, 0, META, trees), (INLINE_NODE, 0, 2, leaf("k", "v"))]);
    let rows = read(log.path()).unwrap();
    let of = |name: &str| rows.trees[name.as_bytes()].len();
    assert_eq!((of("a"), of("b"), rows.faults.len()), (1, 0, 1), "{:?}", rows.faults);
}

#[test]
fn what_looks_like_messages_everywhere_is_told_in_little_time() {
    // Each beginning has a length of a quarter of a megabyte, whose sum would have to be taken.
    let begins = [&[0; 4][..], &[BATCH], &numbers(256 << 10), &numbers(0), &numbers(1)].concat();
    let log = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(log.path(), begins.repeat(SEGMENT / begins.len())).unwrap();
    let began = std::time::Instant::now();
    assert_eq!(damage(log.path()).unwrap().len(), 1);
    assert!(began.elapsed().as_secs() < 2, "{:?}", began.elapsed());
}

#[test]
fn numbers_are_read_as_they_are_written() {
    for value in [0, 1, 240, 241, 2287, 2288, 67_823, 67_824, 1 << 24, u64::MAX - 666, u64::MAX] {
        let written = numbers(value);
        let mut rest = written.as_slice();
        assert_eq!(number(&mut rest), Some(value));
        assert!(rest.is_empty(), "{value}");
    }
}
