use super::*;

#[test]
fn a_picture_takes_its_first_text_that_is_new() {
    let mut set = SampleSet::new("x");
    let mut add = |picture: &'static [u8], texts: &[&str]| {
        let image = ImageSource::from(bytes::Bytes::from_static(picture));
        set.add(image, texts.iter().map(|text| (*text).to_owned()))
    };
    assert!(add(b"a", &["What is it?", "It is red."]));
    assert!(add(b"b", &["What is it?", "It is blue."]));
    assert!(!add(b"b", &["Another?"]), "the picture was there");
    // What differs by case or outer space is the same.
    assert!(!add(b"c", &["what is it?", "It is blue. "]));
    assert!(!add(b"c", &[" "]));
    // A text that found no place is still to be had.
    assert!(add(b"c", &["Another?"]));
    let texts: Vec<&str> = set.samples.iter().map(|sample| sample.text.as_str()).collect();
    assert_eq!(texts, ["What is it?", "It is blue.", "Another?"]);
    assert_eq!((set.len(), set.is_empty()), (3, false));
}

#[test]
fn facts_are_five_hundred_different_sentences() {
    let facts: HashSet<&str> = plain_facts().collect();
    assert_eq!(facts.len(), 500);
    assert_eq!(plain_facts().count(), 500);
    assert!(facts.iter().all(|fact| fact.ends_with('.') && fact.len() < 80));
}
