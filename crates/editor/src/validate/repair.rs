//! The texts of requests as they come, each repaired where it stands in its request.

use reasonedit_text::{Warning, repair, same, trimmed};

use crate::types::{ChatPart, ChatRequest, EditRequest, QueryRequest};

/// Repairs an edit's texts. Question, answer, choices and statements lose what nobody sees at their edges,
/// and an answer that is one of the choices in another form becomes that choice.
pub(crate) fn edit(request: &mut EditRequest) {
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

/// Repairs a query's texts.
pub(crate) fn query(request: &mut QueryRequest) {
    let QueryRequest { question, choices, warnings, .. } = request;
    repair(question, "/question", warnings);
    all_choices(choices, warnings);
}

/// Repairs a conversation's texts.
pub(crate) fn chat(request: &mut ChatRequest) {
    let ChatRequest { turns, choices, warnings, .. } = request;
    for (t, turn) in turns.iter_mut().enumerate() {
        for (p, part) in turn.content.iter_mut().enumerate() {
            if let ChatPart::Text(text) = part {
                repair(text, &super::part(t, p), warnings);
            }
        }
    }
    all_choices(choices, warnings);
}

/// Statements as an edit would have them.
pub(crate) fn statements(statements: &[String]) -> Vec<String> {
    let read = |statement: &String| {
        let mut statement = statement.clone();
        repair(&mut statement, "", &mut Vec::new());
        trimmed(&statement).to_owned()
    };
    statements.iter().map(read).collect()
}

fn all_choices(choices: &mut [String], warnings: &mut Vec<Warning>) {
    for (index, choice) in choices.iter_mut().enumerate() {
        repair(choice, &format!("/choices/{index}"), warnings);
    }
}
