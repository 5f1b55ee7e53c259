//! Verified retrieval: what was retrieved is put in front only where the model, asked about the query's picture, bears it out (beyond the paper).
//!
//! Nearness can't tell "the same question on a picture for which the reasoning holds" from "the same question on another picture". The model can:
//! asked whether the picture shows a statement, it is right far more often than on the question that had to be corrected. So every statement is
//! judged on the query's picture, an answer by the statements of its edit, and what fails is withheld and said to be.
//!
//! What can't be judged by a picture is not. A statement that the model did not recognise on its own edit's picture goes with its edit. So does a yes to
//! what the model affirms of pictures without content too (general knowledge, what it can't see); a no to it counts. An edit of which nothing is
//! left to judge speaks within a multiple of its radius. The edit of this very picture needs no judgement.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock};

use reasonedit_codebook::{EditId, EditRecord, Fact, ImageId, Kind, Retrieval, Snapshot, Statement};
use reasonedit_imaging::augment::textures;
use reasonedit_imaging::{PixelBox, RgbImage};
use reasonedit_vlm::engine::{Ask, CallOptions, EngineHandle, FeatureKey, ImageInput, Want};

use crate::Editor;
use crate::config::VerifyConfig;
use crate::error::{EditorError, FieldError};
use crate::patchify::{p_yes, unexpected};
use crate::pictures::Picture;
use crate::prompts::Prompts;
use crate::types::{CallContext, ImageSource, Verification, Withheld, WithheldReason};
use crate::validate::inside;

/// Edits that one sentence is judged by at most: the same sentence may come from many.
const EDITS: usize = 4;
/// Side of a picture without content, in pixels.
const SIDE: u32 = 256;
/// Textures among them.
const TEXTURES: u32 = 2;

/// Judges the facts of a retrieval on the query's picture: leaves in it those that are borne out, of the nearest `k` keys, and tells about the others.
/// Returns also the milliseconds that the questions waited for the engine.
pub(crate) async fn judge(
    engine: &EngineHandle,
    (config, prompts): (&VerifyConfig, &Prompts),
    (snapshot, picture): (&Snapshot, &Picture),
    retrieval: &mut Retrieval,
    k: usize,
    options: CallOptions,
) -> Result<(Verification, f64), EditorError> {
    let mut candidates = std::mem::take(&mut retrieval.facts);
    let mut edits = HashMap::new();
    for id in candidates.iter().flat_map(|fact| &fact.edit_ids) {
        if let Some(record) = snapshot.edit(*id) {
            edits.insert(*id, record.as_ref());
        }
    }
    let bench = Bench { config, edits, picture: picture.id };
    let questions = bench.questions(&mut candidates);
    let (answers, queue_ms) = shown(engine, prompts, picture.input(None), &questions, options).await?;
    let judged: HashMap<&str, f64> = questions.into_iter().zip(answers).collect();
    let (facts, verification) = bench.decide(candidates, &judged, k);
    retrieval.facts = facts;
    Ok((verification, queue_ms))
}

/// Probability, by the unedited model, that each picture shows each statement (method section 1.3): a row for every picture. Then the milliseconds
/// waited.
async fn shown_by(
    engine: &EngineHandle,
    prompts: &Prompts,
    images: Vec<ImageInput>,
    statements: &[&str],
    options: CallOptions,
) -> Result<(Vec<Vec<f64>>, f64), EditorError> {
    if statements.is_empty() {
        return Ok((vec![Vec::new(); images.len()], 0.0));
    }
    let ask = |image: usize, statement: &&str| Ask {
        image,
        prompt: prompts.verify(statement),
        want: Want::FirstToken(vec![prompts.yes.clone(), prompts.no.clone()]),
    };
    let asks = (0..images.len()).flat_map(|image| statements.iter().map(move |s| ask(image, s))).collect();
    let (answers, times) = engine.ask(images, asks, options).await?;
    let p = answers.iter().map(p_yes).collect::<Result<Vec<f64>, _>>()?;
    Ok((p.chunks(statements.len()).map(<[f64]>::to_vec).collect(), times.queue_ms))
}

/// As [`shown_by`], of one picture or a part of it.
pub(crate) async fn shown(
    engine: &EngineHandle,
    prompts: &Prompts,
    image: ImageInput,
    statements: &[&str],
    options: CallOptions,
) -> Result<(Vec<f64>, f64), EditorError> {
    let (rows, queue_ms) = shown_by(engine, prompts, vec![image], statements, options).await?;
    Ok((rows.into_iter().next().unwrap_or_default(), queue_ms))
}

