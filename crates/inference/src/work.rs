//! Requests as they wait: what each wants, and the parts of them that are computed together.

use std::ops::Range;
use std::time::{Duration, Instant};

use reasonedit_nn::taps::PooledTaps;

use crate::error::EngineError;
use crate::request::{CallOptions, EngineTimes};
use crate::units::{AskOutput, AskUnit, Begin, ImageUnit, ModelCallUnit, PairUnit, SentenceUnit, Units};

/// What a request wants.
pub(super) enum Work {
    Images(Units<ImageUnit, PooledTaps>),
    Pairs(Units<PairUnit, PooledTaps>),
    Sentences(Units<SentenceUnit, Vec<f32>>),
    Asks(Units<AskUnit, AskOutput>),
    ModelCalls(Units<ModelCallUnit, ()>),
    Generate(Box<Begin>),
}

/// Kinds of work that are batched together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WorkKind {
    Images,
    Pairs,
    Sentences,
    Asks,
    ModelCalls,
    Generate,
}

impl Work {
    pub(super) fn kind(&self) -> WorkKind {
        match self {
            Self::Images(_) => WorkKind::Images,
            Self::Pairs(_) => WorkKind::Pairs,
            Self::Sentences(_) => WorkKind::Sentences,
            Self::Asks(_) => WorkKind::Asks,
            Self::ModelCalls(_) => WorkKind::ModelCalls,
            Self::Generate(_) => WorkKind::Generate,
        }
    }

    /// Units not yet computed: from where, and the estimated tokens of each.
    pub(super) fn costs(&self) -> (usize, Vec<usize>) {
        fn rest<U, O>(units: &Units<U, O>, cost: impl Fn(&U) -> usize) -> (usize, Vec<usize>) {
            let from = units.outputs.len();
            (from, units.inputs[from..].iter().map(cost).collect())
        }
        match self {
            Self::Images(units) => rest(units, |u| u.cost),
            Self::Pairs(units) => rest(units, |u| u.cost),
            // About four characters a token.
            Self::Sentences(units) => rest(units, |u| u.0.len() / 4 + 2),
            Self::Asks(units) => rest(units, |u| u.cost),
            Self::ModelCalls(units) => rest(units, |u| u.cost),
            Self::Generate(begin) => (0, vec![begin.unit.cost]),
        }
    }

    pub(super) fn caller_gone(&self) -> bool {
        match self {
            Self::Images(units) => units.reply.is_closed(),
            Self::Pairs(units) => units.reply.is_closed(),
            Self::Sentences(units) => units.reply.is_closed(),
            Self::Asks(units) => units.reply.is_closed(),
            Self::ModelCalls(units) => units.reply.is_closed(),
            Self::Generate(begin) => begin.events.is_closed(),
        }
    }

    /// Answers with an error; a caller who has gone doesn't hear it.
    pub(super) fn fail(self, error: EngineError) {
        match self {
            Self::Images(units) => drop(units.reply.send(Err(error))),
            Self::Pairs(units) => drop(units.reply.send(Err(error))),
            Self::Sentences(units) => drop(units.reply.send(Err(error))),
            Self::Asks(units) => drop(units.reply.send(Err(error))),
            Self::ModelCalls(units) => drop(units.reply.send(Err(error))),
            Self::Generate(begin) => drop(begin.events.send(Err(error))),
        }
    }
}

/// A request in the queue.
pub(super) struct Request {
    pub(super) work: Work,
    pub(super) options: CallOptions,
    pub(super) submitted: Instant,
    pub(super) compute: Duration,
}

impl Request {
    pub(super) fn new(work: Work, options: CallOptions) -> Self {
        Self { work, options, submitted: Instant::now(), compute: Duration::ZERO }
    }

    /// Where its time went up to now.
    pub(super) fn times(&self) -> EngineTimes {
        times(self.submitted, self.compute)
    }
}

/// Splits the time since `submitted` into waiting and computing.
pub(super) fn times(submitted: Instant, compute: Duration) -> EngineTimes {
    let waited = submitted.elapsed().saturating_sub(compute);
    EngineTimes {
        queue_ms: waited.as_secs_f64() * 1e3,
        compute_ms: compute.as_secs_f64() * 1e3,
        prompt_tokens: 0,
    }
}

/// Part of a request that is computed in one batch.
pub(super) struct Share {
    pub(super) request: Request,
    /// Units taken, the first of them being the first that is not yet computed.
    pub(super) units: Range<usize>,
}

/// Requests of one kind that are computed together.
pub(super) struct Batch {
    pub(super) kind: WorkKind,
    pub(super) shares: Vec<Share>,
}
