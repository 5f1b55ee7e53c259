//! LLaMA-Factory: the sharegpt form, and `dataset_info.json`, which names its files and columns.

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::row::{IMAGE, Row, file};
use crate::options::{Side, TrainingOptions, TrainingTask};

#[derive(Serialize)]
struct Turn<T> {
    from: &'static str,
    value: T,
}

/// A conversation with its reply, or a question with a better and a worse one.
#[derive(Serialize)]
pub(super) struct Sharegpt<'a> {
    conversations: Vec<Turn<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    chosen: Option<Turn<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rejected: Option<Turn<&'a str>>,
    images: [&'a str; 1],
    edit: &'a str,
}

impl<'a> Sharegpt<'a> {
    pub(super) fn of(row: &'a Row<'a>) -> Self {
        let dialogue = row.dialogue;
        let mut conversations = vec![Turn { from: "human", value: format!("{IMAGE}{}", dialogue.question) }];
        let reply = |value: &'a String| Turn { from: "gpt", value: value.as_str() };
        let rejected = dialogue.rejected.as_ref().map(reply);
        let chosen = rejected.is_some().then(|| reply(&dialogue.answer));
        if chosen.is_none() {
            conversations.push(Turn { from: "gpt", value: dialogue.answer.clone() });
        }
        Self { conversations, chosen, rejected, images: [row.picture], edit: &row.edit }
    }
}

/// `dataset_info.json`: `reasonedit_sft`, and `reasonedit_sft_test` where something is kept for testing.
pub(super) fn index(sides: &[Side], options: &TrainingOptions) -> Value {
    let mut index = Map::new();
    for &side in sides {
        let suffix = if side == Side::Test { "_test" } else { "" };
        let name = format!("reasonedit_{}{suffix}", options.task.word());
        let mut described = json!({ "file_name": file(side, options), "formatting": "sharegpt" });
        let mut columns = json!({ "messages": "conversations", "images": "images" });
        if options.task == TrainingTask::Dpo {
            described["ranking"] = json!(true);
            columns["chosen"] = json!("chosen");
            columns["rejected"] = json!("rejected");
        }
        described["columns"] = columns;
        index.insert(name, described);
    }
    Value::Object(index)
}
