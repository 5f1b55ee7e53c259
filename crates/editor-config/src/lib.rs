//! Every number of the method that the editor decides by, with its default and its source; and every text
//! that it puts to the model ([`prompts`]).

pub mod prompts;
mod review;
mod validate;

use std::collections::BTreeMap;
use std::path::PathBuf;

use reasonedit_codebook::{CodebookConfig, CodebookName, OnConflict};
use reasonedit_imaging::DecodeLimits;
use reasonedit_imaging::augment::AugmentConfig;
use reasonedit_imaging::grid::GridConfig;
use reasonedit_inference::{ModelInfo, Pooling, TapName, TapStage};
use serde::{Deserialize, Serialize};

pub use prompts::{Prompts, with_facts};
pub use review::{ReviewConfig, ReviewMode, ReviewRule};

/// A setting is out of its range: the field, and the range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct OutOfRange(pub &'static str);

/// The whole configuration of the editor.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EditorConfig {
    /// How image and text become one key.
    pub embedding: EmbeddingConfig,
    /// How evidence for a statement is found in the picture.
    pub patchify: PatchifyConfig,
    /// Which entries an edit makes.
    pub entries: EntriesConfig,
    /// How the radius of a key is estimated.
    pub radius: RadiusConfig,
    /// Merging, retrieval, gate and hubness: the codebook's own settings.
    pub codebook: CodebookConfig,
    /// What becomes of edits that contradict each other.
    pub conflicts: ConflictConfig,
    /// Which edits wait until somebody else has looked at them.
    pub review: ReviewConfig,
    /// What a query may do about retrieval.
    pub retrieval: RetrievalConfig,
    /// How answers are made.
    pub answer: AnswerConfig,
    /// Questions whose answers must not change.
    pub canaries: CanariesConfig,
    /// Seeing what an edit would change.
    pub dry_run: DryRunConfig,
    /// A log of what was asked, for dry runs.
    pub question_log: QuestionLogConfig,
    /// Bounds of the input.
    pub limits: InputLimits,
    /// Bounds of pictures.
    pub image: DecodeLimits,
    /// Texts put to the model.
    pub prompts: Prompts,
}

/// Dual embedding E(x, t) = [h(x) ; λ·S(t)] (paper section 3.3). Tap, pooling and λ are those of codebooks
/// for which no others were chosen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EmbeddingConfig {
    /// Vision tap; empty: the vision block at three quarters of the depth (method, notation). A language tap,
    /// whose state is of picture and text together, makes the single-layer keys of earlier editors (paper
    /// section 4.5): a run of the model for every pair, for comparisons.
    pub tap: Option<String>,
    /// Pooling over the image's tokens.
    pub pooling: Pooling,
    /// Weight λ of the sentence embedding (official default 30, before any selection).
    pub lambda: f64,
    /// What to do when a stored codebook was made with another embedding.
    pub on_mismatch: OnMismatch,
}

/// What to do with a codebook whose keys were made with another model or sentence encoder, or with another
/// tap, pooling or λ unless these were chosen for it. Other rules of keys are no reason to refuse one: it
/// goes on with its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnMismatch {
    /// Refuse to use it, and say so.
    #[default]
    Refuse,
    /// Make every key anew from the stored edits, with the embedding configured here, before it is used; of a
    /// codebook that follows the configuration also where its pictures are read by other rules than today's.
    Reembed,
}

impl Default for EmbeddingConfig {
    fn default() -> Self {
        Self { tap: None, pooling: Pooling::Mean, lambda: 30.0, on_mismatch: OnMismatch::Refuse }
    }
}

impl EmbeddingConfig {
    /// The tap of the keys' first half: the configured one if the model has it, else `None`; without one
    /// configured the vision block at three quarters of the depth.
    pub fn tap_of(&self, model: &ModelInfo) -> Option<TapName> {
        let mut vision = model.taps.iter().filter(|t| t.stage == TapStage::Vision);
        if let Some(name) = &self.tap {
            return model.taps.iter().find(|t| &t.name.0 == name).map(|t| t.name.clone());
        }
        let blocks =
            vision.clone().filter(|t| t.name.0.rsplit('.').next().is_some_and(|n| n.parse::<u32>().is_ok()));
        let depth = blocks.clone().count();
        let wanted = (depth * 3).div_ceil(4).saturating_sub(1);
        blocks.map(|t| t.name.clone()).nth(wanted).or_else(|| vision.next().map(|t| t.name.clone()))
    }
}

