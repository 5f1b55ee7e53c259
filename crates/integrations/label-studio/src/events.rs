//! What a webhook says happened to annotations.
//!
//! As Label Studio 1.23 sends it (`webhooks/models.py`, `webhooks/utils.py`,
//! `webhooks/serializers_for_hooks.py`): created and updated annotations come whole, with their task and
//! project; deleted ones as ids, in a list under `annotations` (and with nothing at all when one is turned
//! back into a draft). Deleted tasks and projects name no annotations.

use reasonedit_http::json::from_ref;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::annotation::AnnotatedCorrection;
use super::config::LabelStudioConfig;
use super::dto::{SkippedAnnotationDto, WebhookInput};
use super::labels::Interface;

/// Most characters of a time from outside.
const TIME_CHARS: usize = 64;

/// What an annotation says now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub(super) enum Change {
    /// A correction.
    Says(Box<SubmittedCorrection>),
    /// Nothing that an edit could be made of any more, and why.
    Withdrawn { reason: String, updated_at: String },
    /// It is gone.
    Deleted,
}

/// A correction with where it comes from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct SubmittedCorrection {
    pub(super) correction: AnnotatedCorrection,
    pub(super) updated_at: String,
    pub(super) task: Option<u64>,
    /// Id of the user.
    pub(super) by: Option<u64>,
    /// Whether whose token it came with may make edits and nothing more.
    #[serde(default = "yes", skip_serializing_if = "is_so")]
    pub(super) contributor: bool,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
const fn is_so(value: &bool) -> bool {
    *value
}

/// What is not known of a token is not counted for more.
const fn yes() -> bool {
    true
}

/// Something that happened to an annotation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Event {
    /// As at setup: id, full stop, the second it was made in.
    pub(super) project: String,
    pub(super) annotation: u64,
    #[serde(flatten)]
    pub(super) change: Change,
}

impl Change {
    /// When the annotation was last changed; `None` for one that is gone.
    pub(super) fn updated_at(&self) -> Option<&str> {
        match self {
            Self::Says(said) => Some(&said.updated_at),
            Self::Withdrawn { updated_at, .. } => Some(updated_at),
            Self::Deleted => None,
        }
    }
}

/// What a webhook comes to.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Received {
    pub(super) events: Vec<Event>,
    pub(super) skipped: Vec<SkippedAnnotationDto>,
    /// What else there is to say.
    pub(super) note: Option<&'static str>,
}

#[derive(Debug, Deserialize)]
struct ProjectBody {
    id: u64,
    created_at: Option<String>,
    label_config: Option<String>,
}

#[derive(Debug, Deserialize)]
struct TaskBody {
    id: u64,
    #[serde(default)]
    data: Map<String, Value>,
}

#[derive(Debug, Deserialize)]
struct AnnotationBody {
    id: u64,
    result: Option<Vec<Value>>,
    #[serde(default)]
    was_cancelled: bool,
    updated_at: Option<String>,
    task: Option<Value>,
    completed_by: Option<Value>,
}

/// The value itself, or each of its items.
fn each<'de, T: Deserialize<'de>>(value: &'de Value) -> Vec<T> {
    let list = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
    list.iter().filter_map(|item| from_ref(item).ok()).collect()
}

/// An id, or an object with one.
fn id_of(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.get("id")?.as_u64())
}

/// The project as setup names it: its id, a full stop, the second it was made in.
fn project_of(body: &ProjectBody) -> String {
    let made = body.created_at.as_deref().and_then(parse_time).map(OffsetDateTime::unix_timestamp);
    made.map_or_else(|| body.id.to_string(), |second| format!("{}.{second}", body.id))
}

/// A time as Label Studio writes it.
pub(super) fn parse_time(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text, &Rfc3339).ok()
}

/// Whether a text is a project as setup names it.
pub(super) fn is_project(text: &str) -> bool {
    let digits =
        |part: &str| (1..=20).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
    match text.split_once('.') {
        Some((id, second)) => digits(id) && digits(second),
        None => digits(text),
    }
}

