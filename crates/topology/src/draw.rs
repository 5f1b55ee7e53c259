//! One draw of samples: which pictures and texts it needs, which pairs of them are its nodes, and which node
//! is which.
//!
//! Everything that embeds a draw asks it for the order: [`Draw::images`], [`Draw::texts`], [`Draw::nodes`].
//! Nothing else knows it.

use std::ops::Range;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::error::{Result, TopologyError};
use crate::partition::Partition;

/// A picture or a text of a draw.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Item {
    /// That of sample `pair` of the draw.
    Original {
        /// Which sample of the draw, from 0.
        pair: usize,
    },
    /// View `view` of it: an augmented picture, or a paraphrase.
    View {
        /// Which sample of the draw, from 0.
        pair: usize,
        /// Which of its views, from 0.
        view: usize,
    },
    /// One that belongs to no sample of the draw, from a pool.
    Foreign {
        /// Which of those chosen for this draw, from 0.
        index: usize,
    },
}

/// A node: a picture with a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Node {
    /// Its picture.
    pub image: Item,
    /// Its text.
    pub text: Item,
}

/// The plan of one draw of n pairs (method section 6).
///
/// Nodes, in this order: the n² crossings (image by image, the n anchors among them); the augmentations of
/// anchor 0, of anchor 1, … (view a of the picture with view a of the text); these are the network. Then the
/// probes of the biases, anchor by anchor: its picture's views with its text, its picture with its text's
/// views, its picture with foreign texts, foreign pictures with its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draw {
    pairs: usize,
    augmentations: usize,
    perturbed: usize,
    foreign: usize,
}

impl Draw {
    /// A draw of `pairs` samples as in the paper: n−1 augmentations of each anchor, n perturbed and n foreign
    /// ones for the biases.
    ///
    /// # Errors
    /// Fewer than two pairs.
    pub fn new(pairs: usize) -> Result<Self> {
        if pairs < 2 {
            return Err(TopologyError::TooFewPairs(pairs));
        }
        Ok(Self { pairs, augmentations: pairs - 1, perturbed: pairs, foreign: pairs })
    }

    /// The same with `perturbed` views of each picture and text for the biases (one at least) and `foreign`
    /// pictures and texts for all anchors together. With no foreign ones the mismatched pairs are the
    /// crossings of the anchor with the other samples, which cost nothing: they are nodes already.
    #[must_use]
    pub fn with_probes(mut self, perturbed: usize, foreign: usize) -> Self {
        self.perturbed = perturbed.max(1);
        self.foreign = foreign;
        self
    }

    /// Samples in the draw, n.
    pub fn pairs(&self) -> usize {
        self.pairs
    }

    /// Views needed of every picture and of every text.
    pub fn views(&self) -> usize {
        self.augmentations.max(self.perturbed)
    }

    /// Foreign pictures needed, and foreign texts: as many of each.
    pub fn foreign(&self) -> usize {
        self.foreign
    }

    /// The pictures in the order in which [`Draw::node_indices`] counts them. The texts stand in the same
    /// order.
    pub fn images(&self) -> Vec<Item> {
        let originals = (0..self.pairs).map(|pair| Item::Original { pair });
        let views =
            (0..self.pairs).flat_map(|pair| (0..self.views()).map(move |view| Item::View { pair, view }));
        let foreign = (0..self.foreign).map(|index| Item::Foreign { index });
        originals.chain(views).chain(foreign).collect()
    }

    /// The texts in the order in which [`Draw::node_indices`] counts them.
    pub fn texts(&self) -> Vec<Item> {
        self.images()
    }

    /// Number of pictures, and of texts.
    pub fn items(&self) -> usize {
        self.pairs * (1 + self.views()) + self.foreign
    }

    /// Place of a picture in [`Draw::images`], or of a text in [`Draw::texts`].
    pub fn item_index(&self, item: Item) -> usize {
        match item {
            Item::Original { pair } => pair,
            Item::View { pair, view } => self.pairs + pair * self.views() + view,
            Item::Foreign { index } => self.pairs * (1 + self.views()) + index,
        }
    }

    /// All nodes in order: those of the network, then the probes.
    pub fn nodes(&self) -> Vec<Node> {
        let original = |pair| Item::Original { pair };
        let mut nodes = Vec::with_capacity(self.all_nodes());
        for image in 0..self.pairs {
            nodes.extend((0..self.pairs).map(|text| Node { image: original(image), text: original(text) }));
        }
        for pair in 0..self.pairs {
            let view = |view| Item::View { pair, view };
            nodes.extend((0..self.augmentations).map(|at| Node { image: view(at), text: view(at) }));
        }
        for pair in 0..self.pairs {
            let own = original(pair);
            let views = || (0..self.perturbed).map(|view| Item::View { pair, view });
            let foreign = || (0..self.foreign).map(|index| Item::Foreign { index });
            nodes.extend(views().map(|image| Node { image, text: own }));
            nodes.extend(views().map(|text| Node { image: own, text }));
            nodes.extend(foreign().map(|text| Node { image: own, text }));
            nodes.extend(foreign().map(|image| Node { image, text: own }));
        }
        nodes
    }

