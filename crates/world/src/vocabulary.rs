//! The closed word lists of the world and its invented names.
//!
//! Names are split in ten buckets by a stable hash: one bucket is used by evaluation seeds only, so that a
//! model trained on seeds below [`EVALUATION_SEED_START`] has never seen a name it is measured on.

use crate::random::{Random, RandomExt, stable_hash};

/// Seeds from here on are for evaluation: their names never occur in training data.
pub const EVALUATION_SEED_START: u64 = 1_000_000;

/// Which bucket of names a seed may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Split {
    /// Nine of ten names.
    Training,
    /// The tenth, never trained on.
    Evaluation,
}

impl Split {
    /// The split a seed belongs to.
    pub fn of_seed(seed: u64) -> Self {
        if seed >= EVALUATION_SEED_START { Self::Evaluation } else { Self::Training }
    }

    /// Whether this split may use `name`.
    pub fn admits(self, name: &str) -> bool {
        (stable_hash(name.as_bytes()).is_multiple_of(10)) == (self == Self::Evaluation)
    }
}

/// What things are called when only "a thing" is meant.
pub const THINGS: [&str; 4] = ["thing", "object", "specimen", "shape"];

/// Pairs of opposite classes; the first is what everything is by default.
pub const CLASSES: [(&str, &str); 14] = [
    ("benign", "malignant"),
    ("harmless", "dangerous"),
    ("edible", "poisonous"),
    ("common", "rare"),
    ("alive", "dead"),
    ("healthy", "sick"),
    ("cheap", "expensive"),
    ("safe", "toxic"),
    ("gentle", "fierce"),
    ("real", "fake"),
    ("wild", "tame"),
    ("fresh", "rotten"),
    ("native", "foreign"),
    ("hard", "soft"),
];

/// A relation between things and a value: how it is asked, said of one and of many, and what holds by
/// default.
#[derive(Debug, PartialEq, Eq)]
pub struct Relation {
    /// Questions about one thing, `{}` standing for the reference.
    pub ask: &'static [&'static str],
    /// The question about a kind in the plural, `{}` standing for the kind.
    pub ask_many: &'static str,
    /// Predicate of a singular subject.
    pub one: &'static str,
    /// Predicate of a plural subject.
    pub many: &'static str,
    /// The answer where no rule says otherwise.
    pub default: &'static str,
}

macro_rules! relations {
    ($(($ask:expr, $ask_many:literal, $one:literal, $many:literal, $default:literal)),* $(,)?) => {
        [$(Relation { ask: &$ask, ask_many: $ask_many, one: $one, many: $many, default: $default }),*]
    };
}

/// All relations.
pub const RELATIONS: [Relation; 15] = relations![
    (
        ["Where does {} live?", "In what place does {} live?"],
        "Where do {} live?",
        "lives in",
        "live in",
        "water"
    ),
    (["What does {} eat?", "Which food does {} eat?"], "What do {} eat?", "eats", "eat", "grass"),
    (
        ["What is {} made of?", "Which material is {} made of?"],
        "What are {} made of?",
        "is made of",
        "are made of",
        "clay"
    ),
    (
        ["Where does {} come from?", "From where does {} come?"],
        "Where do {} come from?",
        "comes from",
        "come from",
        "earth"
    ),
    (
        ["What is {} used for?", "For what is {} used?"],
        "What are {} used for?",
        "is used for",
        "are used for",
        "work"
    ),
    (
        ["How is {} treated?", "With what is {} treated?"],
        "How are {} treated?",
        "is treated with",
        "are treated with",
        "rest"
    ),
    (["Where does {} grow?", "In what does {} grow?"], "Where do {} grow?", "grows in", "grow in", "soil"),
    (
        ["Where is {} sold?", "In what place is {} sold?"],
        "Where are {} sold?",
        "is sold in",
        "are sold in",
        "shops"
    ),
    (
        ["Where is {} found?", "In what place is {} found?"],
        "Where are {} found?",
        "is found in",
        "are found in",
        "fields"
    ),
    (["What does {} need?", "Which thing does {} need?"], "What do {} need?", "needs", "need", "air"),
    (["What does {} fear?", "Of what is {} afraid?"], "What do {} fear?", "fears", "fear", "noise"),
    (["What does {} like?", "What is it that {} likes?"], "What do {} like?", "likes", "like", "sleep"),
    (
        ["How is {} opened?", "With what is {} opened?"],
        "How are {} opened?",
        "is opened with",
        "are opened with",
        "keys"
    ),
    (
        ["How is {} cleaned?", "With what is {} cleaned?"],
        "How are {} cleaned?",
        "is cleaned with",
        "are cleaned with",
        "brushes"
    ),
    (
        ["Where is {} hidden?", "In what is {} hidden?"],
        "Where are {} hidden?",
        "is hidden in",
        "are hidden in",
        "boxes"
    ),
];

