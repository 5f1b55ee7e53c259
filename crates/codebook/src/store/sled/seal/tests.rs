use super::*;

#[test]
fn what_was_sealed_is_read_whatever_became_of_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let (seal, none) = Seal::open(folder.path()).unwrap();
    assert_eq!(none, None);
    let (ward, other): (CodebookName, CodebookName) = ("ward-3".parse().unwrap(), "a".parse().unwrap());
    let mut sealed = Sealed::default();
    sealed.cut.insert(other.clone(), (7, 5));
    seal.begin(&sealed).unwrap();
    for n in 1..=3 {
        seal.record(&ward, n).unwrap();
    }
    seal.record(&other, 6).unwrap();
    sealed.events = [(ward.clone(), 3), (other.clone(), 6)].into();
    let read = || Seal::open(folder.path()).unwrap().1.unwrap();
    assert_eq!(read(), sealed);
    let path = folder.path().join(FILE);
    let whole = fs::read(&path).unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    let last = whole[..whole.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    for end in last..whole.len() {
        fs::write(&path, &whole[..end]).unwrap();
        let cut = read();
        assert!(!cut.damaged && !cut.events.contains_key(&other), "{end}");
        assert_eq!(cut.events[&ward], 3);
    }
    for at in 0..last {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert!(read().damaged, "{at}");
    }
}
