use std::collections::BTreeSet;

use super::*;

#[test]
fn seeds_by_ids_differ_by_edit_purpose_and_index() {
    let of = |n| EditSeeds { rules: Seeds::Ids, edit: EditId(ulid::Ulid::from_parts(1, n)) };
    let seeds = [
        of(1).augmentation(b"picture", None, 0, 0),
        of(2).augmentation(b"picture", None, 0, 0),
        of(1).paraphrase("text", 0, 0),
        of(1).augmentation(b"picture", None, 1, 0),
    ];
    assert_eq!(BTreeSet::from(seeds).len(), 4);
    // As they were for the keys that are stored.
    assert_eq!(seeds[0], 11_378_322_485_718_025_604);
    assert_eq!(of(1).paraphrase("text", 3, 1), seeds[2].wrapping_add(3));
}

#[test]
fn seeds_by_content_differ_by_what_they_are_about_alone() {
    let of = |n| EditSeeds { rules: Seeds::Content, edit: EditId(ulid::Ulid::from_parts(1, n)) };
    let part = |width| Some(PixelBox { x: 1, y: 2, width, height: 4 });
    let seeds = [
        of(1).augmentation(b"picture", None, 0, 0),
        of(1).augmentation(b"other", None, 0, 0),
        of(1).augmentation(b"picture", part(3), 0, 0),
        of(1).augmentation(b"picture", part(5), 0, 0),
        of(1).augmentation(b"picture", None, 0, 1),
        of(1).paraphrase("text", 0, 0),
        of(1).paraphrase("other", 0, 0),
        of(1).paraphrase("text", 0, 1),
    ];
    assert_eq!(BTreeSet::from(seeds).len(), 8);
    assert_eq!(of(1).augmentation(b"picture", part(3), 0, 1), of(2).augmentation(b"picture", part(3), 7, 1));
    assert_eq!(of(1).paraphrase("text", 0, 1), of(2).paraphrase("text", 5, 1));
}
