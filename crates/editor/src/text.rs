//! The texts of requests as they come, each repaired where it stands in its request.

use reasonedit_text::{Warning, repair, same, trimmed};

use crate::chat::{ChatPart, ChatRequest};
use crate::types::{EditRequest, QueryRequest};

/// Reads an edit's texts: see [`reasonedit_text::repair`]. Question, answer, choices and statements lose what nobody sees at
/// their edges, and an answer that is one of the choices in another form becomes that choice.
pub(crate) fn read_edit(request: &mut EditRequest) {
    let EditRequest { question, answer, reasoning, choices, author, tags, warnings, .. } = request;
    let mut texts: Vec<(String, &mut String)> =
        vec![("/question".to_owned(), question), ("/answer".to_owned(), answer)];
    texts.extend(choices.iter_mut().enumerate().map(|(i, text)| (format!("/choices/{i}"), text)));
    let statements = reasoning.iter_mut().enumerate();
    texts.extend(statements.map(|(i, of)| (format!("/reasoning/{i}/statement"), &mut of.statement)));
    for (pointer, text) in texts {
        repair(text, &pointer, warnings);
        let edges = text.len() != trimmed(text).len();
        if edges {
            *text = trimmed(text).to_owned();
        }
    }
    for (index, tag) in tags.iter_mut().enumerate() {
        repair(tag, &format!("/tags/{index}"), warnings);
    }
    if let Some(author) = author {
        repair(author, "/author", warnings);
    }
    if !choices.contains(answer)
        && let Some(choice) = choices.iter().find(|choice| same(choice, answer))
    {
        answer.clone_from(choice);
    }
}

/// Reads a query's texts: see [`reasonedit_text::repair`].
pub(crate) fn read_query(request: &mut QueryRequest) {
    let QueryRequest { question, choices, warnings, .. } = request;
    repair(question, "/question", warnings);
    read_choices(choices, warnings);
}

/// Reads a conversation's texts: see [`reasonedit_text::repair`].
pub(crate) fn read_chat(request: &mut ChatRequest) {
    let ChatRequest { turns, choices, warnings, .. } = request;
    for (t, turn) in turns.iter_mut().enumerate() {
        for (p, part) in turn.content.iter_mut().enumerate() {
            if let ChatPart::Text(text) = part {
                repair(text, &crate::validate::part(t, p), warnings);
            }
        }
    }
    read_choices(choices, warnings);
}

/// Statements as an edit would have them.
pub(crate) fn read_statements(statements: &[String]) -> Vec<String> {
    let read = |statement: &String| {
        let mut statement = statement.clone();
        repair(&mut statement, "", &mut Vec::new());
        trimmed(&statement).to_owned()
    };
    statements.iter().map(read).collect()
}

fn read_choices(choices: &mut [String], warnings: &mut Vec<Warning>) {
    for (index, choice) in choices.iter_mut().enumerate() {
        repair(choice, &format!("/choices/{index}"), warnings);
    }
}
