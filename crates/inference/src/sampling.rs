//! How the next token is chosen: what is done to the model's logits, in which order, and the draw.
//!
//! The order is that of vLLM: bias, the ends that are not allowed yet, penalties, temperature, `min_p`,
//! `top_k`, `top_p`; each is what transformers' processor of that name does (`tests/goldens/samplers.json`).
//! The form of a reply goes before all draws: what it doesn't allow has no probability.

use std::collections::{BTreeMap, BTreeSet};

use candle_core::{Device, Tensor};
use candle_transformers::generation::{LogitsProcessor, Sampling as CandleSampling};
use reasonedit_models::ModelError;

use crate::constrain::{CompiledForm, FormState};
use crate::error::{EngineError, Result};
use crate::request::{LogitRules, Sampling};
use crate::score::argmax;

/// Chooses the tokens of one reply.
pub(super) struct Sampler {
    rules: LogitRules,
    draw: Draw,
    /// Tokens that end the reply, those of the model and those asked for.
    ends: BTreeSet<u32>,
    /// Tokens of the prompt.
    prompt: BTreeSet<u32>,
    /// Tokens of the reply, and how often.
    said: BTreeMap<u32, u32>,
    tokens: usize,
    form: Option<FormState>,
    /// Logits after the rules.
    logits: Vec<f32>,
}

enum Draw {
    Greedy,
    Random { processor: Box<LogitsProcessor>, temperature: f64 },
}

/// What became of a reply with a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It goes on.
    Said,
    /// The token is the reply's last one.
    Complete,
    /// The token ends the reply and is no part of it.
    End,
}

impl Sampler {
    /// For a reply to a prompt of these tokens; `stop_tokens` are the model's own.
    pub(super) fn new(
        sampling: Sampling,
        rules: LogitRules,
        form: Option<&CompiledForm>,
        prompt: impl Iterator<Item = u32>,
        stop_tokens: &[u32],
    ) -> Self {
        let draw = match sampling {
            Sampling::Greedy => Draw::Greedy,
            Sampling::TopP { temperature, top_p, seed } => {
                let sampling = CandleSampling::TopP { p: top_p, temperature };
                Draw::Random {
                    processor: Box::new(LogitsProcessor::from_sampling(seed, sampling)),
                    temperature,
                }
            }
        };
        let own = stop_tokens.iter().filter(|_| !rules.ignore_end).copied();
        let ends = own.chain(rules.stop_tokens.iter().copied()).collect();
        // Only the penalty for repetition asks for it.
        let prompt = if rules.repetition_penalty == 1.0 { BTreeSet::new() } else { prompt.collect() };
        let form = form.map(FormState::new);
        Self { rules, draw, ends, prompt, said: BTreeMap::new(), tokens: 0, form, logits: Vec::new() }
    }

    /// The next token.
    ///
    /// # Errors
    /// [`EngineError::Form`] where a form can't be followed; those of the draw.
    pub(super) fn choose(&mut self, logits: &[f32]) -> Result<u32> {
        if self.form.is_none() && self.rules == LogitRules::default() {
            return self.draw.choose(logits);
        }
        self.logits.clear();
        self.logits.extend_from_slice(logits);
        self.apply()?;
        self.draw.choose(&self.logits)
    }

    /// Takes the chosen token.
    ///
    /// # Errors
    /// [`EngineError::Form`].
    pub(super) fn take(&mut self, token: u32, stop_tokens: &[u32]) -> Result<Taken> {
        // Where a form allows the end there may be nothing else: it ends although the model's end is to be
        // ignored.
        if self.ends.contains(&token) || (self.form.is_some() && stop_tokens.contains(&token)) {
            return Ok(Taken::End);
        }
        self.tokens += 1;
        *self.said.entry(token).or_default() += 1;
        let complete = match &mut self.form {
            Some(form) => form.take(token)?,
            None => false,
        };
        Ok(if complete { Taken::Complete } else { Taken::Said })
    }

    /// The rules on `self.logits`.
    fn apply(&mut self) -> Result<()> {
        let Self { rules, logits, .. } = self;
        if let Some(form) = &mut self.form {
            let allowed = form.allowed()?;
            for (id, logit) in logits.iter_mut().enumerate() {
                if id >= allowed.len() || !allowed.is_allowed(id as u32) {
                    *logit = f32::NEG_INFINITY;
                }
            }
        }
        for (id, bias) in rules.bias.iter() {
            if let Some(logit) = logits.get_mut(*id as usize) {
                *logit += bias;
            }
        }
        if self.tokens < rules.min_tokens {
            // Unless a form allows nothing else.
            let only = logits
                .iter()
                .enumerate()
                .all(|(id, logit)| *logit == f32::NEG_INFINITY || self.ends.contains(&(id as u32)));
            for end in self.ends.iter().filter(|_| !only) {
                if let Some(logit) = logits.get_mut(*end as usize) {
                    *logit = f32::NEG_INFINITY;
                }
            }
        }
        let penalty = rules.repetition_penalty;
        if penalty != 1.0 {
            for id in self.prompt.iter().chain(self.said.keys().filter(|id| !self.prompt.contains(id))) {
                if let Some(logit) = logits.get_mut(*id as usize) {
                    *logit = if *logit > 0.0 { *logit / penalty } else { *logit * penalty };
                }
            }
        }
        if rules.frequency_penalty != 0.0 || rules.presence_penalty != 0.0 {
            for (id, count) in &self.said {
                if let Some(logit) = logits.get_mut(*id as usize) {
                    *logit -= rules.frequency_penalty * *count as f32;
                    *logit -= rules.presence_penalty;
                }
            }
        }
        if let Draw::Random { temperature, .. } = self.draw {
            at_least(logits, rules.min_p, temperature);
            most_probable(logits, rules.top_k);
        }
        Ok(())
    }
}

