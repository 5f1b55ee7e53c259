//! `edit`: what is right, and why.

use reasonedit_editor::{CallContext, EditRequest, StatementInput};
use reasonedit_imaging::DrawnBox;
use serde_json::{Value, json};

use super::batch;
use super::target::Target;
use crate::args::EditArgs;
use crate::error::{CliError, Result};
use crate::picture::Picture;
use crate::{output, render, service, shape};

/// Makes the edit and prints what became of it.
///
/// # Errors
/// Wrong options, a picture that can't be read, an edit that is refused.
pub(crate) async fn run(args: &EditArgs) -> Result<()> {
    if let Some(file) = &args.batch {
        return batch::run(file, args).await;
    }
    let said = Said::of(args)?;
    let value = match Target::open(&args.target).await? {
        Target::Remote(client) => client.post("edits", &said.body(args)).await?,
        Target::Local(local, codebook) => {
            let view = local.editor.edit(&codebook, said.request(args), CallContext::default()).await;
            shape::edit(&view.map_err(service::refused)?)
        }
    };
    if args.target.json { output::print_json(&value) } else { output::print(&render::edit(&value)) }
}

/// What an edit says by the options, read and checked.
pub(super) struct Said {
    picture: Picture,
    question: String,
    answer: String,
    reasoning: Vec<StatementInput>,
    metadata: Value,
}

impl Said {
    /// # Errors
    /// Wrong options, a picture that can't be read.
    pub(super) fn of(args: &EditArgs) -> Result<Self> {
        // clap asks for all three where there is no batch.
        let (Some(image), Some(question), Some(answer)) = (&args.image, &args.question, &args.answer) else {
            return Err(CliError::Usage("--image, --question and --answer are needed".to_owned()));
        };
        Ok(Self {
            picture: Picture::read(image)?,
            question: question.clone(),
            answer: answer.clone(),
            reasoning: statements(&args.reasoning, &args.evidence)?,
            metadata: metadata(args.metadata.as_deref())?,
        })
    }

    /// As a service takes it.
    pub(super) fn body(&self, args: &EditArgs) -> Value {
        let mut body = json!({
            "image": self.picture.to_json(), "question": self.question, "answer": self.answer,
            "reasoning": sent(&self.reasoning), "choices": args.choices, "tags": args.tags,
            "metadata": self.metadata, "verify": !args.no_verify,
        });
        if let Some(author) = &args.author {
            body["author"] = json!(author);
        }
        if !args.supersedes.is_empty() {
            body["supersedes"] = json!(args.supersedes);
        }
        if let Some(wanted) = args.on_conflict {
            body["on_conflict"] = json!(wanted);
        }
        body
    }

    /// As the editor takes it.
    pub(super) fn request(self, args: &EditArgs) -> EditRequest {
        EditRequest {
            warnings: Vec::new(),
            image: self.picture.into_source(),
            question: self.question,
            answer: self.answer,
            reasoning: self.reasoning,
            choices: args.choices.clone(),
            author: args.author.clone(),
            tags: args.tags.clone(),
            metadata: self.metadata,
            verify: !args.no_verify,
            supersedes: args.supersedes.clone(),
            on_conflict: args.on_conflict,
            idempotency: None,
        }
    }
}

/// A JSON object, empty when none is given.
fn metadata(text: Option<&str>) -> Result<Value> {
    let Some(text) = text else { return Ok(json!({})) };
    serde_json::from_str::<Value>(text)
        .ok()
        .filter(Value::is_object)
        .ok_or_else(|| CliError::Usage(format!("--metadata {text}: a JSON object is expected")))
}

/// Statements as a service takes them.
pub(super) fn sent(statements: &[StatementInput]) -> Value {
    let one = |said: &StatementInput| match said.evidence.as_slice() {
        [] => json!({ "statement": said.statement }),
        drawn => json!({ "statement": said.statement, "evidence": drawn }),
    };
    statements.iter().map(one).collect()
}

/// Statements with the boxes given for them as `N:x,y,width,height`.
pub(super) fn statements(texts: &[String], boxes: &[String]) -> Result<Vec<StatementInput>> {
    let mut statements: Vec<StatementInput> =
        texts.iter().map(|text| StatementInput { statement: text.clone(), evidence: Vec::new() }).collect();
    for given in boxes {
        let (number, area) = evidence(given)
            .ok_or_else(|| CliError::Usage(format!("--evidence {given}: N:X,Y,WIDTH,HEIGHT is expected")))?;
        let statement =
            number.checked_sub(1).and_then(|index| statements.get_mut(index)).ok_or_else(|| {
                CliError::Usage(format!(
                    "--evidence {given}: there are {} statements, numbered from 1",
                    texts.len()
                ))
            })?;
        statement.evidence.push(area);
    }
    Ok(statements)
}

fn evidence(given: &str) -> Option<(usize, DrawnBox)> {
    let (number, area) = given.split_once(':')?;
    let number_of = |part: &str| part.trim().parse().ok().filter(|number: &f64| number.is_finite());
    let parts: Vec<f64> = area.split(',').map(number_of).collect::<Option<_>>()?;
    let &[x, y, width, height] = parts.as_slice() else { return None };
    Some((number.trim().parse().ok()?, DrawnBox { x, y, width, height }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    #[test]
    fn boxes_go_to_the_statement_of_their_number() {
        let made = statements(&strings(&["a", "b"]), &strings(&["2:1,2,3,4", "2: 5, 6,7,8"])).unwrap();
        assert!(made[0].evidence.is_empty());
        let boxes: Vec<_> = made[1].evidence.iter().map(|b| (b.x, b.y, b.width, b.height)).collect();
        assert_eq!(boxes, [(1.0, 2.0, 3.0, 4.0), (5.0, 6.0, 7.0, 8.0)]);
    }

    #[test]
    fn boxes_that_are_none_are_refused() {
        for given in [
            "1",
            "1:2",
            "1:1,2,3",
            "1:1,2,3,4,5",
            "x:1,2,3,4",
            "1:a,2,3,4",
            "1:nan,2,3,4",
            "0:1,2,3,4",
            "3:1,2,3,4",
        ] {
            let error = statements(&strings(&["a", "b"]), &strings(&[given])).unwrap_err();
            assert_eq!(error.status(), 2, "{given}");
        }
    }

    #[test]
    fn metadata_is_an_object() {
        assert_eq!(metadata(None).unwrap(), json!({}));
        assert_eq!(metadata(Some(r#"{"case": 7}"#)).unwrap(), json!({"case": 7}));
        for text in ["[]", "7", "{", ""] {
            assert!(metadata(Some(text)).is_err(), "{text}");
        }
    }
}
