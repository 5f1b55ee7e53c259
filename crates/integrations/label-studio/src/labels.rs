//! A project's labeling configuration: which tags hold the picture, the question, the answer, the reasoning
//! and the evidence.
//!
//! It is XML that a person typed. It is parsed by a library without documents' type definitions, so without
//! entities, and within bounds.

use reasonedit_http::problem::{Problem, ProblemKind, Result};
use roxmltree::{Document, Node, ParsingOptions};
use serde_json::{Map, Value};

use super::config::LabelStudioConfig;

/// Most bytes of a configuration; the longest templates of Label Studio have a hundredth of it.
const MAX_BYTES: usize = 1 << 20;
/// Most nodes.
const MAX_NODES: u32 = 50_000;

/// A tag that makes regions: its own name, and the name of what it is on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Control {
    /// `from_name` of its regions.
    pub(super) name: String,
    /// `to_name` of its regions.
    pub(super) object: String,
}

/// One choice: what it reads, and what stands for it in results.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Choice {
    /// What the annotator reads, and the model is asked with.
    pub(super) text: String,
    /// `alias` if it has one, else the text.
    pub(super) value: String,
}

/// Where the choices come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ChoiceList {
    /// They stand in the configuration.
    Fixed(Vec<Choice>),
    /// They stand in the task's data under this key.
    Data(String),
}

/// How an answer is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum AnswerForm {
    /// One of these.
    Choices(ChoiceList),
    /// In the annotator's own words.
    Text,
}

/// Rectangles with or without labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rectangles {
    pub(super) control: Control,
    /// Labels of a `RectangleLabels` tag, in order; `None`: a `Rectangle` tag.
    pub(super) labels: Option<Vec<String>>,
}

/// What a project's configuration has of what is needed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Interface {
    /// Key of the picture in a task's data.
    pub(super) image: Option<String>,
    /// The question: a text in which `$key` stands for the data of a task.
    pub(super) question: Option<String>,
    pub(super) answer: Option<(Control, AnswerForm)>,
    pub(super) rationale: Option<Control>,
    pub(super) evidence: Option<Rectangles>,
}

/// A tag of the configuration.
struct Tag<'a> {
    kind: &'a str,
    name: &'a str,
    object: &'a str,
    value: &'a str,
    node: Node<'a, 'a>,
}

impl Tag<'_> {
    fn control(&self) -> Control {
        Control { name: self.name.to_owned(), object: self.object.to_owned() }
    }

    /// Whether it makes one result for the whole task rather than one for each region.
    fn of_the_task(&self) -> bool {
        let set =
            |name: &str| self.node.attribute(name).is_some_and(|value| value.eq_ignore_ascii_case("true"));
        !set("perRegion") && !set("perItem")
    }
}

impl Interface {
    /// Reads a configuration.
    ///
    /// # Errors
    /// 422 when it is not XML, has a document type, or is larger than any that people make.
    pub(super) fn parse(xml: &str, config: &LabelStudioConfig) -> Result<Self> {
        if xml.len() > MAX_BYTES {
            return Err(unreadable("it is too long"));
        }
        let options =
            ParsingOptions { allow_dtd: false, nodes_limit: MAX_NODES, ..ParsingOptions::default() };
        let document = Document::parse_with_options(xml.trim_start(), options).map_err(|error| {
            let place = error.pos();
            unreadable(&format!(
                "it is no XML, or has a document type, at line {}, column {}",
                place.row, place.col
            ))
        })?;
        let tags: Vec<Tag> = document
            .descendants()
            .filter(Node::is_element)
            .map(|node| {
                let get = |name: &str| node.attribute(name).unwrap_or_default().trim();
                Tag {
                    kind: node.tag_name().name(),
                    name: get("name"),
                    // Of several objects the first: results name one.
                    object: get("toName").split(',').next().unwrap_or_default().trim(),
                    value: get("value"),
                    node,
                }
            })
            .collect();
        let (image_name, image) = image(&tags, config).unzip();
        let question = question(&tags, &config.question);
        let answer = answer(&tags, config);
        let rationale = tags
            .iter()
            .find(|tag| is(tag, "TextArea", &config.rationale) && !tag.object.is_empty())
            .map(Tag::control);
        let evidence = image_name.and_then(|image| evidence(&tags, image, &config.evidence));
        Ok(Self { image, question, answer, rationale, evidence })
    }

