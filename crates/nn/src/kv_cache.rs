//! Keys and values of tokens that were run: immutable, shared, and cheap to go on from.
//!
//! A cache is a list of stretches of tokens. Going on from it adds a stretch and leaves the others where they
//! are, so that many continuations share one prefix and a token that is generated doesn't copy the whole
//! past. Short stretches are joined as in a binary counter: each token is copied a few times in all, and
//! there are few stretches.

use std::sync::Arc;

use candle_core::Tensor;

use crate::error::Result;

/// Tokens up to which stretches are joined.
const JOINED: usize = 256;

/// Keys and values of consecutive tokens.
#[derive(Clone, Debug)]
pub struct Stretch {
    /// Per layer: keys and values, each (key–value heads, length, head size), contiguous.
    pub layers: Vec<(Tensor, Tensor)>,
}

impl Stretch {
    /// Tokens in it.
    #[must_use]
    pub fn tokens(&self) -> usize {
        self.layers.first().map_or(0, |(keys, _)| keys.dims()[1])
    }

    /// One behind the other.
    fn joined(parts: &[&Self]) -> Result<Self> {
        let cat = |of: &dyn Fn(&Self) -> Tensor| {
            Tensor::cat(&parts.iter().map(|part| of(part)).collect::<Vec<_>>(), 1)
        };
        let layers = (0..parts[0].layers.len())
            .map(|i| Ok((cat(&|part| part.layers[i].0.clone())?, cat(&|part| part.layers[i].1.clone())?)))
            .collect::<Result<_>>()?;
        Ok(Self { layers })
    }

    /// The first `tokens` of it.
    fn beginning(&self, tokens: usize) -> Result<Self> {
        let cut = |tensor: &Tensor| tensor.narrow(1, 0, tokens)?.force_contiguous();
        let layers = self.layers.iter().map(|(k, v)| Ok((cut(k)?, cut(v)?))).collect::<Result<_>>()?;
        Ok(Self { layers })
    }
}

/// Keys and values of a sequence that has been run, owned by the caller. Immutable: running a continuation
/// yields a new one, which shares what is in this one.
#[derive(Clone, Debug)]
pub struct KvCache {
    stretches: Vec<Arc<Stretch>>,
    /// Tokens in it.
    pub len: usize,
    /// Next text position (M-RoPE: after an image it is not `len`).
    pub next_position: usize,
}

impl KvCache {
    /// What is there after `new` tokens behind `past`.
    ///
    /// # Errors
    /// Those of the device.
    pub fn after(past: Option<&Self>, new: Stretch, next_position: usize) -> Result<Self> {
        let mut stretches = past.map_or_else(Vec::new, |past| past.stretches.clone());
        let len = past.map_or(0, |past| past.len) + new.tokens();
        let mut tokens = new.tokens();
        let mut first = stretches.len();
        while first > 0 && stretches[first - 1].tokens() <= tokens.min(JOINED.saturating_sub(tokens)) {
            first -= 1;
            tokens += stretches[first].tokens();
        }
        let new = if first == stretches.len() {
            new
        } else {
            let short = stretches.split_off(first);
            Stretch::joined(&short.iter().map(Arc::as_ref).chain([&new]).collect::<Vec<_>>())?
        };
        stretches.push(Arc::new(new));
        Ok(Self { stretches, len, next_position })
    }

    /// The first `len` tokens of it, where the others are text: each text token moves the position on by one.
    ///
    /// # Errors
    /// Those of the device.
    pub fn beginning(&self, len: usize) -> Result<Self> {
        let (mut stretches, mut rest) = (Vec::new(), len);
        for stretch in &self.stretches {
            if rest == 0 {
                break;
            }
            let tokens = stretch.tokens();
            stretches.push(if tokens <= rest {
                Arc::clone(stretch)
            } else {
                Arc::new(stretch.beginning(rest)?)
            });
            rest -= tokens.min(rest);
        }
        Ok(Self { stretches, len, next_position: self.next_position - (self.len - len) })
    }

    /// Layers of the model that it is of.
    #[must_use]
    pub fn layers(&self) -> usize {
        self.stretches.first().map_or(0, |stretch| stretch.layers.len())
    }

