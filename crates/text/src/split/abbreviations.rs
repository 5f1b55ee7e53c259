//! Words that a full stop follows without ending a sentence, in the languages that reports are written in.
//!
//! Each list is of one language, in lower case and without the last full stop; a word that several languages
//! use stands in the list of one. An abbreviation belongs where it does the least harm: a sentence that isn't
//! split is one long statement, one that is split at the wrong place is two that say nothing.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

/// What a full stop after a word says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// More follows, always: titles, and what introduces something.
    Never,
    /// A sentence ends only before a word that begins sentences, such as `The` or `Kein`.
    BeforeStarter,
    /// A sentence ends before any capital.
    BeforeCapital,
    /// An abbreviation before a number alone; a word of its own elsewhere.
    Number,
    /// A unit of measurement: after a number a sentence ends before a capital or a number.
    Unit,
}

type List = &'static [(&'static str, &'static str)];

const NEVER: List = &[
    (
        "en",
        "dr drs mr mrs ms messrs prof rev hon capt sgt gov viz vs e.g i.e eg ie approx incl excl esp w.r.t a.k.a c.f cf \
         s/p h/o r/o",
    ),
    (
        "de",
        "z.b zb d.h bzw bspw inkl exkl zzgl nr nrn hr hrn dipl vgl sog v.a z.n st.p o.g gem lfd rd insb insbes entspr \
         einschl betr bzgl rer fa tel i.s.v i.s.d a.d v.d u.v.a z.h",
    ),
    ("fr", "mme mlle mmes c.-à-d c.à.d càd p.ex p.e n° tél réf"),
    ("es", "ee sra srta sras sres dra dres dña pág págs núm núms p.ej aprox lic"),
    ("it", "dott dott.ssa dr.ssa prof.ssa sig sig.ra sig.na sigg avv geom p.es pag pagg tav cfr"),
    ("pt", "profa exmo exma nº n.º"),
    (
        "nl",
        "dhr mevr mw ir bijv bv d.w.z dwz m.b.t i.v.m t.o.v t.a.v n.a.v o.a m.a.w t.g.v d.m.v i.p.v i.t.t o.b.v a.h.v m.n nrs \
         blz afb vlg ong plm vnl zgn t.b.v",
    ),
];

const BEFORE_STARTER: List = &[
    (
        "en",
        "fig figs eq eqs ref refs st mt ave ca pt pts ed eds inc ltd co corp jr sr bros est vol ext susp prob poss bilat lat med \
         sup inf prox dist neg pos diff diag abd temp hosp seg segs lig ax sag img imgs dx tx rx hx fx bx jan feb apr jun jul aug sept sep oct nov dec tue \
         tues thu thur thurs fri max dept assoc resp u.s u.k u.n e.u y.o ph.d",
    ),
    (
        "de",
        "evtl ggf u.a s.o s.u s.a z.t u.u i.d.r i.v z.zt z.z n.n abb bds beids li re lks pat str mio mrd tsd std mon wo lj jh jhd \
         jhdt bd aufl hrsg chr mind unauff ausgepr path histol radiol klin sonogr postop präop intraop chron rez rezid verd lok \
         kontr beurt bef diagn ther nat habil univ jur phil geb gest verh okt mrz dez fr hinsichtl u gew durchm segm rgf kfz kennz dent vet oec",
    ),
    ("fr", "pr env éd av boul janv févr fév avr juil déc gche dte ttt atcd hab int etabl"),
    ("es", "ud uds vd ej izq izdo izda dcho dcha der ee.uu uu cía gral máx mín ene abr ago dic ing"),
    ("it", "es dex sx sin sn ds gen genn febbr arch s.p.a"),
    ("pt", "ex esq dir dta obs ltda cia fev eng"),
    ("nl", "evt wk wkn mnd dgn jl mrt div"),
];

const BEFORE_CAPITAL: List = &[
    ("en", "etc al a.m p.m"),
    ("de", "usw usf u.ä o.ä o.b u.v.m"),
    ("it", "ecc"),
    ("nl", "enz e.d e.a s.v.p a.u.b g.b"),
];