/// Visual evidence patchification (paper section 3.2 and appendix C; method section 1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PatchifyConfig {
    /// Whether to look for evidence where the person gave no box.
    pub enabled: bool,
    /// Grid and kernels of the candidates.
    pub grid: GridConfig,
    /// Candidates are kept above this probability of yes (paper: "predicted probability of yes exceeds that
    /// of no").
    pub min_p_yes: f64,
    /// Among the smallest kept patches, those whose score equals the best at this many decimals are all kept
    /// (official code: 2).
    pub tie_decimals: u32,
}

impl Default for PatchifyConfig {
    fn default() -> Self {
        Self { enabled: true, grid: GridConfig::default(), min_p_yes: 0.5, tie_decimals: 2 }
    }
}

/// Which picture parts a statement is paired with (method section 2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pair {
    /// The whole picture and the evidence patches (official code).
    #[default]
    Both,
    /// The evidence patches only (paper's text); a statement without evidence gets the whole picture, so that
    /// it is not lost.
    Patch,
    /// The whole picture only.
    Image,
}

/// Entries of an edit.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EntriesConfig {
    /// What statements are paired with.
    pub pair: Pair,
}

/// Radius of a key (method section 3).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RadiusConfig {
    /// Augmented pairs whose median distance is the radius (official code: 1).
    pub pairs: usize,
    /// Picture augmentation.
    pub augment: AugmentConfig,
    /// Pictures above this many pixels are scaled down before they are augmented: models look at fewer, and
    /// the cost of an augmentation grows with the pixels.
    pub augment_pixels: u32,
    /// Folder of background pictures; none: textures made from the seed.
    pub backgrounds: Option<PathBuf>,
    /// Who rephrases the text.
    pub paraphrase: Paraphrase,
    /// Most tokens of a paraphrase (official code: 64).
    pub paraphrase_tokens: usize,
}

impl Default for RadiusConfig {
    fn default() -> Self {
        Self {
            pairs: 3,
            augment: AugmentConfig::default(),
            augment_pixels: 1 << 20,
            backgrounds: None,
            paraphrase: Paraphrase::Model,
            paraphrase_tokens: 64,
        }
    }
}

/// Who rephrases a sentence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Paraphrase {
    /// The loaded model, checked, with the rules as fallback.
    #[default]
    Model,
    /// Light rewriting by rule.
    Rules,
}

/// What a query may do about retrieval; how it is done (k, τ, hubness) stands with the codebook.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetrievalConfig {
    /// Whether queries retrieve at all unless they say otherwise.
    pub enabled: bool,
    /// Most keys a request may ask for.
    pub max_k: usize,
    /// Answering as if a codebook were another than it is.
    pub hypothetical: HypotheticalConfig,
    /// Judging what was retrieved on the query's picture.
    pub verify: VerifyConfig,
    /// Retrieving only what bears on the question.
    pub relevance: RelevanceConfig,
}

impl Default for RetrievalConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            max_k: 50,
            hypothetical: HypotheticalConfig::default(),
            verify: VerifyConfig::default(),
            relevance: RelevanceConfig::default(),
        }
    }
}

/// Codebooks as they were, or without some edits, that questions are asked about. None of this is in the
/// paper.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HypotheticalConfig {
    /// Most edits that a request may leave out.
    pub max_without: usize,
    /// Most proposals that a request may ask about as if they had been approved.
    pub max_as_if: usize,
    /// States that are kept at hand for the next question about them; 0: none.
    pub states: usize,
    /// Bytes of such states, kept or in use, each counted as if it shared nothing with the live codebook.
    /// They are part of what requests may hold.
    pub bytes: u64,
}