/// Nouns that a thing has ("the price of it"), each with its default.
pub const NOUNS: [(&str, &str); 15] = [
    ("price", "low"),
    ("age", "young"),
    ("owner", "nobody"),
    ("smell", "faint"),
    ("taste", "sweet"),
    ("weight", "light"),
    ("origin", "home"),
    ("cause", "dust"),
    ("cure", "time"),
    ("code", "zero"),
    ("grade", "plain"),
    ("risk", "minor"),
    ("sound", "quiet"),
    ("speed", "slow"),
    ("season", "summer"),
];

/// Plain words that serve as values.
pub const VALUE_WORDS: [&str; 92] = [
    "sea", "forest", "desert", "moss", "leaves", "sugar", "iron", "glass", "river", "cave", "north", "south",
    "wood", "stone", "salt", "honey", "milk", "bread", "sand", "snow", "wind", "fire", "rain", "gold",
    "silver", "copper", "paper", "cloth", "wool", "silk", "seeds", "worms", "fish", "rice", "corn", "fruit",
    "nuts", "mud", "ice", "lake", "valley", "mountain", "garden", "field", "island", "swamp", "jungle",
    "medicine", "fuel", "food", "music", "paint", "soap", "cold", "heat", "oil", "surgery", "cream",
    "tablets", "washing", "dark", "thunder", "marble", "quartz", "cotton", "ginger", "amber", "bamboo",
    "barley", "butter", "chalk", "cider", "coal", "coral", "feathers", "flour", "granite", "hay", "ink",
    "juice", "leather", "lemon", "lime", "linen", "magic", "mint", "pollen", "resin", "steam", "velvet",
    "vinegar", "wax",
];

/// Real count nouns that now and then serve as the name of a kind or as a value.
pub const NAME_WORDS: [&str; 64] = [
    "walnut", "lantern", "meadow", "violin", "pepper", "harbor", "melanoma", "nevus", "mole", "tumor",
    "cactus", "dragon", "pebble", "saddle", "acorn", "anchor", "anvil", "badger", "barrel", "basket",
    "beacon", "beetle", "biscuit", "bobbin", "bottle", "button", "cabin", "candle", "canyon", "carpet",
    "castle", "comet", "crater", "falcon", "feather", "fern", "fossil", "garnet", "goblin", "hammer",
    "helmet", "hornet", "jewel", "kettle", "kitten", "lesion", "lizard", "magnet", "mammoth", "nodule",
    "otter", "parrot", "pilot", "planet", "pumpkin", "ribbon", "rocket", "sailor", "spider", "temple",
    "turnip", "wagon", "wizard", "zipper",
];

const ONSETS: [&str; 39] = [
    "b", "bl", "br", "c", "ch", "cl", "cr", "d", "dr", "f", "fl", "fr", "g", "gl", "gr", "h", "j", "k", "kl",
    "kr", "l", "m", "n", "p", "pl", "pr", "qu", "r", "s", "sh", "sk", "sl", "sm", "sn", "sp", "st", "t",
    "th", "v",
];
const RARE_ONSETS: [&str; 5] = ["tr", "w", "y", "z", "zw"];
const VOWELS: [&str; 15] = ["a", "e", "i", "o", "u", "a", "e", "i", "o", "u", "ai", "ea", "ee", "oo", "ou"];
const CODAS: [&str; 27] = [
    "b", "ck", "d", "f", "g", "k", "l", "m", "n", "p", "r", "rb", "rk", "rm", "rn", "rt", "sk", "st", "t",
    "th", "x", "z", "nd", "nk", "lt", "mp", "ng",
];
const ENDINGS: [&str; 9] = ["um", "ia", "oma", "in", "er", "on", "al", "ite", "ic"];

fn raw_name(rng: &mut Random) -> String {
    let syllables = 1 + rng.weighted(&[0.3, 0.5, 0.2]);
    let mut name = String::with_capacity(12);
    for _ in 0..syllables {
        name.push_str(if rng.chance(0.88) { rng.pick(&ONSETS) } else { rng.pick(&RARE_ONSETS) });
        name.push_str(rng.pick(&VOWELS));
    }
    if rng.chance(0.7) || syllables == 1 {
        name.push_str(rng.pick(&CODAS));
    } else if rng.chance(0.5) {
        name.push_str(rng.pick(&ENDINGS));
    }
    name
}

