use super::*;

fn told(folder: &Path) -> PathBuf {
    let path = folder.join("backups.json");
    let mut known = KnownRepositories::read(&path).unwrap();
    for name in ["first", "second"] {
        known.add(&folder.join(name), Ulid::from_parts(7, 11)).unwrap();
    }
    path
}

#[test]
fn a_file_with_any_bit_flipped_or_cut_anywhere_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let path = told(folder.path());
    let whole = fs::read(&path).unwrap();
    let before = KnownRepositories::read(&path).unwrap().file;
    for at in 0..whole.len() {
        assert!(KnownFile::parse(&whole[..at]).is_none(), "cut at {at}");
        for bit in 0..8 {
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << bit;
            // White space of another kind says the same.
            let same = |file: KnownFile| file.repositories == before.repositories && file.sum == before.sum;
            assert!(KnownFile::parse(&flipped).is_none_or(same), "bit {bit} of {at}");
        }
    }
    // A letter of a folder's name, which is JSON as before.
    let at = whole.windows(6).position(|bytes| bytes == b"second").unwrap();
    let mut flipped = whole;
    flipped[at] ^= 1;
    fs::write(&path, flipped).unwrap();
    for read in [verify_known(&path), KnownRepositories::read(&path).map(drop)] {
        let told = read.unwrap_err().to_string();
        assert!(told.contains("backups.json") && told.contains("damaged"), "{told}");
    }
    fs::remove_file(&path).unwrap();
    assert!(verify_known(&path).is_ok(), "no backup was made yet");
}

#[test]
fn a_file_of_before_is_read_and_gets_a_sum() {
    let folder = tempfile::tempdir().unwrap();
    let path = told(folder.path());
    let with = fs::read(&path).unwrap();
    let mut file: serde_json::Value = serde_json::from_slice(&with).unwrap();
    assert!(file.as_object_mut().unwrap().remove("sum").is_some());
    fs::write(&path, file.to_string()).unwrap();
    assert!(verify_known(&path).is_ok());
    let mut known = KnownRepositories::read(&path).unwrap();
    assert_eq!(known.of(&folder.path().join("second")), [Ulid::from_parts(7, 11)]);
    known.add(&folder.path().join("second"), Ulid::from_parts(7, 11)).unwrap();
    assert_eq!(fs::read(&path).unwrap(), with);
}
