//! How the world speaks: noun phrases, statements, rules and questions, each in several wordings.
//!
//! Sentences are properly written (capital first letter, full stop or question mark).

mod phrase;
mod question;
mod statement;
#[cfg(test)]
mod tests;

pub use phrase::{SINGLE_REFERENCES, lower_first, noun_phrase, sentence};
pub use question::{
    attribute_question, class_yes_no, count_question, describe_question, kind_question, name_yes_no,
    rule_question,
};
pub use statement::{
    answer_entry, existence, fact, perception, phrase_perception, rule_sentence, statement_question,
    without_stop,
};
