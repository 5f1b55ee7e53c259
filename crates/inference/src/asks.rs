//! Questions to pictures: likelihoods of replies and probabilities of first tokens.

use std::collections::HashMap;
use std::sync::Arc;

use crate::compute::{Compute, Load, Start, no_cache};
use crate::error::{EngineError, Result};
use crate::picture::{Picture, Prompt, keys};
use crate::prepare::check_length;
use crate::request::{Answered, FeatureKey, ReplyScore};
use crate::score::{Softmax, each};
use crate::units::{AskOutput, AskUnit};
use reasonedit_nn::sequence::{LogitsAt, Piece, Sequence};

/// Tokens that sharing the beginnings of a batch's prompts must save to be worth a run of its own.
const SHARED_SAVING: usize = 64;

/// A distinct prompt to distinct pictures, and the questions that put it.
struct Put<'a> {
    pictures: &'a [Arc<Picture>],
    prompt: &'a Prompt,
    start: Start,
    /// Tokens of the pictures' prefix and the prompt.
    prompt_tokens: usize,
    /// Tokens behind the start that are still to be run.
    tokens: &'a [u32],
    /// Questions by index.
    asks: Vec<usize>,
    /// Distinct replies of two tokens or more.
    long_replies: Vec<&'a Arc<[u32]>>,
}

/// What makes a [`Put`] a distinct one: pictures, tokens before the last one's end, tokens behind it.
type PutKey<'a> = (Box<[FeatureKey]>, &'a [u32], &'a [u32]);

/// Scores of long replies by (prompt, tokens).
type LongScores<'a> = HashMap<(usize, &'a [u32]), f64>;

impl Compute<'_> {
    pub(super) fn ask(&mut self, units: &[&AskUnit]) -> Result<Vec<AskOutput>> {
        let asked: Vec<_> = units.iter().map(|u| (&*u.pictures, &*u.prompt)).collect();
        let starts = self.starts(&asked)?;
        let mut puts = gather(units, starts, self.loaded.info.max_positions)?;
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
            .map(|output| {
                output.ok_or_else(|| EngineError::Shape("a question was left without answer".into()))
            })
            .collect()
    }

    /// Runs what the prompts to the same pictures have in common once: the pictures' prefix, if it is still
    /// to be run, and the longest common beginning of the prompts.
    fn share_beginnings(&mut self, puts: &mut [Put<'_>]) -> Result<()> {
        let mut index = HashMap::new();
        let mut groups: Vec<Vec<usize>> = Vec::new();
        for (at, put) in puts.iter().enumerate() {
            let group = *index.entry((keys(put.pictures), &put.prompt.prefix_tokens)).or_insert_with(|| {
                groups.push(Vec::new());
                groups.len() - 1
            });
            groups[group].push(at);
        }
        let common: Vec<usize> = groups
            .iter()
            .map(|group| {
                let first = puts[group[0]].tokens;
                // At least one token of each prompt is left: its logits are needed.
                let of = |&at: &usize| common_prefix(first, puts[at].tokens).min(puts[at].tokens.len() - 1);
                group.iter().map(of).min().unwrap_or(0)
            })
            .collect();
        let saved: usize = groups.iter().zip(&common).map(|(group, common)| (group.len() - 1) * common).sum();
        let worth_it = |(group, common): &(Vec<usize>, usize)| {
            let lead = !puts[group[0]].start.lead.is_empty();
            group.len() > 1 && (lead || (*common > 0 && saved >= SHARED_SAVING))
        };
        let shared: Vec<(Vec<usize>, usize)> = groups.into_iter().zip(common).filter(worth_it).collect();
        let sequences: Vec<Sequence> = shared
            .iter()
            .map(|(group, common)| {
                let put = &puts[group[0]];
                let pieces = put.start.pieces(put.tokens[..*common].to_vec());
                Sequence { past: put.start.past.clone(), pieces, logits: LogitsAt::None, keep_cache: true }
            })
            .collect();
        let mut caches = Vec::with_capacity(shared.len());
        self.run_all(&sequences, &[], |_, output| {
            caches.push(Arc::new(output.cache.ok_or_else(no_cache)?));
            Ok(())
        })?;
        for ((group, common), cache) in shared.iter().zip(caches) {
            let put = &puts[group[0]];
            if !put.start.lead.is_empty() {
                self.keep_prefix(put.pictures, put.prompt, &put.start, &cache)?;
            }
            for &at in group {
                puts[at].start = Start { past: Some(Arc::clone(&cache)), lead: Vec::new() };
                puts[at].tokens = &puts[at].tokens[*common..];
            }
        }
        Ok(())
    }

    /// Runs prompts that fit one batch, then their replies; what is kept for the replies is dropped on
    /// return.
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
            if !put.start.lead.is_empty() {
                let kv = output.cache.as_ref().ok_or_else(no_cache)?;
                self.keep_prefix(put.pictures, put.prompt, &put.start, kv)?;
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

/// Collects equal prompts to the same pictures, in order of first appearance.
fn gather<'u>(units: &[&'u AskUnit], starts: Vec<Start>, limit: usize) -> Result<Vec<Put<'u>>> {
    let mut puts: Vec<Put<'u>> = Vec::new();
    let mut index: HashMap<PutKey<'u>, usize> = HashMap::new();
    for (ask, (unit, start)) in units.iter().zip(starts).enumerate() {
        let (prefix, suffix) = (&*unit.prompt.prefix_tokens, unit.prompt.suffix.as_slice());
        let at = *index.entry((keys(&unit.pictures), prefix, suffix)).or_insert_with(|| {
            puts.push(Put {
                pictures: &unit.pictures,
                prompt: &unit.prompt,
                prompt_tokens: start.tokens() + suffix.len(),
                start,
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

/// A prompt as it is run: alone when its replies follow in a second run or are read off its last logits,
/// together with its reply when it has only one; the pictures' prefix before it when it is still to be run.
fn sequence(put: &Put<'_>) -> Sequence {
    let mut tokens = put.tokens.to_vec();
    let last = put.start.lead_tokens() + tokens.len() - 1;
    let logits = match put.long_replies.as_slice() {
        [reply] => {
            tokens.extend_from_slice(&reply[..reply.len() - 1]);
            LogitsAt::From(last)
        }
        _ => LogitsAt::From(last),
    };
    let keep_cache = put.long_replies.len() > 1 || !put.start.lead.is_empty();
    Sequence { past: put.start.past.clone(), pieces: put.start.pieces(tokens), logits, keep_cache }
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

fn no_logits() -> EngineError {
    EngineError::Shape("the model gave fewer logits than were asked for".into())
}