    /// What is missing, in words, for the log and for setup's answer.
    pub(super) fn missing(&self, config: &LabelStudioConfig) -> Vec<String> {
        let mut missing = Vec::new();
        if self.image.is_none() {
            missing.push(
                "No <Image> with one picture of the task's data: there is nothing to be asked about."
                    .to_owned(),
            );
        }
        if self.question.is_none() {
            missing.push(format!(
                "No <Text> or <Header> with the question: tasks need it in their data as `{}`.",
                config.question
            ));
        }
        if self.answer.is_none() {
            missing.push(format!(
                "No <Choices> or <TextArea> for the answer (`{}`): nothing is predicted and nothing learned.",
                config.answer
            ));
        }
        if self.rationale.is_none() {
            missing.push(format!(
                "No <TextArea name=\"{}\">: annotations don't become edits.",
                config.rationale
            ));
        }
        if self.evidence.is_none() {
            missing.push(
                "No <RectangleLabels> or <Rectangle> on the image: no evidence is drawn or read.".to_owned(),
            );
        }
        missing
    }
}

/// The choices of a task.
///
/// # Errors
/// 422 when the data has none where the configuration says.
pub(super) fn choices_of(list: &ChoiceList, data: &Map<String, Value>) -> Result<Vec<Choice>> {
    let key = match list {
        ChoiceList::Fixed(choices) => return Ok(choices.clone()),
        ChoiceList::Data(key) => key,
    };
    let absent =
        || Problem::invalid("/tasks", format!("The task's data has no list of choices under `{key}`."));
    let items = at(data, key).and_then(Value::as_array).ok_or_else(absent)?;
    let read = |item: &Value| {
        let text = |name: &str| item.get(name).and_then(Value::as_str);
        let shown = item.as_str().or_else(|| text("value"))?;
        Some(Choice { text: shown.to_owned(), value: text("alias").unwrap_or(shown).to_owned() })
    };
    items.iter().map(|item| read(item).ok_or_else(absent)).collect()
}

/// The value of a key in a task's data; dots lead into objects unless the key itself has them.
pub(super) fn at<'a>(data: &'a Map<String, Value>, key: &str) -> Option<&'a Value> {
    if let Some(value) = data.get(key) {
        return Some(value);
    }
    let (first, rest) = key.split_once('.')?;
    rest.split('.').try_fold(data.get(first)?, |value, part| value.get(part))
}

/// The question of a task; the data's own comes first.
pub(super) fn question_of(template: Option<&str>, data: &Map<String, Value>, key: &str) -> Option<String> {
    let own = at(data, key).and_then(plain);
    own.or_else(|| filled(template?, data)).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A text with `$key` replaced by the task's data; `None` if a key has none.
fn filled(template: &str, data: &Map<String, Value>) -> Option<String> {
    let mut parts = template.split('$');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end =
            part.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))).unwrap_or(part.len());
        let (key, rest) = part.split_at(end);
        // A full stop after the key ends the sentence.
        let (key, dot) = key.strip_suffix('.').map_or((key, ""), |key| (key, "."));
        if key.is_empty() {
            text.push('$');
        } else {
            text.push_str(&plain(at(data, key)?)?);
        }
        text.push_str(dot);
        text.push_str(rest);
    }
    Some(text)
}

fn unreadable(why: &str) -> Problem {
    Problem::new(ProblemKind::Invalid, format!("The labeling configuration can't be read: {why}"))
}

