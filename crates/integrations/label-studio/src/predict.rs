//! Predictions: each task's question asked of its picture, the answer and the evidence as regions of the
//! project's own tags.

use std::time::{Duration, Instant};

use futures::{StreamExt as _, stream};
use reasonedit_api::put_in_front;
use reasonedit_editor::{
    CallContext, CodebookName, Editor, EntryKind, Evidence, EvidenceSource, Fact, Flow, ImageId, ImageInfo,
    ImageSource, Priority, QueryOutcome, QueryRequest, RetrievalOverride,
};
use reasonedit_http::audit::Audited;
use reasonedit_http::problem::{Problem, Result};
use reasonedit_imaging::PixelBox;
use reasonedit_text::same;
use serde_json::{Value, json};

use super::dto::{PredictionDto, RegionDto, TaskInput};
use super::labels::{AnswerForm, Choice, Control, Interface, Rectangles, at, choices_of, question_of};
use super::pictures::PictureOrigin;
use super::regions::PercentBox;
use super::studio::LabelStudio;
use super::version::version;

/// Tasks that are worked on at a time, so that the engine has something to put together.
const AT_ONCE: usize = 4;

/// What all tasks of a request have in common.
pub(super) struct Asking<'a> {
    pub(super) studio: &'a LabelStudio,
    pub(super) editor: &'a Editor,
    pub(super) interface: &'a Interface,
    pub(super) codebook: CodebookName,
    pub(super) audited: Audited,
    pub(super) origin: PictureOrigin,
    /// Whose share of the model it counts for.
    pub(super) flow: Flow,
    /// What is not answered by then is left for another request.
    pub(super) until: Instant,
}

/// A prediction of a task, or why there is none.
type Predicted = Result<PredictionDto>;