const NUMBER: List = &[
    ("en", "no nos pp ch chap sec art op"),
    ("de", "tab kap abs ziff par"),
    ("it", "cap nn"),
    ("nl", "hfdst"),
];

const UNIT: List = &[
    (
        "en",
        "mm cm m km µm μm nm ml cl dl l µl kg mg g µg in ft yd oz t lb lbs hz khz mhz kv ma hu hrs h min mins secs s yr yrs",
    ),
    ("de", "sek stk"),
];

/// Words that sentences begin with, and names don't.
const STARTERS: List = &[
    (
        "en",
        "the a an it its it's this that these those there here he she they we i you his her their our my no not none all both each \
         every some any many most several other another if when while since because as at in on of for from with without by after \
         before but and or so also then thus hence however therefore although though is are was were does do did has have had can \
         could may might should will would what who where why how which compared nothing neither only",
    ),
    (
        "de",
        "der die das den dem des ein eine einer eines einem einen es er sie wir ich ihr man dies diese dieser dieses diesen diesem \
         hier dort da dabei daher dadurch damit darum deshalb deswegen kein keine keiner keinen keinem nicht nur auch aber und oder \
         denn weil wenn ob als am auf aus bei beim bis durch für gegen im ins mit nach neben ohne seit über um unter vom von vor \
         während wegen zum zur beide alle jede jeder jedes mehrere sonst somit zudem außerdem ferner insgesamt keinerlei ist sind \
         war wird wurde seine ihre",
    ),
    (
        "fr",
        "le la les un une du il elle ils elles on nous vous je ce cet cette ces cela ça son sa ses leur leurs pas aucun aucune ni \
         mais et ou donc car si quand comme dans sur sous par pour avec sans chez en au aux à après avant absence",
    ),
    (
        "es",
        "el los las una unos unas lo son está están este esta estos estas ese esa eso esto él ella ellos ellas sin con del por para \
         según sobre se su sus y pero porque cuando también además hay todo todos ambos ésta éste",
    ),
    (
        "it",
        "il gli uno è sono questo questa questi queste quello non nessun nessuna senza di della dei delle alla nel nella per dal sul \
         ma perché quando anche ci inoltre tutti",
    ),
    (
        "pt",
        "o os um uma é são estes isso isto ele ela eles não sem com dos das em na nos nas ao mas também há tem seu sua",
    ),
    (
        "nl",
        "de het een er dit dat deze hij zij ze wij ik men zijn geen niet ook maar of want omdat met zonder voor naar van op aan uit \
         door over om tegen tijdens daar daarom dus verder",
    ),
];

/// Starters that surnames begin with, too: after an initial they begin no sentence.
const PARTICLES: &str = "le la les de du des da di del della dos das do el los an so he no in on van von der den ten ter il lo al i a o an";

/// What a letter or a number closes a sentence after: `grade 3.`, `type A.`
const CLASSIFIERS: List = &[
    (
        "en",
        "type types grade stage class group category level phase panel option hepatitis vitamin plan score case view image choice \
         answer letter factor",
    ),
    ("de", "typ grad stadium klasse gruppe kategorie stufe bild"),
    ("fr", "stade groupe catégorie classe degré"),
    ("es", "tipo grado estadio clase grupo categoría"),
    ("it", "stadio gruppo categoria"),
    ("pt", "grau estágio"),
    ("nl", "graad groep categorie"),
];

/// German words that a number with a full stop is an ordinal after.
const DETERMINERS: &str = "am der die das dem den des im vom zum zur beim bis ab seit und u jeder jede dieser ihr ihrem seinem ersten";

/// Nouns that ordinals are said of: `3. Rippe`.
const ORDERED: &str = "rippe rippen tag tage tages woche monat jahr jahrhundert zehe zeh finger lendenwirbel brustwirbel halswirbel \
    lendenwirbelkörper brustwirbelkörper halswirbelkörper lwk bwk hwk ssw schwangerschaftswoche lebensjahr lebensmonat \
    lebenswoche quartal halbjahr ordnung stock etage kammer trimenon segment auflage zahn molar prämolar strahl icr \
    interkostalraum hirnnerv ventrikel weltkrieg reihe zeile spalte schicht mittelfußknochen mittelhandknochen metatarsale \
    metakarpale metacarpale zyklus sitzung mal generation quadrant hälfte runde prämolaren kontrolle grad grades";