    /// What a layer sees of it.
    #[must_use]
    pub fn layer(&self, layer: usize) -> Past<'_> {
        Past { stretches: &self.stretches, layer }
    }

    /// Memory in bytes, with what is shared with other caches.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let of = |t: &Tensor| t.elem_count() * t.dtype().size_in_bytes();
        self.stretches.iter().flat_map(|stretch| &stretch.layers).map(|(k, v)| of(k) + of(v)).sum()
    }
}

/// Keys and values of one layer of a past, which may be empty.
#[derive(Clone, Copy, Debug, Default)]
pub struct Past<'p> {
    stretches: &'p [Arc<Stretch>],
    layer: usize,
}

impl<'p> Past<'p> {
    /// Tokens in it.
    #[must_use]
    pub fn tokens(self) -> usize {
        self.stretches.iter().map(|stretch| stretch.tokens()).sum()
    }

    /// Keys and values, each (key–value heads, length, head size), contiguous: one stretch behind the other.
    pub fn stretches(self) -> impl Iterator<Item = (&'p Tensor, &'p Tensor)> {
        self.stretches.iter().map(move |stretch| {
            let (keys, values) = &stretch.layers[self.layer];
            (keys, values)
        })
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use proptest::prelude::*;

    use super::*;

    /// Tokens numbered from `first` on, in two layers of two heads: layer, head, token in each number.
    fn stretch(first: usize, count: usize) -> Stretch {
        let tensor = |layer: usize, sign: f32| {
            let values: Vec<f32> = (0..2)
                .flat_map(|head| {
                    (first..first + count).map(move |t| sign * (1000 * (2 * layer + head) + t) as f32)
                })
                .collect();
            Tensor::from_vec(values, (2, count, 1), &Device::Cpu).unwrap()
        };
        Stretch { layers: (0..2).map(|layer| (tensor(layer, 1.0), tensor(layer, -1.0))).collect() }
    }

    fn holds(cache: &KvCache, tokens: usize) -> bool {
        let want = stretch(0, tokens);
        cache.len == tokens
            && (0..2).all(|layer| {
                let past = cache.layer(layer);
                let (keys, values): (Vec<_>, Vec<_>) = past.stretches().unzip();
                let same = |parts: &[&Tensor], want: &Tensor| {
                    let all = Tensor::cat(parts, 1).unwrap().to_vec3::<f32>().unwrap();
                    all == want.to_vec3::<f32>().unwrap()
                };
                past.tokens() == tokens
                    && same(&keys, &want.layers[layer].0)
                    && same(&values, &want.layers[layer].1)
            })
    }

    proptest! {
        #[test]
        fn holds_what_was_run_in_order_in_few_stretches(parts in prop::collection::vec(1usize..300, 1..8), ones in 0usize..200, cut: prop::sample::Index) {
            let mut cache: Option<KvCache> = None;
            let mut tokens = 0;
            for count in parts.iter().copied().chain(std::iter::repeat_n(1, ones)) {
                let next = KvCache::after(cache.as_ref(), stretch(tokens, count), tokens + count + 5).unwrap();
                if let Some(before) = &cache {
                    prop_assert!(holds(before, tokens), "a continuation leaves what it began from as it was");
                }
                tokens += count;
                cache = Some(next);
            }
            let cache = cache.unwrap();
            prop_assert!(holds(&cache, tokens));
            prop_assert!(cache.stretches.len() <= parts.len() + 9, "{} stretches", cache.stretches.len());
            prop_assert_eq!(cache.bytes(), tokens * 2 * 2 * 2 * 4);
            let len = 1 + cut.index(tokens);
            let beginning = cache.beginning(len).unwrap();
            prop_assert!(holds(&beginning, len));
            prop_assert_eq!(beginning.next_position, len + 5);
        }
    }

    #[test]
    fn a_long_prefix_is_shared() {
        let prefix = KvCache::after(None, stretch(0, 300), 300).unwrap();
        let mut cache = prefix.clone();
        for token in 300..340 {
            cache = KvCache::after(Some(&cache), stretch(token, 1), token + 1).unwrap();
        }
        assert!(Arc::ptr_eq(&prefix.stretches[0], &cache.stretches[0]));
        assert_eq!(cache.stretches.iter().map(|s| s.tokens()).collect::<Vec<_>>(), [300, 32, 8]);
        assert!(holds(&cache, 340));
    }
}
