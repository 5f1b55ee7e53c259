//! What an edit would change, seen before it is made: a dry run over questions, and the canaries that every
//! edit is held against.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use reasonedit_codebook::{CodebookName, EditRecord, Generation, ImageId, Member, Snapshot};
use reasonedit_questions::{KeptQuestion, KeptQuestions};
use reasonedit_text::same;
use time::OffsetDateTime;
use ulid::Ulid;

use crate::config::OnBreak;
use crate::core::Core;
use crate::edit::EditPipeline;
use crate::edit::relations::Others;
use crate::editor::Editor;
use crate::error::{EditorError, FieldError};
use crate::pictures::{DecodedPicture, blocking};
use crate::query::{QueryPipeline, check_query};
use crate::states::AskedState;
use crate::timing::milliseconds;
use crate::types::{
    BrokenCanary, CallContext, Canary, CanaryRequest, ComparedQuestion, DryRunOutcome, DryRunQuestions,
    EditRequest, Effect, ImageSource, QueryRequest, QuestionEffect,
};

/// Questions that are compared at a time: the engine computes some while others are searched for.
const AT_A_TIME: usize = 4;

/// A question as it is compared, and the kept one that it is.
pub(crate) type Subject = (ComparedQuestion, Option<Arc<KeptQuestion>>);

fn kept(question: &Arc<KeptQuestion>) -> Subject {
    let compared = ComparedQuestion {
        image: ImageSource::Known(question.image),
        question: question.question.clone(),
        choices: question.choices.clone(),
        key: question.key.clone(),
    };
    (compared, Some(Arc::clone(question)))
}

impl Core {
    /// What an edit that isn't stored does to questions, in their order. What is learnt of a kept question's
    /// key is kept with it.
    async fn effects(
        self: &Arc<Self>,
        (codebook, call): (&CodebookName, CallContext),
        states: (&AskedState, &AskedState),
        table: &KeptQuestions,
        questions: &[Subject],
    ) -> Result<Vec<Effect>, EditorError> {
        let pipeline = QueryPipeline { core: self, codebook, call, events: None };
        let one = async |(question, kept): &Subject| {
            let compared = match pipeline.compare(states, question).await {
                // It was not kept, or was erased since.
                Err(EditorError::UnknownImage(_)) if kept.is_some() => return Ok(Effect::Unknown),
                compared => compared?,
            };
            if let (Some(kept), Some(key)) = (kept, compared.key)
                && let Err(error) = table.put_key(kept.id, key)
            {
                tracing::warn!(%error, "the key of a kept question is not remembered");
            }
            Ok::<_, EditorError>(compared.effect)
        };
        stream::iter(questions).map(one).buffered(AT_A_TIME).try_collect().await
    }

    /// The canaries of a codebook that an edit breaks which isn't stored yet.
    async fn broken_canaries(
        self: &Arc<Self>,
        asking: (&CodebookName, CallContext),
        states: (&AskedState, &AskedState),
    ) -> Result<Vec<BrokenCanary>, EditorError> {
        let canaries = self.canaries().of(asking.0);
        let questions: Vec<Subject> = canaries.iter().map(kept).collect();
        let effects = self.effects(asking, states, self.canaries(), &questions).await?;
        let mut broken = Vec::new();
        for (canary, effect) in canaries.iter().zip(effects) {
            let there = match effect {
                Effect::Asked(there) => there,
                Effect::None => continue,
                Effect::Unknown => {
                    tracing::warn!(codebook = %asking.0, canary = %canary.id, "a canary's picture is gone");
                    continue;
                }
            };
            let (before, after) = *there;
            let canary = Canary::from(canary.as_ref());
            let stands = |answer: &str| same(answer, &canary.answer);
            if stands(&before.opinion.answer) && !stands(&after.opinion.answer) {
                broken.push(BrokenCanary { canary, after: after.opinion });
            }
        }
        Ok(broken)
    }

    /// The state before an edit and the one with it.
    async fn with_and_without(
        self: &Arc<Self>,
        before: Arc<Snapshot>,
        (record, members, generation): (EditRecord, Vec<Member>, Generation),
        picture: &DecodedPicture,
    ) -> Result<(AskedState, AskedState), EditorError> {
        let base = Arc::clone(&before);
        let after = blocking(move || Ok(base.with_hypothetical(record, members, &generation)?)).await?;
        Ok((AskedState::live(before), self.supposed(Arc::new(after), Some(picture)).await?))
    }

