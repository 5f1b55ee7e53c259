use super::*;

fn spool(folder: &Path) -> (Spool, Arc<Keyring>) {
    let keys = Keyring::open(&folder.join("keys"), None).unwrap();
    (Spool::open(&folder.join("jobs"), Arc::clone(&keys)).unwrap(), keys)
}

fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder.join("jobs"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

async fn receive(spool: &Spool, pieces: &[&[u8]]) -> UploadWriter {
    let mut upload = spool.receive().await.unwrap();
    for piece in pieces {
        upload.write(piece).await.unwrap();
    }
    upload
}

fn read(file: &UploadFile) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.open()?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[tokio::test]
async fn uploads_are_kept_whole_or_not_at_all() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, _) = spool(folder.path());
    drop(receive(&spool, &[b"abc", b"def"]).await);
    drop(receive(&spool, &[b"abc"]).await.finish().await.unwrap());
    assert!(files(folder.path()).is_empty(), "nothing is left of any");

    let upload = receive(&spool, &[b"abc", b"", b"de"]).await.finish().await.unwrap();
    assert_eq!((upload.digest(), upload.bytes()), (blake3::hash(b"abcde"), 5));
    assert_eq!(read(&upload.file()).unwrap(), b"abcde");
    let job = Ulid::new();
    spool.keep(upload, job).unwrap();
    assert_eq!(read(&spool.file(job)).unwrap(), b"abcde");
    assert_eq!(spool.file(job).open().unwrap().length().unwrap(), 5);
    assert_eq!(files(folder.path()), [format!("{job}.sealed")]);
}

#[test]
fn what_a_crash_left_is_removed_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, _) = spool(folder.path());
    let (kept, gone, before) = (Ulid::new(), Ulid::new(), Ulid::new());
    for name in
        [&format!("{kept}.sealed"), &format!("{gone}.sealed"), &before.to_string(), ".new-a1", "notes.txt"]
    {
        fs::write(folder.path().join("jobs").join(name), b"x").unwrap();
    }
    spool.clean(&BTreeSet::from([kept])).unwrap();
    assert_eq!(files(folder.path()), [format!("{kept}.sealed"), "notes.txt".to_owned()]);
    spool.remove(kept);
    spool.remove(kept);
    assert_eq!(files(folder.path()), ["notes.txt"]);
}

/// As a version of before left it: it is read as it is, and written over when its job has ended.
#[test]
fn an_upload_that_lies_as_it_came_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, _) = spool(folder.path());
    let job = Ulid::new();
    let path = folder.path().join("jobs").join(job.to_string());
    fs::write(&path, b"as it came").unwrap();
    let open = File::open(&path).unwrap();
    assert_eq!(read(&spool.file(job)).unwrap(), b"as it came");
    spool.remove(job);
    assert!(files(folder.path()).is_empty());
    let mut left = Vec::new();
    (&open).read_to_end(&mut left).unwrap();
    assert_eq!(left, [0; 10]);
}

/// Whatever becomes of an upload, what a copy of its file still has can't be read.
#[tokio::test]
async fn the_key_goes_with_the_upload() {
    let folder = tempfile::tempdir().unwrap();
    let secret = "effusion at the left base. ".repeat(5000);
    let copy = folder.path().join("copy");
    let copied = |from: &Path| fs::copy(from, &copy).unwrap();
    let mut others = Vec::new();
    for round in 0..4 {
        let (spool, keys) = spool(folder.path());
        let mut writer = receive(&spool, &[secret.as_bytes()]).await;
        let job = Ulid::new();
        match round {
            // The client has gone.
            0 => {
                writer.writer.flush().await.unwrap();
                copied(writer.file.path());
                drop(writer);
            }
            1 => {
                let upload = writer.finish().await.unwrap();
                copied(upload.file.path());
                drop(upload);
            }
            2 => {
                spool.keep(writer.finish().await.unwrap(), job).unwrap();
                copied(&spool.file(job).path);
                spool.remove(job);
            }
            // The process has died meanwhile.
            _ => {
                writer.writer.flush().await.unwrap();
                copied(writer.file.path());
                writer.key.id = None;
                writer.file.disable_cleanup(true);
                drop(writer);
                drop(keys);
                drop(spool);
                let (spool, keys) = self::spool(folder.path());
                spool.clean(&BTreeSet::new()).unwrap();
                others.push(key_in(&copy).unwrap());
                assert!(others.iter().all(|id| !keys.has(*id)));
                continue;
            }
        }
        others.push(key_in(&copy).unwrap());
        let stored = fs::read(&copy).unwrap();
        assert!(stored.len() > 64 << 10 && !stored.windows(8).any(|part| part == b"effusion"), "{round}");
        let left = UploadFile { path: copy.clone(), keys: Arc::clone(&keys), sealed: true };
        // It goes beside the runtime.
        for _ in 0..500 {
            if !keys.has(others[round]) {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        assert_eq!(read(&left).unwrap_err().kind(), io::ErrorKind::InvalidData, "{round}");
        assert!(files(folder.path()).is_empty());
    }
}

/// A byte that is flipped, an end that is cut: told, and not taken for what was sent.
#[tokio::test]
async fn an_upload_that_has_decayed_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (spool, _) = spool(folder.path());
    let job = Ulid::new();
    let upload = receive(&spool, &[&vec![7; 100_000]]).await.finish().await.unwrap();
    spool.keep(upload, job).unwrap();
    let path = spool.file(job).path;
    let whole = fs::read(&path).unwrap();
    let harmed = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        read(&spool.file(job)).unwrap_err().kind()
    };
    for at in [0, 15, 16, 40, 70_000, whole.len() - 1] {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        assert_eq!(harmed(&bytes), io::ErrorKind::InvalidData, "{at}");
    }
    for length in [0, 10, 20, 60_000, 65_571, whole.len() - 1] {
        assert_eq!(harmed(&whole[..length]), io::ErrorKind::InvalidData, "{length}");
    }
}
