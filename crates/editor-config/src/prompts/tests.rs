use super::*;

#[test]
fn prompts_are_those_of_the_paper() {
    let prompts = Prompts::default();
    assert_eq!(prompts.verify("The rim is Dark. "), "Does the image show the rim is dark?");
    assert_eq!(
        prompts.answer_entry("Is {answer} it?", "malignant."),
        "The answer to 'Is {answer} it?' about the image is malignant."
    );
    assert_eq!(with_facts(["A b.", " C d. "], "E? "), "A b. C d. E?");
    assert_eq!(with_facts([], "E?"), "E?");
}
