use proptest::prelude::*;
use serde_json::json;

use super::*;

const USUAL: &str = r#"<View>
  <Image name="image" value="$image"/>
  <Header value="Look closely"/>
  <Text name="asked" value="$question"/>
  <Choices name="answer" toName="image" choice="single">
    <Choice value="triangle"/><Choice value="pumpkin (a fruit)" alias="pumpkin"/>
  </Choices>
  <TextArea name="rationale" toName="image" maxSubmissions="8"/>
  <RectangleLabels name="evidence" toName="image"><Label value="1"/><Label value="2"/></RectangleLabels>
</View>"#;

fn parsed(xml: &str) -> Interface {
    Interface::parse(xml, &LabelStudioConfig::default()).unwrap()
}

fn control(name: &str, object: &str) -> Control {
    Control { name: name.to_owned(), object: object.to_owned() }
}

fn data(value: Value) -> Map<String, Value> {
    let Value::Object(map) = value else { panic!("{value} is no object") };
    map
}

#[test]
fn the_usual_configuration() {
    let interface = parsed(USUAL);
    assert_eq!(interface.image.as_deref(), Some("image"));
    assert_eq!(interface.question.as_deref(), Some("$question"));
    let choice = |text: &str, value: &str| Choice { text: text.to_owned(), value: value.to_owned() };
    let choices = vec![choice("triangle", "triangle"), choice("pumpkin (a fruit)", "pumpkin")];
    assert_eq!(
        interface.answer,
        Some((control("answer", "image"), AnswerForm::Choices(ChoiceList::Fixed(choices))))
    );
    assert_eq!(interface.rationale, Some(control("rationale", "image")));
    assert_eq!(
        interface.evidence,
        Some(Rectangles {
            control: control("evidence", "image"),
            labels: Some(vec!["1".into(), "2".into()])
        })
    );
    assert!(interface.missing(&LabelStudioConfig::default()).is_empty());
}

#[test]
fn names_win_over_order_and_order_over_nothing() {
    let interface = parsed(
        r#"<View><Image name="a" value="$first"/><Image name="image" value="$second"/>
        <Choices name="quality" toName="image"><Choice value="good"/><Choice value="bad"/></Choices>
        <TextArea name="notes" toName="image"/><TextArea name="answer" toName="image"/>
        <Rectangle name="box" toName="image"/></View>"#,
    );
    assert_eq!(interface.image.as_deref(), Some("second"));
    assert_eq!(interface.answer, Some((control("answer", "image"), AnswerForm::Text)));
    assert_eq!(interface.rationale, None, "a text area of another name is no reasoning");
    assert_eq!(interface.evidence, Some(Rectangles { control: control("box", "image"), labels: None }));

    let interface = parsed(
        r#"<View><Image name="x" value="$pic"/><Choices name="c" toName="x" value="$options"/>
        <Choices name="per" toName="x" perRegion="true"><Choice value="q"/></Choices></View>"#,
    );
    assert_eq!(
        interface.answer,
        Some((control("c", "x"), AnswerForm::Choices(ChoiceList::Data("options".into()))))
    );
    assert_eq!(interface.missing(&LabelStudioConfig::default()).len(), 3);
}

#[test]
fn what_is_not_there_is_missing() {
    let interface = parsed("<View/>");
    assert_eq!(interface, Interface::default());
    assert_eq!(interface.missing(&LabelStudioConfig::default()).len(), 5);
    // Several pictures, a tree of choices, labels that are none.
    let interface = parsed(
        r#"<View><Image name="image" valueList="$images"/>
        <Choices name="answer" toName="image"><Choice value="a"><Choice value="b"/></Choice></Choices>
        <RectangleLabels name="evidence" toName="image"/></View>"#,
    );
    assert_eq!(interface, Interface::default());
}