    /// Holds an edit that is about to be stored against the canaries of its codebook: those that it breaks,
    /// to be told.
    ///
    /// # Errors
    /// [`EditorError::BreaksCanaries`] where that is refused, a busy or failing engine.
    pub(crate) async fn hold_against_canaries(
        self: &Arc<Self>,
        asking: (&CodebookName, CallContext),
        before: Arc<Snapshot>,
        edit: (EditRecord, Vec<Member>, Generation),
        picture: &DecodedPicture,
    ) -> Result<Vec<BrokenCanary>, EditorError> {
        let (before, after) = self.with_and_without(before, edit, picture).await?;
        let broken = self.broken_canaries(asking, (&before, &after)).await?;
        if !broken.is_empty() && self.config().canaries.on_break == OnBreak::Refuse {
            return Err(EditorError::BreaksCanaries(broken));
        }
        Ok(broken)
    }
}

impl Editor {
    /// What an edit would change: which of these questions, and which canaries, would be answered otherwise.
    /// Nothing is stored, and no id is given. The model is asked only where something else than before would
    /// stand in front of a question.
    ///
    /// # Errors
    /// As [`Editor::edit`]; unusable questions.
    pub async fn dry_run(
        &self,
        codebook: &CodebookName,
        edit: EditRequest,
        questions: DryRunQuestions,
        call: CallContext,
    ) -> Result<DryRunOutcome, EditorError> {
        Box::pin(self.dry_run_of(codebook, edit, questions, call)).await
    }

    async fn dry_run_of(
        &self,
        codebook: &CodebookName,
        edit: EditRequest,
        questions: DryRunQuestions,
        call: CallContext,
    ) -> Result<DryRunOutcome, EditorError> {
        let (core, began) = (&self.core, Instant::now());
        let questions = self.subjects(codebook, questions)?;
        let snapshot = match core.existing(codebook)? {
            Some(book) => book.snapshot(),
            None => Arc::new(Snapshot::empty(&core.config().codebook)),
        };
        let revision = snapshot.revision();
        let pipeline = EditPipeline { core, codebook, call };
        let ((record, members, generation), picture) = pipeline.imagine(edit, &snapshot).await?;
        let (id, warnings) = (record.id, record.warnings.clone());
        let (before, after) =
            core.with_and_without(snapshot, (record, members, generation), &picture).await?;
        let edit_ms = milliseconds(began);
        let comparing = Instant::now();
        let (effects, broken_canaries) =
            self.effects_on((codebook, call), (&before, &after), questions).await?;
        let tried =
            after.snapshot.edit(id).ok_or(EditorError::Internal("an edit is not where it was put"))?;
        let mut others = Others::of(&after.snapshot, tried);
        let seen = (before.snapshot.as_ref(), &mut others.conflicts);
        let asking = QueryPipeline { core, codebook, call, events: None };
        asking.foreseen_contradictions(seen, tried, &picture).await?;
        Ok(DryRunOutcome {
            revision,
            warnings,
            conflicts: others.conflicts,
            superseded_by: others.superseded_by,
            questions: effects,
            broken_canaries,
            tried: id,
            timings_ms: BTreeMap::from([
                ("edit".to_owned(), edit_ms),
                ("compare".to_owned(), milliseconds(comparing)),
            ]),
        })
    }

    /// The questions of a dry run, checked.
    pub(crate) fn subjects(
        &self,
        codebook: &CodebookName,
        questions: DryRunQuestions,
    ) -> Result<Vec<Subject>, EditorError> {
        Ok(match questions {
            DryRunQuestions::Given(given) => {
                self.checked(given)?.into_iter().map(|question| (question, None)).collect()
            }
            DryRunQuestions::Log => self.core.question_log().of(codebook).iter().map(kept).collect(),
        })
    }

    /// What becomes of questions, and the canaries that break, between two states of a codebook.
    pub(crate) async fn effects_on(
        &self,
        asking: (&CodebookName, CallContext),
        states: (&AskedState, &AskedState),
        questions: Vec<Subject>,
    ) -> Result<(Vec<QuestionEffect>, Vec<BrokenCanary>), EditorError> {
        let core = &self.core;
        let effects = core.effects(asking, states, core.question_log(), &questions).await?;
        let broken = core.broken_canaries(asking, states).await?;
        let each = questions.into_iter().zip(effects).map(|((question, kept), effect)| QuestionEffect {
            id: kept.map(|kept| kept.id),
            image: question.image.id(),
            question: question.question,
            effect,
        });
        Ok((each.collect(), broken))
    }