/// Reads a webhook; `None` if it is about nothing that is known.
pub(super) fn received(input: &WebhookInput, config: &LabelStudioConfig) -> Option<Received> {
    let created = matches!(&*input.action, "ANNOTATION_CREATED" | "ANNOTATIONS_CREATED");
    let mut received = Received::default();
    match &*input.action {
        "ANNOTATION_CREATED" | "ANNOTATIONS_CREATED" | "ANNOTATION_UPDATED" => {
            let Some(project) = each::<ProjectBody>(&input.project).into_iter().next() else {
                received.note = Some("The payload names no project: the webhook has to send its payload.");
                return Some(received);
            };
            let xml = project.label_config.as_deref().unwrap_or_default();
            let interface = Interface::parse(xml, config).map_err(|problem| problem.body().detail);
            let tasks: Vec<TaskBody> = each(&input.task);
            for annotation in each::<AnnotationBody>(&input.annotation) {
                let read = read(&annotation, &tasks, interface.as_ref(), config);
                let updated_at: String =
                    annotation.updated_at.as_deref().unwrap_or_default().chars().take(TIME_CHARS).collect();
                let change = match read {
                    Ok((correction, task)) => Change::Says(Box::new(SubmittedCorrection {
                        correction,
                        updated_at,
                        task,
                        by: annotation.completed_by.as_ref().and_then(id_of),
                        contributor: true,
                    })),
                    // There can't be an edit yet.
                    Err(reason) if created => {
                        received.skipped.push(SkippedAnnotationDto { annotation: annotation.id, reason });
                        continue;
                    }
                    Err(reason) => Change::Withdrawn { reason, updated_at },
                };
                received.events.push(Event {
                    project: project_of(&project),
                    annotation: annotation.id,
                    change,
                });
            }
        }
        "ANNOTATIONS_DELETED" | "ANNOTATION_DELETED" => {
            let Some(project) = each::<ProjectBody>(&input.project).into_iter().next() else {
                received.note = Some(
                    "The payload names no annotations: Label Studio leaves them out when one becomes a draft again.",
                );
                return Some(received);
            };
            let gone = [&input.annotations, &input.annotation];
            let ids = gone.into_iter().flat_map(each::<Value>).filter_map(|item| id_of(&item));
            received.events.extend(ids.map(|annotation| Event {
                project: project_of(&project),
                annotation,
                change: Change::Deleted,
            }));
        }
        "TASKS_DELETED" | "PROJECT_DELETED" => {
            received.note =
                Some("Clearing away tasks or projects takes no edit back; deleting annotations does.");
        }
        "START_TRAINING" => {
            received.note = Some("Nothing is trained: annotations become edits as they are submitted.");
        }
        "PROJECT_CREATED" | "PROJECT_UPDATED" | "TASKS_CREATED" => {}
        _ => return None,
    }
    Some(received)
}

