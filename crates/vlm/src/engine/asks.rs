//! Questions to pictures: likelihoods of replies and probabilities of first tokens.

use std::collections::HashMap;
use std::sync::Arc;

use super::compute::{Compute, Load, past_len};
use super::prepare::{Picture, Prompt, check_length};
use super::request::{Answered, FeatureKey, ReplyScore};
use super::score::{Softmax, each};
use crate::{KvCache, LogitsAt, Piece, Result, Sequence, VlmError};

/// Tokens that sharing the beginnings of a batch's prompts must save to be worth a run of its own.
const SHARED_SAVING: usize = 64;

/// One question, prepared.
pub(super) struct AskUnit {
    pub(super) picture: Arc<Picture>,
    pub(super) prompt: Arc<Prompt>,
    pub(super) want: TokenWant,
    pub(super) cost: usize,
}

/// [`super::request::Want`] in tokens.
pub(super) enum TokenWant {
    Replies(Vec<Arc<[u32]>>),
    FirstToken(Vec<Arc<[u32]>>),
}

/// What a question gives.
pub(super) struct AskOutput {
    pub(super) answered: Answered,
    pub(super) prompt_tokens: usize,
}

/// A distinct prompt to a distinct picture, and the questions that put it.
struct Put<'a> {
    picture: FeatureKey,
    past: Option<Arc<KvCache>>,
    /// Tokens of the picture's prefix and the prompt.
    prompt_tokens: usize,
    /// Tokens still to be run.
    tokens: &'a [u32],
    /// Questions by index.
    asks: Vec<usize>,
    /// Distinct replies of two tokens or more.
    long_replies: Vec<&'a Arc<[u32]>>,
}

/// Scores of long replies by (prompt, tokens).
type LongScores<'a> = HashMap<(usize, &'a [u32]), f64>;

impl Compute<'_> {
    pub(super) fn ask(&mut self, units: &[&AskUnit]) -> Result<Vec<AskOutput>> {
        let asked: Vec<_> = units.iter().map(|u| (Some(&*u.picture), &*u.prompt)).collect();
        let prefixes = self.prefixes(&asked, &[])?;
        let pasts: Vec<_> = prefixes.into_iter().map(|p| p.map(|p| Arc::clone(&p.kv))).collect();
        let mut puts = gather(units, &pasts, self.loaded.info.max_positions)?;
        self.share_beginnings(&mut puts)?;

        let mut outputs: Vec<Option<AskOutput>> = units.iter().map(|_| None).collect();
        let mut at = 0;
        let loads: Vec<Load> = puts.iter().map(|put| self.load(&sequence(put))).collect();
        for size in self.cut(&loads) {
            let part = &puts[at..at + size];
            self.ask_part(units, part, &mut outputs)?;
            at += size;
        }
        outputs
            .into_iter()
            .map(|output| output.ok_or_else(|| VlmError::Shape("a question was left without answer".into())))
            .collect()
    }

    /// Runs the longest common beginning of the prompts to each picture once.
    fn share_beginnings(&mut self, puts: &mut [Put<'_>]) -> Result<()> {
        let mut by_picture: HashMap<FeatureKey, Vec<usize>> = HashMap::new();
        let mut order = Vec::new();
        for (at, put) in puts.iter().enumerate() {
            let group = by_picture.entry(put.picture).or_default();
            if group.is_empty() {
                order.push(put.picture);
            }
            group.push(at);
        }
        let mut shared = Vec::new();
        let mut saved = 0;
        for picture in order {
            let group = &by_picture[&picture];
            let first = puts[group[0]].tokens;
            // At least one token of each prompt is left: its logits are needed.
            let common = group
                .iter()
                .map(|&at| common_prefix(first, puts[at].tokens).min(puts[at].tokens.len() - 1))
                .min()
                .unwrap_or(0);
            // Prompts of one picture may have different templates before it; they share nothing behind it.
            let same_past = group.iter().all(|&at| same_cache(&puts[at], &puts[group[0]]));
            if group.len() > 1 && common > 0 && same_past {
                saved += (group.len() - 1) * common;
                shared.push((picture, common));
            }
        }
        if saved < SHARED_SAVING {
            return Ok(());
        }
        let sequences: Vec<Sequence> = shared
            .iter()
            .map(|(picture, common)| {
                let put = &puts[by_picture[picture][0]];
                Sequence {
                    past: put.past.clone(),
                    pieces: vec![Piece::Tokens(put.tokens[..*common].to_vec())],
                    logits: LogitsAt::None,
                    keep_cache: true,
                }
            })
            .collect();
        let mut caches = Vec::with_capacity(shared.len());
        self.run_all(&sequences, &[], |_, output| {
            caches.push(Arc::new(output.cache.ok_or_else(no_cache)?));
            Ok(())
        })?;
        for ((picture, common), cache) in shared.iter().zip(caches) {
            for &at in &by_picture[picture] {
                puts[at].past = Some(Arc::clone(&cache));
                puts[at].tokens = &puts[at].tokens[*common..];
            }
        }
        Ok(())
    }

    /// Runs prompts that fit one batch, then their replies; what is kept for the replies is dropped on return.
    fn ask_part<'u>(
        &mut self,
        units: &[&'u AskUnit],
        puts: &[Put<'u>],
        outputs: &mut [Option<AskOutput>],
    ) -> Result<()> {
        let vocabulary = self.loaded.info.vocabulary;
        let sequences: Vec<Sequence> = puts.iter().map(sequence).collect();
        let mut scores = LongScores::new();
        let mut last_logits = Vec::with_capacity(puts.len());
        let mut replies: Vec<(usize, &Arc<[u32]>)> = Vec::new();
        let mut continued = Vec::new();
        for (at, (put, output)) in puts.iter().zip(self.run(&sequences, &[])?).enumerate() {
            if output.logits.len() < vocabulary {
                return Err(no_logits());
            }
            if let [reply] = put.long_replies.as_slice() {
                let tail = tail_likelihood(&output.logits[vocabulary..], vocabulary, reply)?;
                scores.insert((at, reply), tail);
            } else if !put.long_replies.is_empty() {
                let cache = Arc::new(output.cache.ok_or_else(no_cache)?);
                for reply in &put.long_replies {
                    replies.push((at, reply));
                    continued.push(Sequence {
                        past: Some(Arc::clone(&cache)),
                        pieces: vec![Piece::Tokens(reply[..reply.len() - 1].to_vec())],
                        logits: LogitsAt::From(0),
                        keep_cache: false,
                    });
                }
            }
            last_logits.push(output.logits);
        }
        self.run_all(&continued, &[], |i, output| {
            let (at, reply) = replies[i];
            scores.insert((at, reply), tail_likelihood(&output.logits, vocabulary, reply)?);
            Ok(())
        })?;
        let firsts = each(&last_logits, vocabulary, |logits| Softmax::new(&logits[..vocabulary]))?;
        for (at, (put, first)) in puts.iter().zip(&firsts).enumerate() {
            for &ask in &put.asks {
                let answered = answer(&units[ask].want, first, |reply| {
                    scores.get(&(at, reply)).copied().ok_or_else(no_logits)
                })?;
                outputs[ask] = Some(AskOutput { answered, prompt_tokens: put.prompt_tokens });
            }
        }
        Ok(())
    }
}

/// Collects equal prompts to equal pictures, in order of first appearance.
fn gather<'u>(units: &[&'u AskUnit], pasts: &[Option<Arc<KvCache>>], limit: usize) -> Result<Vec<Put<'u>>> {
    let mut puts: Vec<Put<'u>> = Vec::new();
    let mut index: HashMap<(FeatureKey, &[u32], &[u32]), usize> = HashMap::new();
    for (ask, (unit, past)) in units.iter().zip(pasts).enumerate() {
        let (prefix, suffix) = (&*unit.prompt.prefix_tokens, unit.prompt.suffix.as_slice());
        let at = *index.entry((unit.picture.key, prefix, suffix)).or_insert_with(|| {
            puts.push(Put {
                picture: unit.picture.key,
                past: past.clone(),
                prompt_tokens: past_len(past.as_deref()) + suffix.len(),
                tokens: suffix,
                asks: Vec::new(),
                long_replies: Vec::new(),
            });
            puts.len() - 1
        });
        let put = &mut puts[at];
        put.asks.push(ask);
        let mut longest = 0;
        if let TokenWant::Replies(replies) = &unit.want {
            for reply in replies {
                longest = longest.max(reply.len());
                if reply.len() > 1 && !put.long_replies.contains(&reply) {
                    put.long_replies.push(reply);
                }
            }
        }
        check_length(put.prompt_tokens + longest, limit)?;
    }
    Ok(puts)
}