/// What the model says of each statement whatever the picture: the mean over pictures without content, one grey and some textures. (The idea is that
/// of contextual calibration, Zhao et al. 2021.)
pub(crate) async fn priors(
    engine: &EngineHandle,
    prompts: &Prompts,
    statements: &[&str],
    options: CallOptions,
) -> Result<Vec<f64>, EditorError> {
    static PICTURES: LazyLock<Vec<ImageInput>> = LazyLock::new(|| {
        let grey = RgbImage::from_raw(SIDE, SIDE, vec![128; (SIDE * SIDE * 3) as usize]);
        let pictures = grey.into_iter().chain(textures(0, TEXTURES, SIDE));
        let input = |picture: RgbImage| ImageInput {
            key: FeatureKey { image: *blake3::hash(picture.as_raw()).as_bytes(), area: None },
            picture: Arc::new(picture),
        };
        pictures.map(input).collect()
    });
    let (rows, _) = shown_by(engine, prompts, PICTURES.clone(), statements, options).await?;
    let mean = |at: usize| rows.iter().map(|row| row[at]).sum::<f64>() / rows.len().max(1) as f64;
    Ok((0..statements.len()).map(mean).collect())
}

impl Editor {
    /// Probability that a picture, or a part of it, shows a statement, by the unedited model.
    ///
    /// # Errors
    /// An unusable picture or box, a busy or failing engine.
    pub async fn verify_statement(
        &self,
        image: ImageSource,
        area: Option<PixelBox>,
        statement: &str,
        call: CallContext,
    ) -> Result<f64, EditorError> {
        let picture = self.pictures().resolve(&image).await?;
        let (width, height) = picture.pixels.dimensions();
        if area.is_some_and(|a| !inside(&a, width, height)) {
            return Err(EditorError::Invalid(vec![FieldError::new(
                "/crop",
                "the box is not inside the picture",
            )]));
        }
        let (prompts, image) = (&self.config().prompts, picture.input(area));
        let (p, _) = shown(self.engine(), prompts, image, &[statement], call.options()).await?;
        p.first().copied().ok_or_else(unexpected)
    }
}

/// The edits that facts come from, and the picture that they are held against.
struct Bench<'a> {
    config: &'a VerifyConfig,
    edits: HashMap<EditId, &'a EditRecord>,
    picture: ImageId,
}

/// How well the picture bears a fact out.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Support {
    /// It was said of this very picture.
    Own,
    /// Probability that the picture shows it.
    Shown(f64),
    /// Mean of these probabilities over the statements of its edit.
    Edit(f64),
    /// Nothing that it rests on can be judged.
    Unknown,
}