/// Months in full and cut, where a number before them is a day.
const MONTHS: &str = "january february march april may june july august september october november december jan feb mar apr jun jul aug \
    sep sept oct nov dec januar februar märz mai juni juli oktober dezember jänner feber mrz okt dez janvier février mars avril juin \
    juillet août septembre octobre novembre décembre enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre \
    diciembre gennaio febbraio aprile maggio giugno luglio settembre ottobre dicembre janeiro fevereiro março maio junho julho setembro \
    outubro novembro dezembro januari februari maart mei augustus";

/// Single words before a list that are no statements: `Reasons:`
const HEADS: &str = "reason reasons because why findings befund befunde hallazgos reperti achados bevindingen constatations reasoning rationale justification explanation begründung begründungen grund gründe \
    weil raison raisons justification motif motifs motivo motivos razón razones razão razões motivi ragioni motivazione porque perché \
    reden redenen toelichting onderbouwing";

static CLASSES: LazyLock<HashMap<&str, Class>> = LazyLock::new(|| {
    let of = |list: List, class| {
        list.iter().flat_map(|(_, words)| words.split_whitespace()).map(move |w| (w, class))
    };
    of(UNIT, Class::Unit)
        .chain(of(NUMBER, Class::Number))
        .chain(of(BEFORE_CAPITAL, Class::BeforeCapital))
        .chain(of(BEFORE_STARTER, Class::BeforeStarter))
        .chain(of(NEVER, Class::Never))
        .collect()
});

static WORDS: LazyLock<[HashSet<&str>; 7]> = LazyLock::new(|| {
    let lists = |list: List| list.iter().flat_map(|(_, words)| words.split_whitespace()).collect();
    let words = |words: &'static str| words.split_whitespace().collect();
    [
        lists(STARTERS),
        words(PARTICLES),
        lists(CLASSIFIERS),
        words(DETERMINERS),
        words(ORDERED),
        words(MONTHS),
        words(HEADS),
    ]
});

/// The class of a word in lower case, without its last full stop.
pub(super) fn class_of(word: &str) -> Option<Class> {
    CLASSES.get(word).copied()
}

/// Whether a word in lower case begins sentences.
pub(super) fn is_starter(word: &str) -> bool {
    WORDS[0].contains(word)
}

/// Whether a starter may be a part of a name, too.
pub(super) fn is_particle(word: &str) -> bool {
    WORDS[1].contains(word)
}

/// Whether a letter or number after this word is its grade, type or the like.
pub(super) fn is_classifier(word: &str) -> bool {
    WORDS[2].contains(word) || word.ends_with("rads")
}

/// Whether a number with a full stop after this word is an ordinal.
pub(super) fn is_determiner(word: &str) -> bool {
    WORDS[3].contains(word)
}

/// Whether a number with a full stop before this word is an ordinal: a month, or something counted off.
pub(super) fn is_ordered(word: &str) -> bool {
    WORDS[4].contains(word) || is_month(word)
}

/// Whether the word is a month.
pub(super) fn is_month(word: &str) -> bool {
    WORDS[5].contains(word)
}

/// Whether the word before a list only says that reasons follow.
pub(super) fn is_head(word: &str) -> bool {
    WORDS[6].contains(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_abbreviation_has_one_class_and_one_form() {
        let lists = [NEVER, BEFORE_STARTER, BEFORE_CAPITAL, NUMBER, UNIT];
        let mut seen = HashSet::new();
        for word in lists.into_iter().flatten().flat_map(|(_, words)| words.split_whitespace()) {
            assert!(seen.insert(word), "{word} stands there twice");
            assert!(!word.ends_with('.') && word.to_lowercase() == word, "{word}");
        }
        assert_eq!(seen.len(), CLASSES.len());
    }
}
