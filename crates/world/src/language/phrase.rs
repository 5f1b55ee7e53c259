//! Noun phrases and letter case.

use crate::random::{Random, RandomExt};
use crate::scene::{Attribute, CIRCLE, Condition};
use crate::vocabulary::THINGS;

/// What a question or statement calls the only thing in a picture.
pub const SINGLE_REFERENCES: [&str; 8] =
    ["it", "this", "the thing", "this thing", "the object", "this object", "the specimen", "this specimen"];

/// The text with its first letter in upper case.
pub fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// The text with its first letter in lower case.
pub fn lower_first(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

/// Words for smooth and jagged edges.
pub(super) fn edge_adjective(jagged: bool, rng: &mut Random) -> &'static str {
    if jagged {
        rng.pick(&["jagged", "jagged", "irregular"])
    } else {
        rng.pick(&["smooth", "smooth", "regular"])
    }
}

/// Words for the outline itself.
pub(super) const EDGE_NOUNS: [&str; 4] = ["edge", "edge", "border", "outline"];

/// A noun phrase for the things that meet a condition, without article: "round things with a dark rim".
pub fn noun_phrase(condition: &Condition, plural: bool, rng: &mut Random) -> String {
    let mut before: Vec<&str> = Vec::new();
    let mut after: Vec<String> = Vec::new();
    if let Some(size) = condition.get(Attribute::Size) {
        before.push(if size == 0 { "small" } else { rng.pick(&["large", "large", "big"]) });
    }
    if let Some(edge) = condition.get(Attribute::Edge) {
        let adjective = edge_adjective(edge == 1, rng);
        if rng.chance(0.25) {
            before.push(adjective);
        } else {
            let noun = rng.pick(&EDGE_NOUNS);
            if plural && rng.chance(0.5) {
                after.push(format!("{adjective} {noun}s"));
            } else {
                after.push(crate::vocabulary::with_article(&format!("{adjective} {noun}")));
            }
        }
    }
    if let Some(texture) = condition.get(Attribute::Texture) {
        if rng.chance(0.65) {
            before.push(Attribute::Texture.values()[texture as usize]);
        } else {
            after.push(["a plain surface", "stripes", "dots"][texture as usize].to_owned());
        }
    }
    if let Some(color) = condition.get(Attribute::Color) {
        before.push(Attribute::Color.values()[color as usize]);
    }
    let mut noun = rng.pick(&THINGS);
    if let Some(shape) = condition.get(Attribute::Shape) {
        if shape == CIRCLE && rng.chance(0.35) {
            before.push("round");
        } else {
            noun = Attribute::Shape.values()[shape as usize];
        }
    }
    if let Some(rim) = condition.get(Attribute::Rim) {
        let phrase = match (rim == 1, plural && rng.chance(0.4)) {
            (true, true) => "dark rims",
            (true, false) => "a dark rim",
            (false, _) => "no rim",
        };
        after.push(phrase.to_owned());
    }
    rng.mix(&mut after);
    let mut phrase = before.join(" ");
    if !phrase.is_empty() {
        phrase.push(' ');
    }
    if plural {
        phrase.push_str(&crate::vocabulary::plural(noun));
    } else {
        phrase.push_str(noun);
    }
    if !after.is_empty() {
        phrase.push_str(" with ");
        phrase.push_str(&after.join(" and "));
    }
    phrase
}