/// Takes away what is less than `min_p` times as probable as the most probable token.
fn at_least(logits: &mut [f32], min_p: f64, temperature: f64) {
    if min_p <= 0.0 {
        return;
    }
    let most = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let least = f64::from(most) + temperature * min_p.ln();
    for logit in logits.iter_mut().filter(|logit| f64::from(**logit) < least) {
        *logit = f32::NEG_INFINITY;
    }
}

/// Takes away all but the `count` most probable tokens, and those that are as probable as the last of these.
fn most_probable(logits: &mut [f32], count: Option<usize>) {
    let Some(count) = count.filter(|count| (1..logits.len()).contains(count)) else { return };
    let mut sorted = logits.to_vec();
    let (_, least, _) = sorted.select_nth_unstable_by(count - 1, |a, b| b.total_cmp(a));
    let least = *least;
    for logit in logits.iter_mut().filter(|logit| **logit < least) {
        *logit = f32::NEG_INFINITY;
    }
}

impl Draw {
    fn choose(&mut self, logits: &[f32]) -> Result<u32> {
        match self {
            Self::Greedy => Ok(argmax(logits)),
            Self::Random { processor, .. } => {
                let drawn = Tensor::from_slice(logits, logits.len(), &Device::Cpu)
                    .and_then(|logits| processor.sample(&logits));
                Ok(drawn.map_err(ModelError::from)?)
            }
        }
    }
}

impl Sampling {
    /// Checks the ranges.
    pub(super) fn validate(self) -> Result<()> {
        let Self::TopP { temperature, top_p, .. } = self else { return Ok(()) };
        if !(temperature.is_finite() && temperature > 0.0) {
            return Err(EngineError::Unsupported(
                "the temperature must be above 0; leave it out for greedy".into(),
            ));
        }
        if !(top_p > 0.0 && top_p <= 1.0) {
            return Err(EngineError::Unsupported("top_p must be above 0 and at most 1".into()));
        }
        Ok(())
    }
}

