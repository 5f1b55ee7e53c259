//! Questions to pictures: likelihoods of replies and probabilities of first tokens.

use std::collections::HashMap;
use std::sync::Arc;

use reasonedit_nn::sequence::{LogitsAt, Piece, Sequence};

use crate::compute::{Compute, Load, Start, no_cache};
use crate::error::{EngineError, Result};
use crate::picture::{Picture, Prompt, keys};
use crate::prepare::check_length;
use crate::request::{Answered, FeatureKey, ReplyScore};
use crate::score::{Softmax, each};
use crate::units::{AskOutput, AskUnit, TokenWant};

/// Tokens that sharing the beginnings of a batch's prompts must save to be worth a run of its own.
const SHARED_SAVING: usize = 64;

/// A distinct prompt to distinct pictures, and the questions that put it.
struct PromptGroup<'a> {
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

/// What makes a [`PromptGroup`] a distinct one: pictures, tokens before the last one's end, tokens behind it.
type PromptKey<'a> = (Box<[FeatureKey]>, &'a [u32], &'a [u32]);

/// Scores of long replies by (prompt, tokens).
type LongScores<'a> = HashMap<(usize, &'a [u32]), f64>;

impl Compute<'_> {
    pub(super) fn ask(&mut self, units: &[&AskUnit]) -> Result<Vec<AskOutput>> {
        let asked: Vec<_> = units.iter().map(|u| (&*u.pictures, &*u.prompt)).collect();
        let starts = self.starts(&asked)?;
        let mut groups = gather(units, starts, self.loaded.info.max_positions)?;
        self.share_beginnings(&mut groups)?;

        let mut outputs: Vec<Option<AskOutput>> = units.iter().map(|_| None).collect();
        let mut at = 0;
        let loads: Vec<Load> = groups.iter().map(|group| self.load(&sequence(group))).collect();
        for size in self.cut(&loads) {
            let part = &groups[at..at + size];
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
    fn share_beginnings(&mut self, groups: &mut [PromptGroup<'_>]) -> Result<()> {
        let mut index = HashMap::new();
        let mut sharing: Vec<Vec<usize>> = Vec::new();
        for (at, group) in groups.iter().enumerate() {
            let members =
                *index.entry((keys(group.pictures), &group.prompt.prefix_tokens)).or_insert_with(|| {
                    sharing.push(Vec::new());
                    sharing.len() - 1
                });
            sharing[members].push(at);
        }
        let common: Vec<usize> = sharing
            .iter()
            .map(|members| {
                let first = groups[members[0]].tokens;
                // At least one token of each prompt is left: its logits are needed.
                let of =
                    |&at: &usize| common_prefix(first, groups[at].tokens).min(groups[at].tokens.len() - 1);
                members.iter().map(of).min().unwrap_or(0)
            })
            .collect();
        let saved: usize =
            sharing.iter().zip(&common).map(|(members, common)| (members.len() - 1) * common).sum();
        let worth_it = |(members, common): &(Vec<usize>, usize)| {
            let lead = !groups[members[0]].start.lead.is_empty();
            members.len() > 1 && (lead || (*common > 0 && saved >= SHARED_SAVING))
        };
        let shared: Vec<(Vec<usize>, usize)> = sharing.into_iter().zip(common).filter(worth_it).collect();
        let sequences: Vec<Sequence> = shared
            .iter()
            .map(|(members, common)| {
                let group = &groups[members[0]];
                let pieces = group.start.pieces(group.tokens[..*common].to_vec());
                Sequence { past: group.start.past.clone(), pieces, logits: LogitsAt::None, keep_cache: true }
            })
            .collect();
        let mut caches = Vec::with_capacity(shared.len());
        self.run_all(&sequences, &[], |_, output| {
            caches.push(Arc::new(output.cache.ok_or_else(no_cache)?));
            Ok(())
        })?;
        for ((members, common), cache) in shared.iter().zip(caches) {
            let group = &groups[members[0]];
            if !group.start.lead.is_empty() {
                self.keep_prefix(group.pictures, group.prompt, &group.start, &cache)?;
            }
            for &at in members {
                groups[at].start = Start { past: Some(Arc::clone(&cache)), lead: Vec::new() };
                groups[at].tokens = &groups[at].tokens[*common..];
            }
        }
        Ok(())
    }

    /// Runs prompts that fit one batch, then their replies; what is kept for the replies is dropped on
    /// return.
    fn ask_part<'u>(
        &mut self,
        units: &[&'u AskUnit],
        groups: &[PromptGroup<'u>],
        outputs: &mut [Option<AskOutput>],
    ) -> Result<()> {
        let vocabulary = self.loaded.info.vocabulary;
        let sequences: Vec<Sequence> = groups.iter().map(sequence).collect();
        let mut scores = LongScores::new();
        let mut last_logits = Vec::with_capacity(groups.len());
        let mut replies: Vec<(usize, &Arc<[u32]>)> = Vec::new();
        let mut continued = Vec::new();
        for (at, (group, output)) in groups.iter().zip(self.run(&sequences, &[])?).enumerate() {
            if output.logits.len() < vocabulary {
                return Err(no_logits());
            }
            if !group.start.lead.is_empty() {
                let kv = output.cache.as_ref().ok_or_else(no_cache)?;
                self.keep_prefix(group.pictures, group.prompt, &group.start, kv)?;
            }
            if let [reply] = group.long_replies.as_slice() {
                let tail = tail_likelihood(&output.logits[vocabulary..], vocabulary, reply)?;
                scores.insert((at, reply), tail);
            } else if !group.long_replies.is_empty() {
                let cache = Arc::new(output.cache.ok_or_else(no_cache)?);
                for reply in &group.long_replies {
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
        for (at, (group, first)) in groups.iter().zip(&firsts).enumerate() {
            for &ask in &group.asks {
                let answered = answer(&units[ask].want, first, |reply| {
                    scores.get(&(at, reply)).copied().ok_or_else(no_logits)
                })?;
                outputs[ask] = Some(AskOutput { answered, prompt_tokens: group.prompt_tokens });
            }
        }
        Ok(())
    }
}

/// Collects equal prompts to the same pictures, in order of first appearance.
fn gather<'u>(units: &[&'u AskUnit], starts: Vec<Start>, limit: usize) -> Result<Vec<PromptGroup<'u>>> {
    let mut groups: Vec<PromptGroup<'u>> = Vec::new();
    let mut index: HashMap<PromptKey<'u>, usize> = HashMap::new();
    for (ask, (unit, start)) in units.iter().zip(starts).enumerate() {
        let (prefix, suffix) = (&*unit.prompt.prefix_tokens, unit.prompt.suffix.as_slice());
        let at = *index.entry((keys(&unit.pictures), prefix, suffix)).or_insert_with(|| {
            groups.push(PromptGroup {
                pictures: &unit.pictures,
                prompt: &unit.prompt,
                prompt_tokens: start.tokens() + suffix.len(),
                start,
                tokens: suffix,
                asks: Vec::new(),
                long_replies: Vec::new(),
            });
            groups.len() - 1
        });
        let group = &mut groups[at];
        group.asks.push(ask);
        let mut longest = 0;
        if let TokenWant::Replies(replies) = &unit.want {
            for reply in replies {
                longest = longest.max(reply.len());
                if reply.len() > 1 && !group.long_replies.contains(&reply) {
                    group.long_replies.push(reply);
                }
            }
        }
        check_length(group.prompt_tokens + longest, limit)?;
    }
    Ok(groups)
}

/// A prompt as it is run: alone when its replies follow in a second run or are read off its last logits,
/// together with its reply when it has only one; the pictures' prefix before it when it is still to be run.
fn sequence(group: &PromptGroup<'_>) -> Sequence {
    let mut tokens = group.tokens.to_vec();
    let last = group.start.lead_tokens() + tokens.len() - 1;
    let logits = match group.long_replies.as_slice() {
        [reply] => {
            tokens.extend_from_slice(&reply[..reply.len() - 1]);
            LogitsAt::From(last)
        }
        _ => LogitsAt::From(last),
    };
    let keep_cache = group.long_replies.len() > 1 || !group.start.lead.is_empty();
    Sequence { past: group.start.past.clone(), pieces: group.start.pieces(tokens), logits, keep_cache }
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
        TokenWant::FirstToken(words) => {
            let of = |tokens: &Arc<[u32]>| first.probability_of_any(tokens);
            Ok(Answered::FirstToken(words.iter().map(of).collect::<Result<_>>()?))
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