impl Default for HypotheticalConfig {
    fn default() -> Self {
        Self { max_without: 1000, max_as_if: 20, states: 4, bytes: 256 << 20 }
    }
}

/// Relevance: only what bears on the question is retrieved, in place of the gate by distance. Not in the
/// paper.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RelevanceConfig {
    /// Off: everything that lies near is retrieved (paper).
    pub enabled: bool,
    /// File of the head that tells it, trained on the sentence encoder in use; none: the model's own, if it
    /// brings one.
    pub head: Option<PathBuf>,
    /// Share of the questions that no edit concerns in front of which an edit may be put all the same,
    /// because its question is alike.
    pub false_injection: f64,
    /// How sure it is that the share is not above that.
    pub confidence: f64,
}

impl Default for RelevanceConfig {
    fn default() -> Self {
        Self { enabled: false, head: None, false_injection: 0.03, confidence: 0.95 }
    }
}

/// Verified retrieval: a sentence is put in front only where the model says that the query's picture bears it
/// out. Not in the paper, which puts all of the nearest in front.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct VerifyConfig {
    /// Off: the nearest are put in front as they are (paper).
    pub enabled: bool,
    /// Statements are put in front above this probability.
    pub min_support: f64,
    /// Answers, and statements that can't be judged themselves, are put in front above this mean over the
    /// statements of their edit. Higher, since an edit of which one statement in four fails here does not
    /// hold here.
    pub min_edit_support: f64,
    /// Keys that are judged to find `k` that stand.
    pub candidates: usize,
    /// Statements that the model is asked about at most.
    pub statements: usize,
    /// An edit of which no statement can be judged speaks within this multiple of its key's radius.
    pub unjudged_reach: f64,
    /// Answers to one question that exclude each other.
    pub disputes: DisputeConfig,
}

impl Default for VerifyConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            min_support: 0.5,
            min_edit_support: 0.75,
            candidates: 24,
            statements: 48,
            unjudged_reach: 1.0,
            disputes: DisputeConfig::default(),
        }
    }
}

/// Which of several answers to one question is put in front, where the picture bears out more than one. The
/// numbers were chosen on pairs of the demo world that differ in one detail.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DisputeConfig {
    /// The better borne out stands where its support is above the other's by so much, and their edits differ
    /// in no side, negation, number or opposite.
    pub margin: f64,
    /// The model tells two edits apart where the log-odds of what they say differ by so much between their
    /// own pictures (nats).
    pub min_gap: f64,
    /// And where the asked picture lies so far from the middle between them (0 to 1).
    pub min_place: f64,
    /// Pictures tell them apart where the difference of the distances is above this share of their sum.
    pub min_nearness: f64,
    /// Questions are the same from this cosine of their embeddings on, unless they differ in a detail.
    pub same_question: f64,
    /// Answers that are held against each other at most; the worse borne out are left out.
    pub contenders: usize,
    /// What becomes of two that nothing tells apart.
    pub undecided: Undecided,
}

impl Default for DisputeConfig {
    fn default() -> Self {
        Self {
            margin: 0.1,
            min_gap: 2.0,
            min_place: 0.25,
            min_nearness: 0.05,
            same_question: 0.95,
            contenders: 4,
            undecided: Undecided::default(),
        }
    }
}

/// What becomes of two answers that nothing tells apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Undecided {
    /// Neither is put in front, and that is said.
    #[default]
    Withhold,
    /// The newer stands.
    Newer,
}

/// Answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AnswerConfig {
    /// Tokens generated when a query doesn't say.
    pub max_tokens: usize,
    /// Most tokens a query may ask for.
    pub max_tokens_limit: usize,
    /// Tokens that a reasoning model may think when a query doesn't say.
    pub max_thinking_tokens: usize,
    /// Most tokens of thinking a query may ask for.
    pub max_thinking_tokens_limit: usize,
    /// Bytes of decoded pictures kept at hand.
    pub picture_cache_bytes: usize,
}

