use super::*;

#[test]
fn what_a_disk_says_is_told_apart_however_it_is_wrapped() {
    // As tempfile words it.
    let path_around = |number| {
        let inner = std::io::Error::from_raw_os_error(number);
        std::io::Error::new(inner.kind(), format!("{inner} at path \"/data/.new-abc\""))
    };
    for (number, why) in [
        (28, Unwritable::Full),
        (122, Unwritable::Full),
        (27, Unwritable::Full),
        (30, Unwritable::ReadOnly),
        (2, Unwritable::Moved),
        (23, Unwritable::TooManyFiles),
        (24, Unwritable::TooManyFiles),
    ] {
        assert_eq!(Unwritable::of(&std::io::Error::from_raw_os_error(number)), Some(why));
        assert_eq!(Unwritable::of(&path_around(number)), Some(why));
    }
    assert_eq!(Unwritable::of(&std::io::Error::from_raw_os_error(5)), None);
}
