//! Questions about a view are true, balanced and unambiguous.

use super::*;
use crate::random::stream;

fn views(label: &str) -> Vec<View> {
    (0..1_500)
        .map(|index| {
            let mut rng = stream(3, label, index);
            let count = 1 + rng.below(3);
            let objects: Vec<Traits> = (0..count).map(|_| Traits::random(&mut rng)).collect();
            View::whole(&objects)
        })
        .collect()
}

#[test]
fn attribute_answers_are_those_of_something_in_the_view() {
    let mut rng = stream(1, "test", 0);
    let mut asked = 0;
    for view in views("attributes") {
        let Some(branch) = attribute_branch(&view, &mut rng) else { continue };
        let name = branch.tag.split('.').nth(1).unwrap();
        let attribute = Attribute::ALL.into_iter().find(|attribute| attribute.name() == name).unwrap();
        assert!(view.seen.iter().any(|seen| seen.traits.word(attribute) == branch.answer));
        asked += 1;
    }
    assert!(asked > 1_200);
}

#[test]
fn a_description_fits_one_object_only() {
    let mut rng = stream(2, "test", 0);
    let mut found = 0;
    for view in views("descriptions") {
        for index in 0..view.seen.len() {
            let Some(condition) = unique_description(&view, index, &[], &mut rng) else { continue };
            let holds: Vec<bool> = view.seen.iter().map(|seen| condition.holds(&seen.traits)).collect();
            assert_eq!(holds.iter().filter(|holds| **holds).count(), 1);
            assert!(holds[index]);
            found += 1;
        }
    }
    assert!(found > 2_000);
}

#[test]
fn yes_and_no_are_about_equally_common() {
    let mut rng = stream(4, "test", 0);
    let answers: Vec<String> = views("balance")
        .iter()
        .filter_map(|view| yes_no_branch(view, Split::Training, &mut rng))
        .map(|branch| branch.answer)
        .collect();
    let yes = answers.iter().filter(|answer| *answer == "yes").count() as f64 / answers.len() as f64;
    assert!(answers.len() > 1_300 && (0.44..0.56).contains(&yes), "{yes} of {}", answers.len());
}

#[test]
fn claims_about_the_only_thing_are_true_exactly_when_they_say_so() {
    let mut rng = stream(5, "test", 0);
    let mut checked = 0;
    let views = views("claims");
    for view in views.iter().filter(|view| view.single()).cycle().take(8_000) {
        let Some(Claim { statement, yes, .. }) = claim(view, &mut rng) else { continue };
        // "The thing is red." and "The colour of it is red." name a colour; so does no other form of these
        // two.
        let Some(color) =
            Attribute::Color.values().iter().find(|word| statement.ends_with(&format!("is {word}.")))
        else {
            continue;
        };
        let rest = &statement[..statement.len() - color.len() - 1];
        if SINGLE_REFERENCES
            .iter()
            .any(|reference| rest.to_lowercase().ends_with(&format!("{reference} is ")))
        {
            assert_eq!(view.seen[0].traits.word(Attribute::Color) == *color, yes, "{statement}");
            checked += 1;
        }
    }
    assert!(checked > 100, "{checked}");
}

#[test]
fn nothing_is_affirmed_of_an_empty_view() {
    let mut rng = stream(6, "test", 0);
    let empty = View { whole: false, seen: Vec::new(), doubtful: Vec::new() };
    for _ in 0..300 {
        assert!(claim(&empty, &mut rng).is_none_or(|claim| !claim.yes));
        assert!(attribute_branch(&empty, &mut rng).is_none());
        let described = describe_branch(&empty, Split::Training, &mut rng).unwrap();
        assert_eq!(described.answer, "There is nothing.");
    }
}

#[test]
fn counts_are_the_number_of_objects() {
    let mut rng = stream(7, "test", 0);
    for count in 1..=3 {
        let objects: Vec<Traits> = (0..count).map(|_| Traits::random(&mut rng)).collect();
        let branch = count_branch(&View::whole(&objects), &mut rng).unwrap();
        assert_eq!(branch.answer, ["one", "two", "three"][count - 1]);
    }
    assert!(count_branch(&View { whole: false, seen: Vec::new(), doubtful: Vec::new() }, &mut rng).is_none());
}
