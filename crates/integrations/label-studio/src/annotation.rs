//! An annotation's results to a correction: the answer, the reasoning statement by statement, and what was
//! drawn for each.

use reasonedit_editor::Warning;
use reasonedit_http::json::from_ref;
use reasonedit_text::{is_visible, same, split_text, trimmed};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::config::LabelStudioConfig;
use super::labels::{AnswerForm, Choice, ChoiceList, Interface, at, choices_of, question_of};
use super::regions::{Area, Drawn};

/// What an annotator said of a picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct AnnotatedCorrection {
    /// Where the picture is, as the task says.
    pub(super) picture: String,
    pub(super) question: String,
    pub(super) answer: String,
    /// Empty if the answer was free.
    pub(super) choices: Vec<String>,
    pub(super) reasoning: Vec<Reason>,
    /// What of the annotation was not taken as it was made; pointers are into it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) warnings: Vec<Warning>,
}

/// One statement with what was drawn for it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Reason {
    pub(super) statement: String,
    pub(super) boxes: Vec<Area>,
}

/// One result of an annotation; of a kind that is not read it has only defaults.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Item {
    id: Option<String>,
    from_name: Option<String>,
    #[serde(rename = "type")]
    kind: String,
    value: Value,
    #[serde(rename = "parentID")]
    parent: Option<String>,
    /// `prediction` as long as nobody touched it.
    origin: Option<String>,
    from_id: Option<String>,
    to_id: Option<String>,
    original_width: Value,
    original_height: Value,
    meta: Value,
    /// Where it stands among the results.
    #[serde(skip)]
    place: usize,
}

/// A text of the rationale, line by line, and the regions it belongs to.
struct RationaleText {
    /// Indices of its statements.
    statements: std::ops::Range<usize>,
    id: Option<String>,
    parent: Option<String>,
}

impl AnnotatedCorrection {
    /// Reads an annotation.
    ///
    /// # Errors
    /// Why nothing can be learned from it, in words.
    pub(super) fn read(
        interface: &Interface,
        config: &LabelStudioConfig,
        data: &Map<String, Value>,
        results: &[Value],
    ) -> Result<Self, String> {
        let read = |(place, item): (usize, &Value)| Some(Item { place, ..from_ref(item).ok()? });
        let items: Vec<Item> = results.iter().enumerate().filter_map(read).collect();
        let of = |name: &str| {
            items.iter().filter(move |item| item.from_name.as_deref() == Some(name)).collect::<Vec<_>>()
        };

        let rationale = interface.rationale.as_ref().ok_or_else(|| {
            format!(
                "The labeling configuration has no <TextArea name=\"{}\"> for the reasoning.",
                config.rationale
            )
        })?;
        let mut warnings = Vec::new();
        let (mut reasoning, said) = reasoning(&of(&rationale.name), &mut warnings);
        if reasoning.is_empty() {
            return Err("No reasoning was given.".to_owned());
        }
        let (control, form) =
            interface.answer.as_ref().ok_or("The labeling configuration has nothing for the answer.")?;
        let (answer, choices) = answer(form, &of(&control.name), data)?;
        let question = question_of(interface.question.as_deref(), data, &config.question)
            .ok_or_else(|| format!("The task has no question (`{}` in its data).", config.question))?;
        let key = interface
            .image
            .as_deref()
            .ok_or("The labeling configuration has no <Image> with one picture.")?;
        let picture = at(data, key)
            .and_then(Value::as_str)
            .ok_or_else(|| format!("The task's data has no picture under `{key}`."))?;
        let control = interface.evidence.as_ref().map(|evidence| evidence.control.name.as_str());
        let is_evidence = |item: &Item| {
            let name = item.from_name.as_deref();
            name.is_some() && (name == control || name == Some(&config.evidence))
        };
        attach(&mut reasoning, &said, &items, is_evidence, &mut warnings);
        Ok(Self { picture: picture.to_owned(), question, answer, choices, reasoning, warnings })
    }

    /// Names the content: the same correction has the same digest, whatever is told of it.
    pub(super) fn digest(&self) -> String {
        let text = serde_json::to_vec(&Self { warnings: Vec::new(), ..self.clone() }).unwrap_or_default();
        blake3::hash(&text).to_hex().to_string()
    }
}