impl<'a> Bench<'a> {
    /// The statements to ask about, those of the nearest facts first, as many as the configuration allows. The fact for which there is no room,
    /// and those behind it, are candidates no longer: what isn't asked about must not be taken for what can't be judged.
    fn questions(&self, candidates: &mut Vec<Fact>) -> Vec<&'a str> {
        let mut questions = Vec::new();
        let mut room = 0;
        for fact in candidates.iter() {
            let own = self.own_ground(fact);
            let telling = own.is_some_and(|ground| !self.affirmed_anyway(ground));
            let of_edits = if telling { Vec::new() } else { self.grounds(fact).concat() };
            let mut new: Vec<&str> = Vec::new();
            if !self.is_own(fact) {
                let texts = own.into_iter().chain(of_edits).map(|ground| ground.statement.as_str());
                for text in texts.filter(|text| !questions.contains(text)) {
                    if !new.contains(&text) {
                        new.push(text);
                    }
                }
            }
            // The nearest fact is judged by as many of its statements as there is room for.
            new.truncate(if room == 0 { self.config.statements } else { new.len() });
            if questions.len() + new.len() > self.config.statements {
                break;
            }
            questions.append(&mut new);
            room += 1;
        }
        candidates.truncate(room);
        questions
    }

    fn records(&self, fact: &Fact) -> impl Iterator<Item = &'a EditRecord> {
        fact.edit_ids.iter().filter_map(|id| self.edits.get(id).copied())
    }

    fn is_own(&self, fact: &Fact) -> bool {
        self.records(fact).any(|record| record.image.id == self.picture)
    }

    /// Whether the model, which affirmed it of its own picture, affirms it of a picture without content too.
    fn affirmed_anyway(&self, ground: &Statement) -> bool {
        ground.prior.is_some_and(|p| p > self.config.min_support)
    }

    /// For each of a fact's edits the statements that the model recognised on its picture: what the edit stands or falls with.
    fn grounds(&self, fact: &Fact) -> Vec<Vec<&'a Statement>> {
        let recognised = |s: &&Statement| s.p_yes.is_none_or(|p| p > self.config.min_support);
        self.records(fact)
            .take(EDITS)
            .map(|record| record.reasoning.iter().filter(recognised).collect())
            .collect()
    }

    /// A statement's own place among them.
    fn own_ground(&self, fact: &Fact) -> Option<&'a Statement> {
        let of_kind = fact.kind == Kind::Statement;
        self.grounds(fact).concat().into_iter().find(|ground| of_kind && ground.statement == fact.value)
    }

    /// What the picture says of a statement: nothing, where the model was not asked, or says yes to what it says yes to anyway.
    fn verdict(&self, ground: &Statement, judged: &HashMap<&str, f64>) -> Option<f64> {
        let p = judged.get(ground.statement.as_str()).copied()?;
        (p <= self.config.min_support || !self.affirmed_anyway(ground)).then_some(p)
    }

    /// How well the picture bears a fact out: a statement by itself, else by the best of its edits.
    fn support(&self, fact: &Fact, judged: &HashMap<&str, f64>) -> Support {
        if self.is_own(fact) {
            return Support::Own;
        }
        if let Some(p) = self.own_ground(fact).and_then(|ground| self.verdict(ground, judged)) {
            return Support::Shown(p);
        }
        let means = self.grounds(fact).into_iter().filter_map(|grounds| {
            let known: Vec<f64> = grounds.iter().filter_map(|ground| self.verdict(ground, judged)).collect();
            (!known.is_empty()).then(|| known.iter().sum::<f64>() / known.len() as f64)
        });
        means.max_by(f64::total_cmp).map_or(Support::Unknown, Support::Edit)
    }

    /// Splits the candidates into those put in front and those withheld.
    fn decide(
        &self,
        candidates: Vec<Fact>,
        judged: &HashMap<&str, f64>,
        k: usize,
    ) -> (Vec<Fact>, Verification) {
        let mut verification = Verification::default();
        let mut kept: Vec<(Fact, Support)> = Vec::new();
        for fact in candidates {
            let support = self.support(&fact, judged);
            if let Support::Shown(p) | Support::Edit(p) = support {
                verification.support.insert(fact.value.clone(), p);
            }
            let within = |most: f64| fact.reach.is_some_and(|reach| reach <= most);
            let reason = match support {
                Support::Shown(p) if p <= self.config.min_support => Some(WithheldReason::NotShown),
                Support::Edit(p) if p <= self.config.min_edit_support => Some(WithheldReason::NotShown),
                Support::Own | Support::Shown(_) | Support::Edit(_) => None,
                Support::Unknown if within(self.config.unjudged_reach) => None,
                Support::Unknown => Some(WithheldReason::OutOfReach),
            };
            match reason {
                Some(reason) => verification.withheld.push(Withheld { fact, reason }),
                None => kept.push((fact, support)),
            }
        }
        let contradicted = self.contradicted(&kept);
        let mut keys: Vec<_> = Vec::new();
        let mut facts = Vec::new();
        for (index, (fact, _)) in kept.into_iter().enumerate() {
            if contradicted.contains(&index) {
                verification.withheld.push(Withheld { fact, reason: WithheldReason::Contradicted });
                continue;
            }
            if !keys.contains(&fact.entry_id) {
                if keys.len() == k {
                    continue;
                }
                keys.push(fact.entry_id);
            }
            facts.push(fact);
        }
        (facts, verification)
    }

    /// Of answers to one question that differ, all but the one that is borne out best (the nearest of equals).
    fn contradicted(&self, kept: &[(Fact, Support)]) -> Vec<usize> {
        let weight = |support: Support| match support {
            Support::Own => f64::INFINITY,
            Support::Shown(p) | Support::Edit(p) => p,
            Support::Unknown => 0.0,
        };
        let mut best: BTreeMap<String, (usize, &str, f64)> = BTreeMap::new();
        let mut losers = Vec::new();
        for (index, (fact, support)) in kept.iter().enumerate().filter(|(_, (f, _))| f.kind == Kind::Answer) {
            let Some(record) = self.records(fact).next() else { continue };
            let question = record.question.trim().to_lowercase();
            let own = (index, record.answer.trim(), weight(*support));
            match best.get_mut(&question) {
                None => {
                    best.insert(question, own);
                }
                Some(other) if other.1 == own.1 => {}
                Some(other) if own.2 > other.2 => {
                    losers.push(other.0);
                    *other = own;
                }
                Some(_) => losers.push(index),
            }
        }
        losers
    }
}