fn is(tag: &Tag, kind: &str, name: &str) -> bool {
    tag.kind == kind && tag.name == name
}

/// The key that a value such as `$image` names.
fn variable(value: &str) -> Option<&str> {
    let key = value.strip_prefix('$')?;
    (!key.is_empty() && !key.contains(['$', ' '])).then_some(key)
}

/// Name and data key of the image tag.
fn image<'a>(tags: &[Tag<'a>], config: &LabelStudioConfig) -> Option<(&'a str, String)> {
    let images = || tags.iter().filter(|tag| tag.kind == "Image");
    let tag = images().find(|tag| tag.name == config.image).or_else(|| images().next())?;
    Some((tag.name, variable(tag.value)?.to_owned()))
}

/// The first that shows something of the task; only then one that says the same of all tasks.
fn question(tags: &[Tag], key: &str) -> Option<String> {
    let shown = |kind: &'static str| tags.iter().filter(move |tag| tag.kind == kind && !tag.value.is_empty());
    let own =
        tags.iter().find(|tag| matches!(tag.kind, "Text" | "Header") && variable(tag.value) == Some(key));
    let of_task = || shown("Text").chain(shown("Header")).find(|tag| tag.value.contains('$'));
    let found = own.or_else(of_task).or_else(|| shown("Header").next())?;
    Some(found.value.to_owned())
}

fn answer(tags: &[Tag], config: &LabelStudioConfig) -> Option<(Control, AnswerForm)> {
    let usable = |tag: &&Tag| !tag.name.is_empty() && !tag.object.is_empty() && tag.of_the_task();
    let choices = || tags.iter().filter(|tag| tag.kind == "Choices").filter(usable);
    let texts =
        || tags.iter().filter(|tag| tag.kind == "TextArea" && tag.name != config.rationale).filter(usable);
    let named = choices().chain(texts()).find(|tag| tag.name == config.answer);
    let tag = named.or_else(|| choices().next()).or_else(|| texts().next())?;
    let form = if tag.kind == "TextArea" { AnswerForm::Text } else { AnswerForm::Choices(choice_list(tag)?) };
    Some((tag.control(), form))
}

/// `None` for a tree of choices: an answer there is a path, which the model can't be asked for.
fn choice_list(tag: &Tag) -> Option<ChoiceList> {
    if let Some(key) = variable(tag.value) {
        return Some(ChoiceList::Data(key.to_owned()));
    }
    let mut choices = Vec::new();
    for node in tag.node.descendants().filter(|node| node.tag_name().name() == "Choice") {
        if node.descendants().skip(1).any(|inner| inner.tag_name().name() == "Choice") {
            return None;
        }
        let Some(text) = node.attribute("value").map(str::trim).filter(|text| !text.is_empty()) else {
            continue;
        };
        let value = node.attribute("alias").filter(|alias| !alias.is_empty()).unwrap_or(text);
        choices.push(Choice { text: text.to_owned(), value: value.to_owned() });
    }
    Some(ChoiceList::Fixed(choices))
}

fn evidence(tags: &[Tag], image: &str, name: &str) -> Option<Rectangles> {
    let on_image = || {
        tags.iter().filter(|tag| matches!(tag.kind, "RectangleLabels" | "Rectangle") && tag.object == image)
    };
    let tag = on_image().find(|tag| tag.name == name).or_else(|| on_image().next())?;
    let labels = (tag.kind == "RectangleLabels").then(|| {
        let labels = tag.node.descendants().filter(|node| node.tag_name().name() == "Label");
        labels
            .filter_map(|node| node.attribute("alias").or_else(|| node.attribute("value")))
            .map(str::to_owned)
            .collect()
    });
    // Labels of its own are needed to make one.
    let usable =
        !tag.name.is_empty() && labels.as_ref().is_none_or(|labels: &Vec<String>| !labels.is_empty());
    usable.then(|| Rectangles { control: tag.control(), labels })
}

#[cfg(test)]
mod tests;