impl Asking<'_> {
    /// The predictions of all tasks, in order: none for a task that can't be predicted, which keeps no other
    /// from being predicted.
    ///
    /// # Errors
    /// If there is none at all: what stood in the way of the first.
    pub(super) async fn all(&self, tasks: Vec<TaskInput>) -> Result<Vec<Vec<PredictionDto>>> {
        let alone = tasks.len() == 1;
        let predicted =
            stream::iter(tasks).map(|task| self.one(task, alone)).buffered(AT_ONCE).collect::<Vec<_>>();
        let predicted: Vec<Predicted> = predicted.await;
        if predicted.iter().all(Result::is_err)
            && let Some(Err(problem)) = predicted.first()
        {
            return Err(problem.clone());
        }
        Ok(predicted.into_iter().map(|prediction| prediction.into_iter().collect()).collect())
    }

    async fn one(&self, task: TaskInput, alone: bool) -> Predicted {
        let id = task.id.as_ref().and_then(Value::as_u64);
        let left = self.until.saturating_duration_since(Instant::now());
        // The engine's own deadline comes first where it is the engine that takes its time.
        let predicted =
            tokio::time::timeout(left + Duration::from_millis(100), self.predict(&task, alone)).await;
        let late = |_| {
            Err(Problem::new(
                reasonedit_http::problem::ProblemKind::DeadlineExceeded,
                "The task was not reached in time.",
            ))
        };
        predicted.unwrap_or_else(late).inspect_err(|problem| {
            // Details name keys and tags, not what is in them.
            tracing::warn!(task = id, detail = %problem.body().detail, "a task was not predicted");
        })
    }

    async fn predict(&self, task: &TaskInput, alone: bool) -> Predicted {
        let priority = if alone { Priority::Interactive } else { Priority::Background };
        let call = CallContext { priority, deadline: Some(self.until), flow: self.flow };
        let config = self.studio.config();
        let (control, form) = self.interface.answer.as_ref().ok_or_else(|| {
            Problem::invalid(
                "/label_config",
                "The labeling configuration has nothing that an answer could go into.",
            )
        })?;
        let key = self.interface.image.as_deref().ok_or_else(|| {
            Problem::invalid("/label_config", "The labeling configuration has no <Image> with one picture.")
        })?;
        let absent = |what: &str, key: &str| {
            Problem::invalid("/tasks", format!("The task's data has no {what} under `{key}`."))
        };
        let question = question_of(self.interface.question.as_deref(), &task.data, &config.question)
            .ok_or_else(|| absent("question", &config.question))?;
        let picture = at(&task.data, key).and_then(Value::as_str).ok_or_else(|| absent("picture", key))?;
        let choices = match form {
            AnswerForm::Choices(list) => choices_of(list, &task.data)?,
            AnswerForm::Text => Vec::new(),
        };
        // Before it is asked: an edit that comes meanwhile makes this an answer of an old version, which is
        // asked for again.
        let version = version(self.editor, &self.codebook).await?;
        let image = self.studio.pictures().get(picture, &self.origin).await?;
        self.audited.image(image.id());
        let request = QueryRequest {
            warnings: Vec::new(),
            image: image.clone(),
            question,
            choices: choices.iter().map(|choice| choice.text.clone()).collect(),
            max_tokens: None,
            max_thinking_tokens: None,
            retrieval: RetrievalOverride::default(),
            compare: false,
        };
        let outcome = self.editor.query(&self.codebook, request, call).await?;
        put_in_front(&self.audited, &outcome.retrieval);
        let mut regions = vec![answer(control, form, &choices, &outcome)];
        if let Some(rectangles) = &self.interface.evidence {
            let (info, found) = self.evidence(&image, &outcome.retrieval.facts, call).await?;
            let mut statements: Vec<&str> = Vec::new();
            for seen in &found {
                let known = statements.iter().position(|statement| *statement == seen.statement);
                let label = known.unwrap_or(statements.len());
                if known.is_none() {
                    statements.push(&seen.statement);
                }
                regions.push(rectangle(rectangles, &info, seen, label));
            }
        }
        name_regions(&mut regions, task.id.as_ref(), &version);
        Ok(PredictionDto { result: regions, score: outcome.probability, model_version: version })
    }

    /// Where the picture shows the statements that were put in front of the question: the boxes of those that
    /// were said of this very picture; where the model sees the others, if it is to look.
    async fn evidence(
        &self,
        image: &ImageSource,
        facts: &[Fact],
        call: CallContext,
    ) -> Result<(ImageInfo, Vec<Seen>)> {
        let info = self.editor.image_info(&self.codebook, image).await?;
        let (mut seen, mut others): (Vec<Seen>, Vec<String>) = (Vec::new(), Vec::new());
        for fact in facts.iter().filter(|fact| fact.kind == EntryKind::Statement) {
            if let Some(boxes) = self.said_here(fact, info.id) {
                seen.extend(boxes.into_iter().map(|patch| Seen::of(&fact.value, &patch)));
            } else if !others.contains(&fact.value) {
                others.push(fact.value.clone());
            }
        }
        if self.studio.config().locate_evidence && !others.is_empty() {
            let found = self.editor.find_evidence(&self.codebook, image, &others, call).await?;
            for (statement, search) in others.iter().zip(&found.searches) {
                // The best patch; the smallest good ones are for keys.
                seen.extend(search.evidence.first().map(|patch| Seen::of(statement, patch)));
            }
        }
        Ok((info, seen))
    }

    /// The boxes that an edit of this very picture has for a statement; `None` if it was said of other
    /// pictures only.
    fn said_here(&self, fact: &Fact, picture: ImageId) -> Option<Vec<Evidence>> {
        let records = self.editor.live_records(&self.codebook, &fact.edit_ids).ok()?;
        let record = records.iter().rfind(|record| record.image.id == picture)?;
        let statement = record.reasoning.iter().find(|statement| statement.statement == fact.value)?;
        let drawn = |patch: &&Evidence| patch.source == EvidenceSource::User;
        let mut boxes: Vec<Evidence> = statement.evidence.iter().filter(drawn).cloned().collect();
        if boxes.is_empty() {
            boxes.extend(statement.evidence.first().cloned());
        }
        Some(boxes)
    }
}

/// A part of the asked picture that shows a statement.
#[derive(Debug)]
struct Seen {
    area: PixelBox,
    statement: String,
    /// How sure it is.
    score: f64,
}

