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
    let damaged = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        let verified = BackupRepository::verify_known(&path);
        assert_eq!(verified.is_err(), KnownRepositories::read(&path).is_err());
        verified.is_err_and(|error| error.to_string().contains("backups.json"))
    };
    for at in 0..whole.len() {
        assert!(damaged(&whole[..at]), "cut at {at}");
        for bit in 0..8 {
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << bit;
            // White space of another kind says the same.
            let same = KnownFile::parse(&flipped)
                .is_some_and(|file| file.repositories == before.repositories && file.sum == before.sum);
            assert!(same || damaged(&flipped), "bit {bit} of {at}");
        }
    }
    fs::remove_file(&path).unwrap();
    assert!(BackupRepository::verify_known(&path).is_ok(), "no backup was made yet");
}

#[test]
fn a_file_of_before_is_read_and_gets_a_sum() {
    let folder = tempfile::tempdir().unwrap();
    let path = told(folder.path());
    let with = fs::read(&path).unwrap();
    let mut file: serde_json::Value = serde_json::from_slice(&with).unwrap();
    assert!(file.as_object_mut().unwrap().remove("sum").is_some());
    fs::write(&path, file.to_string()).unwrap();
    assert!(BackupRepository::verify_known(&path).is_ok());
    let mut known = KnownRepositories::read(&path).unwrap();
    assert_eq!(known.of(&folder.path().join("second")), [Ulid::from_parts(7, 11)]);
    known.add(&folder.path().join("second"), Ulid::from_parts(7, 11)).unwrap();
    assert_eq!(fs::read(&path).unwrap(), with);
}