#[cfg(test)]
mod tests {
    use reasonedit_codebook::{GenerationId, ImageInfo, MemberId};

    use super::*;

    /// Statements with what the model said of them on their own picture; "in general" ones it affirms of any.
    fn record(n: u128, answer: &str, statements: &[(&str, Option<f64>)]) -> EditRecord {
        let statement = |(text, p_yes): &(&str, Option<f64>)| Statement {
            statement: (*text).to_owned(),
            evidence: Vec::new(),
            p_yes: *p_yes,
            prior: p_yes.map(|_| if text.contains("in general") { 0.9 } else { 0.1 }),
        };
        EditRecord {
            warnings: Vec::new(),
            id: EditId(ulid::Ulid::from(n)),
            created_at: time::OffsetDateTime::UNIX_EPOCH,
            image: ImageInfo { id: ImageId::of(&n.to_be_bytes()), width: 8, height: 8 },
            question: "What is it?".to_owned(),
            answer: answer.to_owned(),
            choices: Vec::new(),
            reasoning: statements.iter().map(statement).collect(),
            author: None,
            tags: Vec::new(),
            metadata: serde_json::Value::Null,
            embedding: GenerationId(ulid::Ulid::nil()),
            before: None,
            timings_ms: BTreeMap::new(),
            idempotency: None,
        }
    }

    fn fact(record: &EditRecord, ordinal: u32, value: &str) -> Fact {
        Fact {
            entry_id: MemberId::derive(record.id, ordinal),
            edit_ids: vec![record.id],
            kind: if ordinal == 0 { Kind::Answer } else { Kind::Statement },
            value: value.to_owned(),
            distance: 1.0,
            reach: Some(1.5),
            image_id: record.image.id,
            evidence: None,
            rank: 1,
        }
    }

    fn bench<'a>(config: &'a VerifyConfig, records: &'a [EditRecord], picture: u128) -> Bench<'a> {
        Bench {
            config,
            edits: records.iter().map(|record| (record.id, record)).collect(),
            picture: ImageId::of(&picture.to_be_bytes()),
        }
    }

    fn values(facts: &[Fact]) -> Vec<&str> {
        facts.iter().map(|fact| fact.value.as_str()).collect()
    }

    fn withheld(verification: &Verification) -> Vec<(&str, WithheldReason)> {
        verification.withheld.iter().map(|w| (w.fact.value.as_str(), w.reason)).collect()
    }

    #[test]
    fn a_statement_stands_for_itself_and_an_answer_for_its_edit() {
        let config = VerifyConfig::default();
        let records = [record(1, "a", &[("It is red.", None), ("It is round.", Some(0.9))])];
        let bench = bench(&config, &records, 0);
        let mut facts = vec![
            fact(&records[0], 0, "The answer is a."),
            fact(&records[0], 1, "It is red."),
            fact(&records[0], 2, "It is round."),
        ];
        assert_eq!(bench.questions(&mut facts), ["It is red.", "It is round."]);
        assert_eq!(facts.len(), 3);
        let judged = HashMap::from([("It is red.", 0.3), ("It is round.", 0.9)]);
        let (front, verification) = bench.decide(facts.clone(), &judged, 5);
        assert_eq!(values(&front), ["It is round."]);
        let told = [("The answer is a.", WithheldReason::NotShown), ("It is red.", WithheldReason::NotShown)];
        assert_eq!(withheld(&verification), told);
        assert!((verification.support["The answer is a."] - 0.6).abs() < 1e-12);
        let lenient = VerifyConfig { min_edit_support: 0.5, ..VerifyConfig::default() };
        let lenient = Bench { config: &lenient, edits: bench.edits.clone(), picture: bench.picture };
        assert_eq!(
            values(&lenient.decide(facts.clone(), &judged, 5).0),
            ["The answer is a.", "It is round."]
        );
        // No more keys than asked for.
        let judged = HashMap::from([("It is red.", 0.9), ("It is round.", 0.9)]);
        assert_eq!(values(&bench.decide(facts, &judged, 2).0), ["The answer is a.", "It is red."]);
    }

