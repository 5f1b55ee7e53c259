use super::*;

#[test]
fn rules_keep_every_word() {
    for draw in 0..40 {
        let q = by_rule("What is this thing called?", draw);
        assert!(q.to_lowercase().contains("what is this thing called"), "{q}");
        assert!(q.ends_with('?'));
        let s = by_rule("MRI shows a lesion.", draw);
        assert!(s.contains("MRI shows a lesion"), "{s}");
    }
    let different: std::collections::HashSet<String> = (0..36).map(|draw| by_rule("Is it?", draw)).collect();
    assert_eq!(different.len(), 36);
}

#[test]
fn only_real_paraphrases_are_accepted() {
    let text = "The lesion has an irregular border.";
    assert!(acceptable(text, "The border of the lesion is irregular."));
    assert!(!acceptable(text, "The lesion has an irregular border"), "the same words");
    assert!(!acceptable(text, ""));
    assert!(!acceptable(text, "zorb"));
    assert!(!acceptable(text, "The lesion has\nan irregular border here."));
    assert!(!acceptable(text, "病变的边界不规则。"));
}