impl LogitRules {
    /// Checks the ranges, and that tokens are the model's.
    pub(super) fn validate(&self, vocabulary: usize) -> Result<()> {
        let fault = |what: &str| Err(EngineError::Unsupported(what.into()));
        let penalty = self.repetition_penalty;
        if !(penalty.is_finite() && penalty > 0.0) {
            return fault("the repetition penalty must be above 0");
        }
        if !(self.frequency_penalty.is_finite() && self.presence_penalty.is_finite()) {
            return fault("penalties must be numbers");
        }
        if !(0.0..=1.0).contains(&self.min_p) {
            return fault("min_p must be from 0 to 1");
        }
        if self.bias.iter().any(|(_, bias)| !bias.is_finite()) {
            return fault("a bias must be a number");
        }
        let mut tokens = self.bias.iter().map(|(id, _)| id).chain(self.stop_tokens.iter());
        match tokens.find(|id| **id as usize >= vocabulary) {
            Some(id) => fault(&format!("{id} is no token of this model, which has {vocabulary}")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde::Deserialize;

    use super::*;

    /// Made by `tools/goldens/samplers.py`.
    #[derive(Deserialize)]
    struct Goldens {
        ends: Vec<u32>,
        rows: Vec<Row>,
        cases: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Row {
        prompt: Vec<u32>,
        said: Vec<u32>,
        logits: Vec<f32>,
    }

    #[derive(Deserialize)]
    struct Case {
        row: usize,
        temperature: Option<f64>,
        top_p: Option<f64>,
        top_k: Option<usize>,
        min_p: Option<f64>,
        repetition_penalty: Option<f32>,
        frequency_penalty: Option<f32>,
        presence_penalty: Option<f32>,
        bias: Vec<(u32, f32)>,
        min_tokens: Option<usize>,
        count: usize,
        top: Vec<(u32, f64)>,
        nucleus: Option<BTreeSet<u32>>,
    }

    impl Case {
        fn rules(&self) -> LogitRules {
            LogitRules {
                repetition_penalty: self.repetition_penalty.unwrap_or(1.0),
                frequency_penalty: self.frequency_penalty.unwrap_or(0.0),
                presence_penalty: self.presence_penalty.unwrap_or(0.0),
                bias: self.bias.clone().into(),
                min_tokens: self.min_tokens.unwrap_or(0),
                top_k: self.top_k,
                min_p: self.min_p.unwrap_or(0.0),
                ..LogitRules::default()
            }
        }

        fn sampler(&self, row: &Row, ends: &[u32], seed: u64) -> Sampler {
            let (temperature, top_p) = (self.temperature.unwrap_or(1.0), self.top_p.unwrap_or(1.0));
            let sampling = Sampling::TopP { temperature, top_p, seed };
            let mut sampler = Sampler::new(sampling, self.rules(), None, row.prompt.iter().copied(), ends);
            for token in &row.said {
                assert_eq!(sampler.take(*token, ends).unwrap(), Taken::Said);
            }
            sampler
        }
    }

    fn goldens() -> Goldens {
        serde_json::from_str(include_str!("../tests/goldens/samplers.json")).unwrap()
    }

    #[test]
    fn probabilities_are_those_of_transformers() {
        let Goldens { ends, rows, cases } = goldens();
        for (at, case) in cases.iter().enumerate() {
            let row = &rows[case.row];
            let mut sampler = case.sampler(row, &ends, 1);
            sampler.logits.clone_from(&row.logits);
            sampler.apply().unwrap();
            let kept = sampler.logits.iter().filter(|logit| logit.is_finite()).count();
            assert_eq!(kept, case.count, "case {at}");
            let temperature = case.temperature.unwrap_or(1.0);
            let scaled: Vec<f64> =
                sampler.logits.iter().map(|logit| f64::from(*logit) / temperature).collect();
            let most = scaled.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = scaled.iter().map(|logit| (logit - most).exp()).sum();
            for (token, probability) in &case.top {
                let own = (scaled[*token as usize] - most).exp() / sum;
                assert!(
                    (own - probability).abs() < 2e-6,
                    "case {at}, token {token}: {own}, not {probability}"
                );
            }
        }
    }

    #[test]
    fn draws_come_from_all_that_is_left_and_nothing_else() {
        let Goldens { ends, rows, cases } = goldens();
        for case in cases.iter().filter(|case| case.nucleus.is_some()) {
            let row = &rows[case.row];
            let drawn: BTreeSet<u32> =
                (0..1000).map(|seed| case.sampler(row, &ends, seed).choose(&row.logits).unwrap()).collect();
            assert_eq!(Some(drawn), case.nucleus);
        }
    }

    #[test]
    fn without_rules_nothing_is_changed() {
        let Goldens { ends, rows, .. } = goldens();
        for sampling in [Sampling::Greedy, Sampling::TopP { temperature: 1.5, top_p: 0.9, seed: 5 }] {
            let plain = |rules| Sampler::new(sampling, rules, None, [].into_iter(), &ends);
            // A rule that never comes true takes the longer way to the same token.
            let never = LogitRules { bias: [(0, 0.0)].into(), ..LogitRules::default() };
            for row in &rows {
                let token = plain(LogitRules::default()).choose(&row.logits).unwrap();
                assert_eq!(plain(never.clone()).choose(&row.logits).unwrap(), token);
            }
        }
    }

    #[test]
    fn a_reply_ends_where_it_may() {
        let ends = [2];
        let mut logits = vec![0.0; 10];
        (logits[2], logits[5], logits[7]) = (9.0, 8.0, 7.0);
        let of = |rules| Sampler::new(Sampling::Greedy, rules, None, [].into_iter(), &ends);
        let mut late = of(LogitRules { min_tokens: 2, stop_tokens: [5].into(), ..LogitRules::default() });
        for expected in [7, 7] {
            assert_eq!(late.choose(&logits).unwrap(), expected);
            assert_eq!(late.take(expected, &ends).unwrap(), Taken::Said);
        }
        assert_eq!(late.choose(&logits).unwrap(), 2);
        assert_eq!(late.take(2, &ends).unwrap(), Taken::End);
        assert_eq!(late.take(5, &ends).unwrap(), Taken::End);
        let mut endless = of(LogitRules { ignore_end: true, ..LogitRules::default() });
        assert_eq!(endless.choose(&logits).unwrap(), 2);
        assert_eq!(endless.take(2, &ends).unwrap(), Taken::Said);
    }

    #[test]
    fn rules_out_of_range_are_refused() {
        let rules = LogitRules::default;
        for bad in [
            LogitRules { repetition_penalty: 0.0, ..rules() },
            LogitRules { presence_penalty: f32::NAN, ..rules() },
            LogitRules { min_p: 1.5, ..rules() },
            LogitRules { bias: [(100, 1.0)].into(), ..rules() },
            LogitRules { bias: [(1, f32::INFINITY)].into(), ..rules() },
            LogitRules { stop_tokens: [100].into(), ..rules() },
        ] {
            assert!(bad.validate(100).is_err(), "{bad:?}");
        }
        assert!(rules().validate(100).is_ok());
    }
}
