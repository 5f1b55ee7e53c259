//! Texts of people: when two are the same, what unreadable characters were meant, and where one statement of
//! a rationale ends and the next begins.
//!
//! ```
//! use reasonedit_text::{repair, same, split_text};
//!
//! // Composed or not, with no-break spaces or without: one text.
//! assert!(same("n\u{e6}vus caf\u{e9}", " n\u{e6}vus\u{a0}cafe\u{301}"));
//!
//! // A letter of Windows-1252 that a wrong encoding made a control character is read as what it was, and told.
//! let (mut text, mut warnings) = ("lesion\u{92}s edge".to_owned(), Vec::new());
//! repair(&mut text, "/question", &mut warnings);
//! assert_eq!(text, "lesion\u{2019}s edge");
//! assert_eq!(warnings[0].code, "windows_1252_read");
//!
//! let split = split_text("1. The border is irregular (ca. 6 mm).\n2. It is dark. It bleeds.");
//! assert_eq!(split.statements, ["The border is irregular (ca. 6 mm).", "It is dark.", "It bleeds."]);
//! assert_eq!(split.markers, ["1.", "2."]);
//! ```

mod canonical;
mod repair;
mod split;
mod warning;

pub use canonical::{canonical, is_line_break, is_visible, same, searchable, trimmed};
pub use repair::{repair, unreadable};
pub use split::{SplitText, split_sentences, split_sentences_formerly, split_text};
pub use warning::Warning;