impl Seen {
    fn of(statement: &str, patch: &Evidence) -> Self {
        // What a person drew is certain.
        Self { area: patch.area, statement: statement.to_owned(), score: patch.p_yes.unwrap_or(1.0) }
    }
}

fn answer(control: &Control, form: &AnswerForm, choices: &[Choice], outcome: &QueryOutcome) -> RegionDto {
    let (kind, value) = match form {
        AnswerForm::Choices(_) => {
            let chosen = choices.iter().find(|choice| same(&choice.text, &outcome.answer));
            ("choices", json!({"choices": [chosen.map_or(outcome.answer.as_str(), |choice| &choice.value)]}))
        }
        AnswerForm::Text => ("textarea", json!({"text": [outcome.answer]})),
    };
    // What of the picture was not taken as it came, shown as the region's note.
    let told: Vec<&str> = outcome.warnings.iter().map(|warning| warning.detail.as_str()).collect();
    let meta = (!told.is_empty()).then(|| json!({"text": told}));
    RegionDto { meta, ..region(control, kind, value, outcome.probability) }
}

/// `label`: which of the labels, so that statements differ in colour as far as there are any.
fn rectangle(tag: &Rectangles, info: &ImageInfo, seen: &Seen, label: usize) -> RegionDto {
    let mut value = PercentBox::of_pixels(seen.area, info.width, info.height).value();
    let kind = match &tag.labels {
        None => "rectangle",
        Some(labels) => {
            value["rectanglelabels"] = json!([labels.get(label).or(labels.last())]);
            "rectanglelabels"
        }
    };
    RegionDto {
        original_width: Some(info.width),
        original_height: Some(info.height),
        image_rotation: Some(0),
        // Shown as the region's note.
        meta: Some(json!({"text": [seen.statement]})),
        ..region(&tag.control, kind, value, seen.score)
    }
}

fn region(control: &Control, kind: &str, value: Value, score: f64) -> RegionDto {
    RegionDto {
        id: String::new(),
        from_name: control.name.clone(),
        to_name: control.object.clone(),
        kind: kind.to_owned(),
        value,
        score,
        original_width: None,
        original_height: None,
        image_rotation: None,
        meta: None,
    }
}

/// Ids that are the same for the same prediction and differ between regions.
fn name_regions(regions: &mut [RegionDto], task: Option<&Value>, version: &str) {
    let task = task.map(ToString::to_string).unwrap_or_default();
    for (index, region) in regions.iter_mut().enumerate() {
        let digest = blake3::hash(format!("{task} {version} {index}").as_bytes()).to_hex();
        digest[..10].clone_into(&mut region.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regions_are_of_the_projects_own_tags() {
        let control = Control { name: "evidence".to_owned(), object: "image".to_owned() };
        let info = ImageInfo { id: reasonedit_editor::ImageId([0; 32]), width: 200, height: 100 };
        let seen = Seen {
            area: PixelBox { x: 20, y: 25, width: 100, height: 50 },
            statement: "It has a rim.".to_owned(),
            score: 0.75,
        };
        let labelled =
            Rectangles { control: control.clone(), labels: Some(vec!["1".to_owned(), "2".to_owned()]) };
        let mut regions = vec![
            rectangle(&labelled, &info, &seen, 1),
            rectangle(&Rectangles { control: control.clone(), labels: None }, &info, &seen, 7),
            region(&control, "choices", json!({"choices": ["a"]}), 0.5),
        ];
        name_regions(&mut regions, Some(&json!(7)), "v1");
        insta::assert_json_snapshot!(regions);
        let ids: Vec<String> = regions.iter().map(|region| region.id.clone()).collect();
        name_regions(&mut regions, Some(&json!(7)), "v1");
        assert_eq!(ids, regions.iter().map(|region| region.id.clone()).collect::<Vec<_>>());
        name_regions(&mut regions, Some(&json!(8)), "v1");
        assert_ne!(ids[0], regions[0].id);
        assert_eq!(ids.iter().collect::<std::collections::BTreeSet<_>>().len(), 3);
    }
}
