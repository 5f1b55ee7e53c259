use proptest::prelude::*;

use super::*;

fn detail(one: &str, other: &str) -> Option<Detail> {
    detail_between(one, other).map(|difference| difference.detail)
}

#[test]
fn details_that_exclude_each_other_are_found_in_reports() {
    for (one, other, expected) in [
        ("The mass lies in the left lobe.", "A mass in the right lobe", Detail::Side),
        ("The thing is left-sided.", "The thing is right-sided.", Detail::Side),
        ("Nodule in the upper lobe.", "Nodule in the lower lobe.", Detail::Side),
        ("Fracture of the proximal humerus.", "Fracture of the distal humerus.", Detail::Side),
        ("Raumforderung im linken Lappen.", "Raumforderung im rechten Lappen.", Detail::Side),
        ("Nodule à gauche.", "Nodule à droite.", Detail::Side),
        ("There is no effusion.", "There is an effusion.", Detail::Negation),
        ("The rim isn't dark.", "The rim is dark.", Detail::Negation),
        ("The thing is without a rim.", "The thing has a dark rim.", Detail::Negation),
        ("Pneumothorax is absent.", "Pneumothorax is present.", Detail::Negation),
        ("Kein Erguss.", "Ein Erguss.", Detail::Negation),
        ("Sans épanchement.", "Avec épanchement.", Detail::Negation),
        ("The nodule measures 3 mm.", "The nodule measures 30 mm.", Detail::Number),
        ("The nodule measures 3mm.", "The nodule measures 3 cm.", Detail::Number),
        ("Two nodules are seen.", "Three nodules are seen.", Detail::Number),
        ("The thing is the only one.", "The thing is one of two.", Detail::Number),
        ("The thing is single.", "The thing is there twice.", Detail::Number),
        ("Stenose von 70 %.", "Stenose von 30 %.", Detail::Number),
        ("Das Ding misst 3,5 cm.", "Das Ding misst 4,5 cm.", Detail::Number),
        ("A benign lesion.", "A malignant lesion.", Detail::Opposite),
        ("The edge is smooth.", "The edge is irregular.", Detail::Opposite),
    ] {
        assert_eq!(detail(one, other), Some(expected), "{one} | {other}");
    }
}

#[test]
fn what_can_both_be_true_is_no_contradiction() {
    for (one, other) in [
        ("The mass lies in the left lobe.", "Effusion on the right."),
        ("The nodule measures 3 cm.", "The nodule measures 30 mm."),
        ("The nodule measures 30 mm.", "The nodule measures 31 mm."),
        ("The nodule measures 3 mm.", "Three nodules are seen."),
        ("There is no effusion.", "There is a fracture."),
        ("The thing has a dark rim.", "The rim of the thing is dark."),
        ("The lesion extends from left to right.", "The lesion is on the left."),
        ("Follow-up in 12 months.", "Follow-up in 12 months"),
        ("The thing is red.", "The thing is striped."),
    ] {
        assert_eq!(detail(one, other), None, "{one} | {other}");
    }
}

#[test]
fn the_axis_of_a_side_is_told() {
    let axis = |one, other| detail_between(one, other).and_then(|difference| difference.axis);
    assert_eq!(axis("On the left.", "On the right."), Some(Axis::Horizontal));
    assert_eq!(axis("The upper lobe.", "The lower lobe."), Some(Axis::Vertical));
    assert_eq!(axis("The anterior wall.", "The posterior wall."), Some(Axis::Other));
    assert_eq!(axis("No wall.", "A wall."), None);
}

proptest! {
    #[test]
    fn order_has_no_say_and_nothing_contradicts_itself(
        one in "[a-z0-9 .,%]{0,40}",
        other in "(the|a|left|right|no|two|3|30|mm|cm|rim|thing|is|dark| |\\.){0,12}",
    ) {
        prop_assert_eq!(detail_between(&one, &other), detail_between(&other, &one));
        prop_assert_eq!(detail_between(&one, &one), None);
        let loud = format!("  The {} ", other.to_uppercase());
        prop_assert_eq!(detail_between(&other, &loud), None);
    }

    #[test]
    fn any_text_is_read(text in "\\PC{0,200}") {
        let reading = Reading::of(&text);
        prop_assert_eq!(reading.differs_from(&reading), None);
    }
}
