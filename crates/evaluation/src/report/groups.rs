//! Editors that belong together: one with its reasoning variant (`-cot`) and with other settings (`@…`).

use crate::editors::{REASONEDIT, is_ablation};
use crate::settings::unlabelled;

/// What an editor's reasoning variant is called behind its name.
const COT: &str = "-cot";

/// What editors that belong together have in common: a name.
pub(super) fn group(name: &str) -> &str {
    let plain = unlabelled(name);
    plain.strip_suffix(COT).unwrap_or(plain)
}

/// Whether it is the reasoning variant of one that has none by itself.
pub(super) fn is_reasoning_variant(name: &str) -> bool {
    unlabelled(name).ends_with(COT)
}

/// Whether it has other settings than its own or its tuned ones.
pub(super) fn is_labelled(name: &str) -> bool {
    unlabelled(name) != name
}

/// Whether it is `ReasonEdit`, whatever its settings.
pub(super) fn is_own(name: &str) -> bool {
    unlabelled(name) == REASONEDIT || is_ablation(name)
}

/// Puts those together that belong together, the groups in the order of their first.
pub(super) fn together<T>(all: &mut [T], name: impl Fn(&T) -> &str) {
    let mut groups: Vec<String> = Vec::new();
    for one in all.iter() {
        if !groups.iter().any(|known| known == group(name(one))) {
            groups.push(group(name(one)).to_owned());
        }
    }
    all.sort_by_key(|one| groups.iter().position(|known| known == group(name(one))));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_editor_stands_with_its_variants() {
        let mut names = ["unedited", "ft", "lora@published", "ft-cot@published", "lora", "ft@published"];
        together(&mut names, |name| name);
        assert_eq!(names, ["unedited", "ft", "ft-cot@published", "ft@published", "lora@published", "lora"]);
        assert!(is_reasoning_variant("ft-cot@3") && !is_reasoning_variant("ft@3"));
        assert!(is_own("reasonedit@published") && is_own("no-gate") && !is_own("ike"));
    }
}