    /// Per node the index of its picture and of its text: what [`crate::Network::of_pairs`] takes.
    pub fn node_indices(&self) -> Vec<(u32, u32)> {
        self.nodes()
            .into_iter()
            .map(|node| (self.item_index(node.image) as u32, self.item_index(node.text) as u32))
            .collect()
    }

    /// Number of crossings, n².
    pub fn crossings(&self) -> usize {
        self.pairs * self.pairs
    }

    /// Number of nodes of the bimodal network: crossings and augmentations, n² + n(n−1).
    pub fn network_nodes(&self) -> usize {
        self.crossings() + self.pairs * self.augmentations
    }

    /// Number of nodes with the probes.
    pub fn all_nodes(&self) -> usize {
        self.network_nodes() + self.pairs * self.probes_of_anchor()
    }

    fn probes_of_anchor(&self) -> usize {
        2 * (self.perturbed + self.foreign)
    }

    /// The crossing of picture `image` with text `text`, both below n.
    pub fn crossing(&self, image: usize, text: usize) -> usize {
        image * self.pairs + text
    }

    /// The anchor of sample `pair`: its own picture with its own text.
    pub fn anchor(&self, pair: usize) -> usize {
        self.crossing(pair, pair)
    }

    /// The crossings grouped by their picture.
    pub fn by_image(&self) -> Partition {
        Partition::new((0..self.crossings()).map(|node| node / self.pairs))
    }

    /// The crossings grouped by their text.
    pub fn by_text(&self) -> Partition {
        Partition::new((0..self.crossings()).map(|node| node % self.pairs))
    }

    /// The network's nodes: each anchor with its augmentations, every other crossing alone.
    pub fn by_pair(&self) -> Partition {
        let augmentations = (0..self.pairs).flat_map(|pair| std::iter::repeat_n(pair, self.augmentations));
        Partition::new((0..self.crossings()).chain(augmentations.map(|pair| self.anchor(pair))))
    }

    fn probes(&self, pair: usize, before: usize, count: usize) -> Range<usize> {
        let first = self.network_nodes() + pair * self.probes_of_anchor() + before;
        first..first + count
    }

    /// Nodes with views of the anchor's picture and its own text.
    pub fn image_perturbed(&self, pair: usize) -> Vec<usize> {
        self.probes(pair, 0, self.perturbed).collect()
    }

    /// Nodes with the anchor's picture and views of its text.
    pub fn text_perturbed(&self, pair: usize) -> Vec<usize> {
        self.probes(pair, self.perturbed, self.perturbed).collect()
    }

    /// Nodes with the anchor's picture and texts that are not its own.
    pub fn text_mismatched(&self, pair: usize) -> Vec<usize> {
        if self.foreign == 0 {
            return (0..self.pairs).filter(|&o| o != pair).map(|other| self.crossing(pair, other)).collect();
        }
        self.probes(pair, 2 * self.perturbed, self.foreign).collect()
    }

    /// Nodes with pictures that are not the anchor's own and its text.
    pub fn image_mismatched(&self, pair: usize) -> Vec<usize> {
        if self.foreign == 0 {
            return (0..self.pairs).filter(|&o| o != pair).map(|other| self.crossing(other, pair)).collect();
        }
        self.probes(pair, 2 * self.perturbed + self.foreign, self.foreign).collect()
    }
}