/// Texts of a value: a text, or a list of them.
fn texts(value: &Value, field: &str) -> Vec<String> {
    match value.get(field) {
        Some(Value::String(text)) => vec![text.clone()],
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

/// A line is a statement; a single line is split into sentences.
fn reasoning(items: &[&Item], warnings: &mut Vec<Warning>) -> (Vec<Reason>, Vec<RationaleText>) {
    let lines = |item: &Item| -> Vec<String> {
        let texts = texts(&item.value, "text");
        let lines = texts.iter().flat_map(|text| text.lines()).map(trimmed).filter(|line| is_visible(line));
        lines.map(str::to_owned).collect()
    };
    let all: Vec<(&Item, Vec<String>)> = items.iter().map(|item| (*item, lines(item))).collect();
    let single = all.iter().map(|(_, lines)| lines.len()).sum::<usize>() == 1;
    let (mut reasons, mut said) = (Vec::new(), Vec::new());
    for (item, lines) in all {
        let first = reasons.len();
        let split = |line: String, warnings: &mut Vec<Warning>| {
            let split = split_text(&line);
            warnings.extend(split.warnings(&format!("/result/{}/value/text", item.place)));
            split.statements
        };
        let statements =
            lines.into_iter().flat_map(|line| if single { split(line, warnings) } else { vec![line] });
        reasons.extend(statements.map(|statement| Reason { statement, boxes: Vec::new() }));
        said.push(RationaleText {
            statements: first..reasons.len(),
            id: item.id.clone(),
            parent: item.parent.clone(),
        });
    }
    (reasons, said)
}

/// The answer, and what it was chosen from.
fn answer(
    form: &AnswerForm,
    items: &[&Item],
    data: &Map<String, Value>,
) -> Result<(String, Vec<String>), String> {
    let field = if matches!(form, AnswerForm::Text) { "text" } else { "choices" };
    let mut given: Vec<String> = items
        .iter()
        .flat_map(|item| texts(&item.value, field))
        .map(|text| trimmed(&text).to_owned())
        .collect();
    given.retain(|text| is_visible(text));
    given.dedup_by(|one, other| same(one, other));
    let mut given = given.into_iter();
    let answer = match (given.next(), given.next()) {
        (Some(answer), None) => answer,
        (None, _) => return Err("No answer was given.".to_owned()),
        (Some(_), Some(_)) => return Err("Several answers were given; an edit has one.".to_owned()),
    };
    let AnswerForm::Choices(list) = form else { return Ok((answer, Vec::new())) };
    let choices: Vec<Choice> = choices_of(list, data).map_err(|problem| problem.body().detail)?;
    let chosen = choices
        .iter()
        .find(|choice| same(&choice.value, &answer))
        .or_else(|| choices.iter().find(|choice| same(&choice.text, &answer)));
    let answer = match (chosen, list) {
        (Some(choice), _) => choice.text.clone(),
        (None, ChoiceList::Fixed(_)) => {
            return Err("The answer is none of the choices of the labeling configuration.".to_owned());
        }
        (None, ChoiceList::Data(_)) => {
            return Err("The answer is none of the choices of the task.".to_owned());
        }
    };
    // One choice is none.
    let texts = if choices.len() > 1 { choices.into_iter().map(|c| c.text).collect() } else { Vec::new() };
    Ok((answer, texts))
}

/// Gives what was drawn to the statements it was drawn for: rectangles as they are, the boxes that hold
/// ellipses and polygons. Whatever is drawn with the tag for evidence counts, and what is drawn with another
/// one where it is tied to a statement; what can't be used is told.
///
/// Percents are of the picture as it was uploaded, however the annotator had turned it on the screen:
/// `image_rotation` tells the screen's turn only.
fn attach(
    reasoning: &mut [Reason],
    said: &[RationaleText],
    items: &[Item],
    is_evidence: impl Fn(&Item) -> bool,
    warnings: &mut Vec<Warning>,
) {
    let same_id = |a: &Option<String>, b: &Option<String>| a.is_some() && a == b;
    for item in items {
        let Some(drawn) = Drawn::read(&item.kind, &item.value) else { continue };
        let related = |other: &RationaleText| {
            items.iter().filter(|i| i.kind == "relation").any(|i| {
                (same_id(&i.from_id, &item.id) && same_id(&i.to_id, &other.id))
                    || (same_id(&i.to_id, &item.id) && same_id(&i.from_id, &other.id))
            })
        };
        let tied = |other: &&RationaleText| {
            same_id(&other.id, &item.id)
                || same_id(&other.parent, &item.id)
                || same_id(&item.parent, &other.id)
                || related(other)
        };
        let mut of: Vec<usize> =
            said.iter().filter(tied).flat_map(|other| other.statements.clone()).collect();
        if of.is_empty() {
            // What the model drew and nobody touched is the model's word, unless someone tied it to a
            // statement.
            if !is_evidence(item) || item.origin.as_deref() == Some("prediction") {
                continue;
            }
            of = by_label(item, reasoning);
        }
        let mut tell = |code: &str, detail: String| {
            let pointer = format!("/result/{}", item.place);
            warnings.push(Warning { code: code.to_owned(), pointer, detail });
        };
        // Without a size, of a size that shows what is outside all the same.
        let pixels = |side: &Value| side.as_f64().map_or(1000, |pixels| pixels as u32).max(1);
        let (width, height) = (pixels(&item.original_width), pixels(&item.original_height));
        match drawn {
            Drawn::Unusable(why) => tell("region_unused", why),
            _ if of.is_empty() => {
                let why =
                    "it belongs to no statement: give it the statement's number as label or its text as note";
                tell("region_unused", why.to_owned());
            }
            Drawn::Area(area) if area.to_pixels(width, height).is_none() => {
                tell("region_unused", "it lies outside of the picture".to_owned());
            }
            Drawn::Area(area) => {
                if let Some(detail) = area.enclosed(&item.kind) {
                    tell("region_enclosed", detail);
                }
                for index in of {
                    reasoning[index].boxes.push(area);
                }
            }
        }
    }
}

/// The statement that a label such as `2` or `Statement 2` numbers, or that stands in the rectangle's note,
/// or the only one.
fn by_label(item: &Item, reasoning: &[Reason]) -> Vec<usize> {
    let number = |label: &String| -> Option<usize> {
        let digits = label.len() - label.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        label[label.len() - digits..].parse().ok()
    };
    // The labels stand under the name of the kind.
    let labels = texts(&item.value, &item.kind);
    let numbered: Vec<usize> = labels
        .iter()
        .filter_map(number)
        .filter(|n| (1..=reasoning.len()).contains(n))
        .map(|n| n - 1)
        .collect();
    if !numbered.is_empty() {
        return numbered;
    }
    let notes = texts(&item.meta, "text");
    let noted: Vec<usize> = (0..reasoning.len())
        .filter(|index| notes.iter().any(|note| same(note, &reasoning[*index].statement)))
        .collect();
    if noted.is_empty() && reasoning.len() == 1 { vec![0] } else { noted }
}

#[cfg(test)]
mod tests;