impl Default for AnswerConfig {
    fn default() -> Self {
        Self {
            max_tokens: 64,
            max_tokens_limit: 1024,
            max_thinking_tokens: 1024,
            max_thinking_tokens_limit: 8192,
            picture_cache_bytes: 64 << 20,
        }
    }
}

/// Canaries: questions with answers that must not change, which every edit is held against before it is
/// acknowledged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CanariesConfig {
    /// What is done about an edit that breaks one.
    pub on_break: OnBreak,
    /// Most canaries of a codebook.
    pub most: usize,
}

impl Default for CanariesConfig {
    fn default() -> Self {
        Self { on_break: OnBreak::Flag, most: 200 }
    }
}

/// What is done about an edit that breaks a canary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnBreak {
    /// It is refused, and nothing of it is stored.
    Refuse,
    /// It is made, and its answer says so.
    #[default]
    Flag,
    /// Nobody looks.
    Off,
}

/// Dry runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DryRunConfig {
    /// Most questions that one may bring.
    pub max_questions: usize,
}

impl Default for DryRunConfig {
    fn default() -> Self {
        Self { max_questions: 1000 }
    }
}

/// A log of what was asked, with the pictures. Off unless somebody wants it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QuestionLogConfig {
    /// Off: nothing is kept, and what was kept goes at the next start.
    pub enabled: bool,
    /// Most questions of a codebook; the oldest go first.
    pub most: usize,
    /// Days after which a question goes.
    pub keep_days: u32,
}

impl Default for QuestionLogConfig {
    fn default() -> Self {
        Self { enabled: false, most: 1000, keep_days: 30 }
    }
}

/// What becomes of older edits about the same picture and question that answer otherwise, where a request
/// doesn't say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ConflictConfig {
    /// In any codebook.
    pub on_conflict: OnConflict,
    /// In these.
    pub codebooks: BTreeMap<CodebookName, OnConflict>,
    /// Whether edits are held against others when they are made, about the same picture and, where retrieval
    /// is verified, about other ones: what contradicts each other is told and listed.
    pub find: bool,
    /// Questions about other pictures are the same from this cosine of their embeddings on. Lower than where
    /// an answer is chosen: what each says has to hold on the picture of the other besides.
    pub same_question: f64,
}

impl Default for ConflictConfig {
    fn default() -> Self {
        Self {
            on_conflict: OnConflict::default(),
            codebooks: BTreeMap::new(),
            find: true,
            same_question: 0.7,
        }
    }
}

/// Bounds of what a person may send.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InputLimits {
    /// Characters of a question.
    pub question_chars: usize,
    /// Characters of an answer or a choice.
    pub answer_chars: usize,
    /// Characters of a statement.
    pub statement_chars: usize,
    /// Statements of an edit.
    pub statements: usize,
    /// Boxes of a statement.
    pub boxes: usize,
    /// Choices.
    pub choices: usize,
    /// Tags.
    pub tags: usize,
    /// Edits that one supersedes by name.
    pub supersedes: usize,
    /// Characters of a tag or an author.
    pub label_chars: usize,
    /// Bytes of the metadata as JSON.
    pub metadata_bytes: usize,
    /// Characters of an idempotency key.
    pub idempotency_chars: usize,
    /// Turns of a conversation.
    pub turns: usize,
    /// Characters of all turns of a conversation together; the model's own limit may be lower.
    pub conversation_chars: usize,
    /// Pictures of a conversation.
    pub pictures: usize,
    /// Bytes of pictures that are being decoded, and of decoded ones that requests hold, all together. Those
    /// that don't fit wait, and are refused if that takes too long.
    pub picture_bytes: u64,
}

impl Default for InputLimits {
    fn default() -> Self {
        Self {
            question_chars: 4_000,
            answer_chars: 1_000,
            statement_chars: 2_000,
            statements: 32,
            boxes: 8,
            choices: 16,
            tags: 32,
            supersedes: 100,
            label_chars: 200,
            metadata_bytes: 16 << 10,
            idempotency_chars: 255,
            turns: 200,
            conversation_chars: 100_000,
            pictures: 8,
            picture_bytes: 1 << 30,
        }
    }
}