/// `runs` draws of `pairs` different samples out of `available`, as indices below `available`. Samples are
/// dealt from a shuffled deck, so that draws share none as long as it lasts; then a newly shuffled one is
/// taken.
///
/// # Errors
/// Fewer samples than one draw takes.
pub fn deal(available: usize, pairs: usize, runs: usize, seed: u64) -> Result<Vec<Vec<usize>>> {
    if available < pairs || pairs == 0 {
        return Err(TopologyError::TooFewSamples { needed: pairs.max(1), available });
    }
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    let mut deck: Vec<usize> = Vec::new();
    Ok((0..runs)
        .map(|_| {
            if deck.len() < pairs {
                deck = (0..available).collect();
                deck.shuffle(&mut generator);
            }
            deck.split_off(deck.len() - pairs)
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn draws() -> impl Strategy<Value = Draw> {
        (2usize..7, 1usize..9, 0usize..6)
            .prop_map(|(pairs, perturbed, foreign)| Draw::new(pairs).unwrap().with_probes(perturbed, foreign))
    }

    #[test]
    fn counts_are_the_papers() {
        let draw = Draw::new(20).unwrap();
        assert_eq!((draw.crossings(), draw.network_nodes()), (400, 780));
        assert_eq!(draw.by_pair().groups(), 400);
        assert_eq!((draw.by_image().groups(), draw.by_text().groups()), (20, 20));
        assert_eq!((draw.views(), draw.foreign(), draw.items()), (20, 20, 20 + 400 + 20));
        assert_eq!(Draw::new(1), Err(TopologyError::TooFewPairs(1)));
    }

    proptest! {
        #[test]
        fn places_are_what_they_are_called(draw in draws()) {
            let nodes = draw.nodes();
            prop_assert_eq!(nodes.len(), draw.all_nodes());
            let items = draw.images();
            prop_assert_eq!(items.len(), draw.items());
            for (place, item) in items.iter().enumerate() {
                prop_assert_eq!(draw.item_index(*item), place);
            }
            for (node, (image, text)) in nodes.iter().zip(draw.node_indices()) {
                prop_assert_eq!(items[image as usize], node.image);
                prop_assert_eq!(items[text as usize], node.text);
            }
            // No node is computed twice.
            prop_assert_eq!(nodes.iter().collect::<HashSet<_>>().len(), nodes.len());
        }

        #[test]
        fn groups_hold_what_belongs_together(draw in draws()) {
            let nodes = draw.nodes();
            let (by_image, by_text, by_pair) = (draw.by_image(), draw.by_text(), draw.by_pair());
            prop_assert_eq!(by_pair.nodes(), draw.network_nodes());
            for a in 0..draw.network_nodes() {
                for b in 0..draw.network_nodes() {
                    if a < draw.crossings() && b < draw.crossings() {
                        let same = |p: &Partition| p.of_nodes()[a] == p.of_nodes()[b];
                        prop_assert_eq!(same(&by_image), nodes[a].image == nodes[b].image);
                        prop_assert_eq!(same(&by_text), nodes[a].text == nodes[b].text);
                    }
                    let own = |n: &Node| match (n.image, n.text) {
                        (Item::Original { pair }, Item::Original { pair: text }) if pair == text => Some(pair),
                        (Item::View { pair, view }, Item::View { pair: text, view: other })
                            if pair == text && view == other => Some(pair),
                        _ => None,
                    };
                    let together = a == b || own(&nodes[a]).is_some() && own(&nodes[a]) == own(&nodes[b]);
                    prop_assert_eq!(by_pair.of_nodes()[a] == by_pair.of_nodes()[b], together);
                }
            }
        }

        #[test]
        fn probes_differ_from_their_anchor_in_one_thing(draw in draws()) {
            let nodes = draw.nodes();
            for pair in 0..draw.pairs() {
                let anchor = nodes[draw.anchor(pair)];
                prop_assert_eq!(anchor, Node { image: Item::Original { pair }, text: Item::Original { pair } });
                let view = |item: Item| matches!(item, Item::View { pair: of, .. } if of == pair);
                for at in draw.image_perturbed(pair) {
                    prop_assert!(view(nodes[at].image) && nodes[at].text == anchor.text);
                }
                for at in draw.text_perturbed(pair) {
                    prop_assert!(view(nodes[at].text) && nodes[at].image == anchor.image);
                }
                for at in draw.text_mismatched(pair) {
                    prop_assert!(nodes[at].image == anchor.image);
                    prop_assert!(nodes[at].text != anchor.text && !view(nodes[at].text));
                }
                for at in draw.image_mismatched(pair) {
                    prop_assert!(nodes[at].text == anchor.text);
                    prop_assert!(nodes[at].image != anchor.image && !view(nodes[at].image));
                }
                prop_assert!(!draw.text_mismatched(pair).is_empty() && !draw.image_mismatched(pair).is_empty());
            }
        }

        #[test]
        fn hands_are_disjoint_while_the_deck_lasts(
            pairs in 1usize..6, extra in 0usize..20, runs in 0usize..9, seed in 0u64..5,
        ) {
            let available = pairs + extra;
            let hands = deal(available, pairs, runs, seed).unwrap();
            prop_assert_eq!(&hands, &deal(available, pairs, runs, seed).unwrap());
            prop_assert_eq!(hands.len(), runs);
            for deck in hands.chunks(available / pairs) {
                let dealt: Vec<usize> = deck.iter().flatten().copied().collect();
                prop_assert_eq!(dealt.iter().collect::<HashSet<_>>().len(), deck.len() * pairs);
                prop_assert!(dealt.iter().all(|&sample| sample < available));
            }
        }
    }

    #[test]
    fn too_few_samples_say_how_many_are_needed() {
        let refused = deal(7, 20, 10, 0).unwrap_err();
        assert_eq!(refused.to_string(), "a draw of 20 pairs needs 20 samples at least; there are 7");
        assert_ne!(deal(100, 20, 1, 0).unwrap(), deal(100, 20, 1, 1).unwrap());
    }
}