#[test]
fn questions_come_from_the_task_before_the_configuration() {
    let asked = |template: Option<&str>, value: Value| question_of(template, &data(value), "question");
    assert_eq!(asked(None, json!({"question": " What? "})).as_deref(), Some("What?"));
    assert_eq!(asked(Some("Name it"), json!({"question": "What?"})).as_deref(), Some("What?"));
    assert_eq!(asked(Some("Name it"), json!({})).as_deref(), Some("Name it"));
    assert_eq!(
        asked(Some("Is $part.name of $n big?"), json!({"part": {"name": "it"}, "n": 3})).as_deref(),
        Some("Is it of 3 big?")
    );
    assert_eq!(asked(Some("Say $a."), json!({"a": "b"})).as_deref(), Some("Say b."));
    assert_eq!(asked(Some("For 5 $ only"), json!({})).as_deref(), Some("For 5 $ only"));
    assert_eq!(asked(Some("$a"), json!({})), None);
    assert_eq!(asked(Some("$a"), json!({"a": ["x"]})), None);
    assert_eq!(asked(Some("$a"), json!({"a": "  "})), None);
    assert_eq!(asked(None, json!({})), None);
    let header = parsed(r#"<View><Image name="i" value="$i"/><Header value="What is it?"/></View>"#);
    assert_eq!(header.question.as_deref(), Some("What is it?"));
    let both = parsed(r#"<View><Header value="What is it?"/><Header value="About $topic"/></View>"#);
    assert_eq!(both.question.as_deref(), Some("About $topic"));
}

#[test]
fn choices_of_a_task() {
    let list = ChoiceList::Data("options".to_owned());
    let of = |value: Value| {
        choices_of(&list, &data(value))
            .map(|all| all.into_iter().map(|c| (c.text, c.value)).collect::<Vec<_>>())
    };
    let pair = |text: &str, value: &str| (text.to_owned(), value.to_owned());
    assert_eq!(
        of(json!({"options": ["a", {"value": "b"}, {"value": "c", "alias": "d"}]})).unwrap(),
        [pair("a", "a"), pair("b", "b"), pair("c", "d")]
    );
    for wrong in [json!({}), json!({"options": "a"}), json!({"options": [1]}), json!({"options": [{}]})] {
        assert_eq!(of(wrong).unwrap_err().status().as_u16(), 422);
    }
}

#[test]
fn hostile_configurations_are_refused() {
    let refused = |xml: &str| {
        let problem = Interface::parse(xml, &LabelStudioConfig::default()).unwrap_err();
        assert_eq!(problem.status().as_u16(), 422, "{}", &xml[..xml.len().min(60)]);
    };
    refused("");
    refused("not XML");
    refused("<View>");
    refused(r#"<!DOCTYPE v [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><View><Header value="&b;"/></View>"#);
    refused(r#"<!DOCTYPE v SYSTEM "file:///etc/passwd"><View/>"#);
    refused(&format!("<View>{}</View>", "<a/>".repeat(MAX_NODES as usize)));
    refused(&format!("<View a=\"{}\"/>", "x".repeat(MAX_BYTES)));
    // As deep as its length allows: refused or read, but the process goes on.
    let depth = 40_000;
    let _ = Interface::parse(
        &format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth)),
        &LabelStudioConfig::default(),
    );
}

proptest! {
    #[test]
    fn no_text_panics(xml in "\\PC{0,200}", template in "\\PC{0,60}") {
        let _ = Interface::parse(&xml, &LabelStudioConfig::default());
        let _ = filled(&template, &data(json!({"a": "b"})));
    }

    #[test]
    fn no_mixture_of_tags_panics(parts in prop::collection::vec(prop::sample::select(vec![
        "<View>", "</View>", "<Choices name='answer' toName='image'>", "</Choices>", "<Choice value='a'/>", "<Choice>", "</Choice>",
        "<Image name='image' value='$image'/>", "<Text value='$'/>", "<RectangleLabels name='e' toName='image,b'>", "<Label value='1'/>",
        "</RectangleLabels>", "<Header value='$a.b$c'/>", "<TextArea name='rationale' toName=''/>",
    ]), 0..20)) {
        let _ = Interface::parse(&format!("<View>{}</View>", parts.concat()), &LabelStudioConfig::default());
    }
}