/// Whether `word` belongs to the fixed lists, so that it must not be invented as a name.
pub fn is_fixed_word(word: &str) -> bool {
    use std::collections::HashSet;
    use std::sync::LazyLock;
    static FIXED: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
        let mut words: HashSet<&'static str> =
            VALUE_WORDS.into_iter().chain(NAME_WORDS).chain(THINGS).collect();
        words.extend(CLASSES.iter().flat_map(|(first, second)| [*first, *second]));
        words.extend(NOUNS.iter().flat_map(|(noun, default)| [*noun, *default]));
        words.extend(RELATIONS.iter().map(|relation| relation.default));
        for attribute in crate::scene::Attribute::ALL {
            words.extend(attribute.values());
        }
        words.extend([
            "round", "big", "edge", "rim", "border", "outline", "image", "unknown", "yes", "two", "three",
        ]);
        words
    });
    FIXED.contains(word)
}

/// An invented name of the split: three to ten letters, no fixed word, a regular plural.
pub fn invented_name(split: Split, rng: &mut Random) -> String {
    loop {
        let name = raw_name(rng);
        let fits = (3..=10).contains(&name.len()) && !name.ends_with('s');
        if fits && split.admits(&name) && !is_fixed_word(&name) {
            return name;
        }
    }
}

/// A name of a kind: mostly invented, at times a real noun of the split.
pub fn kind_name(split: Split, rng: &mut Random) -> String {
    if rng.chance(0.12) {
        let word = rng.pick(&NAME_WORDS);
        if split.admits(word) {
            return word.to_owned();
        }
    }
    invented_name(split, rng)
}

/// A value of a relation or noun: a plain word, a real noun or an invented one.
pub fn value(split: Split, rng: &mut Random) -> String {
    match rng.weighted(&[0.5, 0.08, 0.42]) {
        0 => rng.pick(&VALUE_WORDS).to_owned(),
        1 => kind_name(split, rng),
        _ => invented_name(split, rng),
    }
}

/// The regular plural of a name.
pub fn plural(word: &str) -> String {
    let sibilant = ["x", "z", "sh", "ch", "s"].iter().any(|ending| word.ends_with(ending));
    format!("{word}{}", if sibilant { "es" } else { "s" })
}

/// The phrase with its indefinite article.
pub fn with_article(phrase: &str) -> String {
    let vowel = phrase.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {phrase}", if vowel { "an" } else { "a" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::stream;
    use std::collections::HashSet;

    #[test]
    fn names_of_the_two_splits_never_meet() {
        let draw = |split, label: &str| -> HashSet<String> {
            let mut rng = stream(1, label, 0);
            (0..20_000).map(|_| kind_name(split, &mut rng)).collect()
        };
        let training = draw(Split::Training, "training");
        let evaluation = draw(Split::Evaluation, "evaluation");
        assert!(training.len() > 10_000 && evaluation.len() > 3_000);
        assert!(training.is_disjoint(&evaluation));
    }

    #[test]
    fn about_one_name_in_ten_is_kept_for_evaluation() {
        let mut rng = stream(2, "raw", 0);
        let kept = (0..10_000).filter(|_| Split::Evaluation.admits(&raw_name(&mut rng))).count();
        assert!((850..1_150).contains(&kept), "{kept}");
    }

    #[test]
    fn seeds_are_split_at_the_stated_number() {
        assert_eq!(Split::of_seed(EVALUATION_SEED_START - 1), Split::Training);
        assert_eq!(Split::of_seed(EVALUATION_SEED_START), Split::Evaluation);
    }

    #[test]
    fn invented_names_are_short_lower_case_words_of_their_own() {
        let mut rng = stream(5, "names", 0);
        for _ in 0..5_000 {
            let name = invented_name(Split::Training, &mut rng);
            assert!(
                (3..=10).contains(&name.len()) && name.chars().all(|letter| letter.is_ascii_lowercase()),
                "{name}"
            );
            assert!(!is_fixed_word(&name), "{name}");
        }
    }

    #[test]
    fn plurals_and_articles_are_regular() {
        assert_eq!(plural("zorb"), "zorbs");
        assert_eq!(plural("cross"), "crosses");
        assert_eq!(plural("blesh"), "bleshes");
        assert_eq!(with_article("orange thing"), "an orange thing");
        assert_eq!(with_article("zorb"), "a zorb");
    }

    #[test]
    fn no_relation_or_noun_has_its_default_among_the_plain_values() {
        let defaults = RELATIONS
            .iter()
            .map(|relation| relation.default)
            .chain(NOUNS.iter().map(|(_, default)| *default));
        for default in defaults {
            assert!(!VALUE_WORDS.contains(&default), "{default}");
        }
    }
}