/// The correction of an annotation and the id of its task, or why there is none.
fn read(
    annotation: &AnnotationBody,
    tasks: &[TaskBody],
    interface: Result<&Interface, &String>,
    config: &LabelStudioConfig,
) -> Result<(AnnotatedCorrection, Option<u64>), String> {
    if annotation.was_cancelled {
        return Err("The annotator skipped the task.".to_owned());
    }
    let interface = interface.map_err(Clone::clone)?;
    let wanted = annotation.task.as_ref().and_then(id_of);
    let task = match wanted {
        Some(id) => tasks.iter().find(|task| task.id == id),
        None => tasks.first(),
    };
    let task = task.ok_or("The payload does not hold the annotation's task.")?;
    let results = annotation.result.as_deref().unwrap_or_default();
    Ok((AnnotatedCorrection::read(interface, config, &task.data, results)?, Some(task.id)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const CONFIG: &str = r#"<View><Image name="image" value="$image"/><Choices name="answer" toName="image"><Choice value="a"/><Choice value="b"/></Choices>
        <TextArea name="rationale" toName="image"/></View>"#;

    fn of(body: Value) -> Option<Received> {
        received(&WebhookInput::deserialize(body).unwrap(), &LabelStudioConfig::default())
    }

    fn project() -> Value {
        json!({"id": 3, "created_at": "2026-11-20T23:50:00.123456Z", "label_config": CONFIG, "title": "x"})
    }

    fn annotation(id: u64, rationale: &str) -> Value {
        json!({"id": id, "task": 5, "completed_by": 1, "was_cancelled": false, "updated_at": "2026-11-20T23:59:00.5Z", "result": [
            {"id": "x", "from_name": "answer", "to_name": "image", "type": "choices", "value": {"choices": ["b"]}},
            {"id": "y", "from_name": "rationale", "to_name": "image", "type": "textarea", "value": {"text": [rationale]}},
        ]})
    }

    fn task() -> Value {
        json!({"id": 5, "data": {"image": "/data/upload/3/a.png", "question": "Which?"}, "inner_id": 1})
    }

    #[test]
    fn annotations_come_whole() {
        let made = of(json!({"action": "ANNOTATION_CREATED", "annotation": annotation(17, "It is."), "task": task(), "project": project()})).unwrap();
        let [event] = &made.events[..] else { panic!("{made:?}") };
        assert_eq!((&*event.project, event.annotation), ("3.1795218600", 17));
        assert!(is_project(&event.project));
        let Change::Says(said) = &event.change else { panic!("{event:?}") };
        assert_eq!((said.task, said.by, &*said.updated_at), (Some(5), Some(1), "2026-11-20T23:59:00.5Z"));
        assert_eq!((&*said.correction.answer, &*said.correction.question), ("b", "Which?"));
        // As it is stored.
        let text = serde_json::to_string(event).unwrap();
        assert_eq!(&serde_json::from_str::<Event>(&text).unwrap(), event);
    }

    #[test]
    fn many_at_once_find_their_tasks() {
        let body = json!({"action": "ANNOTATIONS_CREATED", "project": project(), "task": [task()],
            "annotation": [annotation(1, "It is."), annotation(2, ""), {"id": 3, "task": 6, "result": []}, {"id": "odd"}, 7]});
        let made = of(body).unwrap();
        assert_eq!(made.events.iter().map(|e| e.annotation).collect::<Vec<_>>(), [1]);
        let skipped: Vec<(u64, &str)> = made.skipped.iter().map(|s| (s.annotation, &*s.reason)).collect();
        assert_eq!(
            skipped,
            [(2, "No reasoning was given."), (3, "The payload does not hold the annotation's task.")]
        );
    }

    #[test]
    fn an_update_without_reasoning_takes_back() {
        let body = |annotation: Value| json!({"action": "ANNOTATION_UPDATED", "annotation": annotation, "task": task(), "project": project()});
        let reason = |annotation: Value| match &of(body(annotation)).unwrap().events[..] {
            [Event { change: Change::Withdrawn { reason, .. }, .. }] => reason.clone(),
            other => panic!("{other:?}"),
        };
        assert_eq!(reason(annotation(17, "")), "No reasoning was given.");
        let mut cancelled = annotation(17, "It is.");
        cancelled["was_cancelled"] = json!(true);
        assert_eq!(reason(cancelled.clone()), "The annotator skipped the task.");
        let created = json!({"action": "ANNOTATION_CREATED", "annotation": cancelled, "task": task(), "project": project()});
        assert!(of(created).unwrap().events.is_empty());
    }

    #[test]
    fn the_deleted_are_a_list_of_ids() {
        let gone = |annotations: Value| {
            let events = of(
                json!({"action": "ANNOTATIONS_DELETED", "annotations": annotations, "project": project()}),
            )
            .unwrap()
            .events;
            assert!(events.iter().all(|event| event.change == Change::Deleted));
            events.iter().map(|event| event.annotation).collect::<Vec<_>>()
        };
        assert_eq!(gone(json!([{"id": 1}, {"id": 2}])), [1, 2]);
        assert_eq!(gone(json!([])), Vec::<u64>::new());
        assert_eq!(gone(Value::Null), Vec::<u64>::new());
        let draft = of(json!({"action": "ANNOTATIONS_DELETED"})).unwrap();
        assert!(draft.events.is_empty() && draft.note.is_some());
    }

    #[test]
    fn other_events_change_nothing() {
        for action in
            ["TASKS_DELETED", "PROJECT_DELETED", "PROJECT_UPDATED", "TASKS_CREATED", "START_TRAINING"]
        {
            let received = of(json!({"action": action, "tasks": [{"id": 5}], "project": {"id": 3}})).unwrap();
            assert!(received.events.is_empty(), "{action}");
        }
        assert_eq!(of(json!({"action": "LABEL_LINK_CREATED", "label_link": []})), None);
        assert_eq!(of(json!({"action": "ANNOTATION_CREATED"})).unwrap().events, []);
    }

    #[test]
    fn projects_are_numbers() {
        for good in ["1", "1.1763630000"] {
            assert!(is_project(good), "{good}");
        }
        for bad in ["", ".", "1.", ".1", "a", "1.2.3", "1 ", "-1", &"1".repeat(30)] {
            assert!(!is_project(bad), "{bad}");
        }
    }
}