    /// Repairs and checks questions as queries are.
    fn checked(&self, questions: Vec<ComparedQuestion>) -> Result<Vec<ComparedQuestion>, EditorError> {
        let config = self.config();
        let most = config.dry_run.max_questions;
        if questions.len() > most {
            let detail = format!("{} questions were given; at most {most} are taken", questions.len());
            return Err(EditorError::Invalid(vec![FieldError::new("/questions", detail)]));
        }
        let (mut checked, mut faults) = (Vec::with_capacity(questions.len()), Vec::new());
        for (at, ComparedQuestion { image, question, choices, key }) in questions.into_iter().enumerate() {
            match check_query(config, QueryRequest { choices, ..QueryRequest::new(image, question) }) {
                Ok(QueryRequest { image, question, choices, .. }) => {
                    checked.push(ComparedQuestion { image, question, choices, key });
                }
                Err(EditorError::Invalid(found)) => {
                    let placed = |FieldError { pointer, detail }| FieldError {
                        pointer: format!("/questions/{at}{pointer}"),
                        detail,
                    };
                    faults.extend(found.into_iter().map(placed));
                }
                Err(other) => return Err(other),
            }
        }
        if faults.is_empty() { Ok(checked) } else { Err(EditorError::Invalid(faults)) }
    }

    /// Puts a canary: from now on edits are held against it. The same question about the same picture is
    /// replaced.
    ///
    /// # Errors
    /// Unusable input, an unknown picture, more canaries than there may be, a busy or failing engine, failing
    /// storage.
    pub async fn put_canary(
        &self,
        codebook: &CodebookName,
        request: CanaryRequest,
        call: CallContext,
    ) -> Result<Canary, EditorError> {
        let config = self.config();
        let query =
            QueryRequest { choices: request.choices, ..QueryRequest::new(request.image, request.question) };
        let query = check_query(config, query)?;
        let fault = |detail: String| EditorError::Invalid(vec![FieldError::new("/answer", detail)]);
        let answer = match request.answer {
            Some(answer) => answer.trim().to_owned(),
            None => self.query(codebook, query.clone(), call).await?.answer,
        };
        let (length, most) = (answer.chars().count(), config.limits.answer_chars);
        if !(1..=most).contains(&length) {
            return Err(fault(format!("an answer has 1 to {most} characters, not {length}")));
        }
        if !query.choices.is_empty() && !query.choices.iter().any(|choice| same(choice, &answer)) {
            return Err(fault("the answer must be one of the choices".to_owned()));
        }
        let core = Arc::clone(&self.core);
        let rules = core.pixel_rules(codebook)?;
        let picture = core.pictures().resolve_for(call.flow, &query.image, rules).await?;
        let question = KeptQuestion {
            id: core.next_id(),
            codebook: codebook.clone(),
            at: OffsetDateTime::now_utc(),
            image: picture.id,
            question: query.question.trim().to_owned(),
            choices: query.choices.iter().map(|choice| choice.trim().to_owned()).collect(),
            expected: Some(answer),
            key: None,
        };
        let most = config.canaries.most;
        let canary = Canary::from(&question);
        // No picture goes while one that needs it is written.
        let gate = self.core.gate().read_owned().await;
        blocking(move || {
            let known = core.canaries().of(&question.codebook);
            let replaced = known.iter().any(|one| {
                (one.image, &one.question, &one.choices)
                    == (question.image, &question.question, &question.choices)
            });
            if known.len() >= most && !replaced {
                let detail = format!("there are {most} canaries, as many as may be; remove one first");
                return Err(EditorError::Invalid(vec![FieldError::new("/question", detail)]));
            }
            core.pictures().keep(&picture)?;
            core.canaries().put(question)?;
            drop(gate);
            Ok(())
        })
        .await?;
        Ok(canary)
    }

    /// The canaries of a codebook, oldest first.
    pub fn canaries(&self, codebook: &CodebookName) -> Vec<Canary> {
        self.core.canaries().of(codebook).iter().map(|kept| Canary::from(kept.as_ref())).collect()
    }

    /// Removes a canary for good, and its picture where nothing else is about it.
    ///
    /// # Errors
    /// `UnknownCanary`, failing storage.
    pub async fn remove_canary(&self, codebook: &CodebookName, id: Ulid) -> Result<(), EditorError> {
        let (core, codebook) = (Arc::clone(&self.core), codebook.clone());
        let gate = self.core.gate().write_owned().await;
        blocking(move || {
            let found = core.canaries().get(id).filter(|kept| kept.codebook == codebook);
            let Some(found) = found else { return Err(EditorError::UnknownCanary(id)) };
            core.pictures().store().intend_erasing(found.image)?;
            core.canaries().remove(id)?;
            crate::erase::end_erasures(&core, None)?;
            drop(gate);
            Ok(())
        })
        .await
    }
}

impl Core {
    /// Whether something that is kept beside edits is about a picture.
    pub(crate) fn keeps_anything_about(&self, image: ImageId) -> bool {
        self.canaries().about(image) || self.question_log().about(image) || self.proposals().about(image)
    }
}
