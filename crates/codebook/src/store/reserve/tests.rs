use super::*;

#[test]
fn room_is_taken_up_once_and_given_up_where_there_is_less_than_that() {
    let folder = tempfile::tempdir().unwrap();
    let (reserve, path) = (Reserve::of(folder.path()), folder.path().join(FILE));
    let length = || fs::metadata(&path).unwrap().len();
    assert!(reserve.fill().unwrap());
    assert_eq!(length(), BYTES);
    // What was begun is ended, with the same bytes.
    let whole = fs::read(&path).unwrap();
    fs::write(&path, &whole[..100_001]).unwrap();
    assert!(reserve.fill().unwrap());
    assert_eq!(fs::read(&path).unwrap(), whole);
    // A larger store needs more for its start.
    fs::write(folder.path().join("snap.0001"), vec![0; 3 << 20]).unwrap();
    assert!(reserve.fill().unwrap());
    assert_eq!(length(), 3 * BYTES);
    give_up(folder.path(), 1);
    assert!(path.is_file());
    give_up(folder.path(), u64::MAX);
    give_up(folder.path(), u64::MAX);
    assert!(!path.exists());
}
