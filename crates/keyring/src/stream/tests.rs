use std::io::Cursor;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::block::Lifetime;

fn keys() -> (Arc<Keyring>, KeyId) {
    let (keys, id) = (Keyring::ephemeral().unwrap(), KeyId::of("upload", &[b"1"]));
    keys.ensure_for(&[id], Lifetime::Passing).unwrap();
    (keys, id)
}

fn plain(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 % 251) as u8).collect()
}

fn sealed(keys: &Keyring, id: KeyId, plain: &[u8], pieces: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let mut sealer = keys.seal_stream(id, &mut out).unwrap();
    for piece in plain.chunks(pieces) {
        sealer.push(piece, &mut out).unwrap();
    }
    sealer.finish(&mut out).unwrap();
    out
}

fn read(keys: &Keyring, id: KeyId, sealed: &[u8]) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    keys.open_stream(id, Cursor::new(sealed))?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[test]
fn a_stream_of_any_length_comes_back_and_shows_nothing() {
    let (keys, id) = keys();
    for length in [0, 1, 100, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, 3 * PIECE + 17] {
        let plain = plain(length);
        for pieces in [1000, PIECE, 5 * PIECE] {
            let sealed = sealed(&keys, id, &plain, pieces);
            assert_eq!(sealed.len(), NONCE + length + TAG * length.div_ceil(PIECE).max(1));
            assert_eq!(read(&keys, id, &sealed).unwrap(), plain, "{length}");
            if length >= 100 {
                assert!(!sealed.windows(50).any(|part| part == &plain[..50]));
            }
            let reader = keys.open_stream(id, Cursor::new(&sealed)).unwrap();
            assert_eq!(reader.length(), length as u64);
        }
    }
}

#[test]
fn what_is_changed_cut_or_moved_is_found() {
    let (keys, id) = keys();
    let plain = plain(3 * PIECE + 500);
    let whole = sealed(&keys, id, &plain, 7000);
    for at in (0..whole.len()).step_by(4001).chain([whole.len() - 1]) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        assert_eq!(read(&keys, id, &bytes).unwrap_err().kind(), io::ErrorKind::InvalidData, "{at}");
    }
    // Also at the border of a piece.
    let borders = (0..4).map(|piece| NONCE + piece * SEALED);
    for length in borders.chain([0, 5, NONCE, NONCE + 3, whole.len() - 1]) {
        assert!(read(&keys, id, &whole[..length]).is_err(), "{length}");
    }
    let mut swapped = whole.clone();
    let (first, second) = swapped[NONCE..].split_at_mut(SEALED);
    first.swap_with_slice(&mut second[..SEALED]);
    assert!(read(&keys, id, &swapped).is_err());
    let other = [&whole[..], &[0; 40]].concat();
    assert!(read(&keys, id, &other).is_err());
    // Before the end nothing is taken for it.
    let cut = &whole[..NONCE + 2 * SEALED];
    let mut reader = keys.open_stream(id, Cursor::new(cut)).unwrap();
    let mut begin = vec![0; PIECE];
    reader.read_exact(&mut begin).unwrap();
    assert_eq!(begin, plain[..PIECE]);
    reader.seek(SeekFrom::End(0)).unwrap();
    assert!(reader.read(&mut begin).is_err());
}

#[test]
fn a_stream_goes_with_its_key() {
    let (keys, id) = keys();
    let sealed = sealed(&keys, id, b"a picture", 4);
    keys.forget(&[id]).unwrap();
    assert_eq!(read(&keys, id, &sealed).unwrap_err().kind(), io::ErrorKind::InvalidData);
}

proptest! {
    #[test]
    fn any_place_can_be_read(length in 0usize..200_000, places in prop::collection::vec((0usize..200_000, 0usize..90_000), 1..8)) {
        let (keys, id) = keys();
        let plain = plain(length);
        let sealed = sealed(&keys, id, &plain, 10_000);
        let mut reader = keys.open_stream(id, Cursor::new(&sealed)).unwrap();
        for (at, count) in places {
            reader.seek(SeekFrom::Start(at as u64)).unwrap();
            let mut bytes = Vec::new();
            reader.by_ref().take(count as u64).read_to_end(&mut bytes).unwrap();
            let from = at.min(length);
            prop_assert_eq!(&bytes, &plain[from..(from + count).min(length)]);
        }
    }
}
