//! Texts of people.

use reasonedit_text::{
    canonical, is_visible, repair, same, searchable, split_sentences_formerly, split_text, trimmed,
    unreadable,
};

use crate::input::Input;

/// Any text can be compared, repaired and split; a statement is a piece of it.
pub(crate) fn text(data: &[u8]) {
    let text = &*Input(data).text();
    let once = canonical(text).into_owned();
    assert_eq!(canonical(&once), once, "{text:?}");
    assert!(same(text, &once) && is_visible(text) != once.is_empty(), "{text:?}");
    let trim = trimmed(text);
    assert!(text.contains(trim) && trimmed(trim) == trim);
    let _ = (searchable(text), unreadable(text), split_sentences_formerly(text));

    // Lines that were wrapped are put together: a statement stands in the text, but for blanks.
    let printed = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
    let plain = printed(text);
    let mut rest = &*plain;
    let split = split_text(text);
    for statement in &split.statements {
        let statement = printed(statement);
        let Some(at) = rest.find(&statement) else { panic!("{statement:?} is not in {rest:?} of {text:?}") };
        rest = &rest[at + statement.len()..];
    }
    assert!(split.statements.iter().all(|statement| !statement.trim().is_empty()), "{text:?}");
    let _ = split.warnings("/reasoning");

    let mut repaired = text.to_owned();
    let mut warnings = Vec::new();
    repair(&mut repaired, "/a", &mut warnings);
    let (again, told) = (repaired.clone(), warnings.len());
    repair(&mut repaired, "/a", &mut warnings);
    assert_eq!((repaired, warnings.len()), (again, told), "what was repaired is repaired again: {text:?}");
}