/// A prompt as it is run: alone when its replies follow in a second run or are read off its last logits, together
/// with its reply when it has only one.
fn sequence(put: &Put<'_>) -> Sequence {
    let mut tokens = put.tokens.to_vec();
    let last = tokens.len() - 1;
    let (logits, keep_cache) = match put.long_replies.as_slice() {
        [] => (LogitsAt::Last, false),
        [reply] => {
            tokens.extend_from_slice(&reply[..reply.len() - 1]);
            (LogitsAt::From(last), false)
        }
        _ => (LogitsAt::Last, true),
    };
    Sequence { past: put.past.clone(), pieces: vec![Piece::Tokens(tokens)], logits, keep_cache }
}

/// Log-likelihood of a reply's tokens after the first, from the logits behind each token before them.
fn tail_likelihood(logits: &[f32], vocabulary: usize, reply: &[u32]) -> Result<f64> {
    let rows: Vec<_> = logits.chunks_exact(vocabulary).zip(&reply[1..]).collect();
    if rows.len() + 1 != reply.len() {
        return Err(no_logits());
    }
    let scores = each(&rows, vocabulary, |(row, token)| Softmax::new(row)?.log_probability(**token))?;
    Ok(scores.iter().sum())
}

fn answer(want: &TokenWant, first: &Softmax<'_>, tail: impl Fn(&[u32]) -> Result<f64>) -> Result<Answered> {
    match want {
        TokenWant::FirstToken(groups) => {
            let of = |group: &Arc<[u32]>| first.probability_of_any(group);
            Ok(Answered::FirstToken(groups.iter().map(of).collect::<Result<_>>()?))
        }
        TokenWant::Replies(replies) => {
            let of = |reply: &Arc<[u32]>| {
                let log_likelihood = match reply.len() {
                    0 => 0.0,
                    1 => first.log_probability(reply[0])?,
                    _ => first.log_probability(reply[0])? + tail(reply)?,
                };
                Ok(ReplyScore { log_likelihood, tokens: reply.len() })
            };
            Ok(Answered::Replies(replies.iter().map(of).collect::<Result<_>>()?))
        }
    }
}

fn common_prefix(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(x, y)| x == y).count()
}

fn same_cache(a: &Put<'_>, b: &Put<'_>) -> bool {
    match (&a.past, &b.past) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
        (None, None) => true,
        _ => false,
    }
}

fn no_cache() -> VlmError {
    VlmError::Shape("the model gave no cache where one was asked for".into())
}

fn no_logits() -> VlmError {
    VlmError::Shape("the model gave fewer logits than were asked for".into())
}