    #[test]
    fn the_edit_of_this_picture_needs_no_judgement() {
        let config = VerifyConfig::default();
        let records = [record(1, "a", &[("It is red.", None)])];
        let bench = bench(&config, &records, 1);
        let mut facts = vec![fact(&records[0], 0, "The answer is a."), fact(&records[0], 1, "It is red.")];
        assert!(bench.questions(&mut facts).is_empty());
        let (front, verification) = bench.decide(facts, &HashMap::new(), 5);
        assert_eq!(values(&front), ["The answer is a.", "It is red."]);
        assert!(verification.withheld.is_empty() && verification.support.is_empty());
    }

    #[test]
    fn what_the_model_did_not_recognise_goes_with_its_edit() {
        let config = VerifyConfig::default();
        let records = [record(1, "a", &[("It is red.", Some(0.9)), ("Red ones are a.", Some(0.2))])];
        let bench = bench(&config, &records, 0);
        let rule = fact(&records[0], 2, "Red ones are a.");
        assert_eq!(bench.questions(&mut vec![rule.clone()]), ["It is red."]);
        for (p, shown) in [(0.8, true), (0.2, false)] {
            let (front, _) = bench.decide(vec![rule.clone()], &HashMap::from([("It is red.", p)]), 5);
            assert_eq!(!front.is_empty(), shown);
        }
    }

    #[test]
    fn a_yes_to_what_it_affirms_of_any_picture_says_nothing_and_a_no_does() {
        let config = VerifyConfig::default();
        let records =
            [record(1, "a", &[("It is red.", Some(0.9)), ("Those are rare in general.", Some(0.9))])];
        let bench = bench(&config, &records, 0);
        let general = fact(&records[0], 2, "Those are rare in general.");
        assert_eq!(bench.questions(&mut vec![general.clone()]), ["Those are rare in general.", "It is red."]);
        let support = |general_p, red_p| {
            let judged = HashMap::from([("Those are rare in general.", general_p), ("It is red.", red_p)]);
            bench.support(&general, &judged)
        };
        assert_eq!(support(0.9, 0.2), Support::Edit(0.2));
        assert_eq!(support(0.9, 0.8), Support::Edit(0.8));
        assert_eq!(support(0.1, 0.8), Support::Shown(0.1));
    }

    #[test]
    fn an_edit_that_nothing_can_be_said_of_speaks_within_its_radius() {
        let config = VerifyConfig::default();
        let records = [record(1, "a", &[])];
        let bench = bench(&config, &records, 0);
        let at = |reach| Fact { reach, ..fact(&records[0], 0, "The answer is a.") };
        for (reach, spoken) in [(Some(0.9), true), (Some(1.1), false), (None, false)] {
            let (front, verification) = bench.decide(vec![at(reach)], &HashMap::new(), 5);
            assert_eq!(!front.is_empty(), spoken, "{reach:?}");
            assert_eq!(verification.withheld.is_empty(), spoken);
        }
    }

    #[test]
    fn of_answers_that_contradict_each_other_the_best_borne_out_stays() {
        let config = VerifyConfig::default();
        let records = [
            record(1, "a", &[("It is red.", None)]),
            record(2, "b", &[("It is round.", None)]),
            record(3, "b", &[("It is round.", None)]),
        ];
        let bench = bench(&config, &records, 0);
        let facts: Vec<Fact> = ["a", "b", "b again"]
            .iter()
            .zip(&records)
            .map(|(answer, record)| fact(record, 0, &format!("The answer is {answer}.")))
            .collect();
        let judged = HashMap::from([("It is red.", 0.8), ("It is round.", 0.9)]);
        let (front, verification) = bench.decide(facts, &judged, 5);
        assert_eq!(values(&front), ["The answer is b.", "The answer is b again."]);
        assert_eq!(withheld(&verification), [("The answer is a.", WithheldReason::Contradicted)]);
    }

    #[test]
    fn no_more_is_asked_than_allowed() {
        let config = VerifyConfig { statements: 3, ..VerifyConfig::default() };
        let texts: Vec<String> = (0..9).map(|n| format!("Statement {n}.")).collect();
        let statements: Vec<(&str, Option<f64>)> = texts.iter().map(|text| (text.as_str(), None)).collect();
        let records = [record(1, "a", &statements)];
        let bench = bench(&config, &records, 0);
        let mut facts = vec![fact(&records[0], 0, "The answer is a."), fact(&records[0], 9, &texts[8])];
        assert_eq!(bench.questions(&mut facts).len(), 3);
        assert_eq!(values(&facts), ["The answer is a."], "what isn't asked about is no candidate");
    }
}
