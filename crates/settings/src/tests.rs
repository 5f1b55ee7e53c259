use super::*;
use serde::{Deserialize, Serialize};

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Inner {
    k: usize,
    percentile: Option<f64>,
    name: String,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Outer {
    retrieval: Inner,
    hosts: Vec<String>,
}

fn known() -> serde_json::Value {
    serde_json::to_value(Outer::default()).unwrap()
}

fn defaults() -> Layer {
    Layer::defaults("hosts = []\n[retrieval]\nk = 5\nname = \"\"").unwrap()
}

fn toml(text: &str) -> Layer {
    Layer::from_provider("some.toml", Style::File, &Toml::string(text)).unwrap()
}

fn options(pairs: &[(&str, &str)]) -> Layer {
    Layer::options(pairs.iter().map(|(name, text)| ((*name).to_owned(), value(text))).collect())
}

#[test]
fn later_layers_win_and_leave_the_rest() {
    let merged: Outer = merge(
        &[
            defaults(),
            toml("hosts = [\"a\"]\n[retrieval]\nk = 7"),
            options(&[("retrieval.percentile", "2.5")]),
        ],
        &known(),
    )
    .unwrap();
    assert_eq!(merged.retrieval, Inner { k: 7, percentile: Some(2.5), name: String::new() });
    assert_eq!(merged.hosts, ["a"]);
    let merged: Outer =
        merge(&[defaults(), options(&[("retrieval.name", "a b"), ("hosts", "[x, y]")])], &known()).unwrap();
    assert_eq!(merged.retrieval.name, "a b");
    assert_eq!(merged.hosts, ["x", "y"]);
}

/// figment reads what is ASCII; what isn't and has escapes is JSON or a text.
#[test]
fn values_with_escapes_are_what_they_say() {
    for (text, read) in
        [(r#""\n ä""#, "\n ä"), (r#""\t a""#, "\t a"), ("\\\\server\\ä", "\\\\server\\ä"), ("ä ö", "ä ö")]
    {
        let merged: Outer = merge(&[defaults(), options(&[("retrieval.name", text)])], &known()).unwrap();
        assert_eq!(merged.retrieval.name, read, "{text}");
    }
    let list = r#"["\n ä", "b"]"#;
    let merged: Outer = merge(&[defaults(), options(&[("hosts", list)])], &known()).unwrap();
    assert_eq!(merged.hosts, ["\n ä", "b"]);
}

#[test]
fn unknown_names_are_refused_with_name_and_origin() {
    let error = merge::<Outer>(&[defaults(), toml("[retrieval]\nkk = 7")], &known()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "unknown setting `retrieval.kk` in some.toml (did you mean `retrieval.k`?)"
    );
    let error = merge::<Outer>(&[defaults(), options(&[("zebra", "1")])], &known()).unwrap_err();
    assert_eq!(error.to_string(), "unknown setting `zebra` in the command line (zebra)");
}

#[test]
fn wrong_values_are_refused_with_name_and_origin() {
    let error = merge::<Outer>(&[defaults(), toml("[retrieval]\nk = \"many\"")], &known()).unwrap_err();
    assert_eq!(error.to_string(), "setting `retrieval.k` in some.toml: `many` where usize is expected");
    let error = merge::<Outer>(&[defaults(), options(&[("retrieval.k", "-1")])], &known()).unwrap_err();
    assert!(error.to_string().starts_with("setting `retrieval.k` in the command line (retrieval.k): -1"));
    let error = merge::<Outer>(&[defaults(), toml("retrieval = 3")], &known()).unwrap_err();
    assert!(error.to_string().contains("a table with `k`"), "{error}");
    let error = merge::<Outer>(&[defaults(), toml("hosts = [1]")], &known()).unwrap_err();
    assert!(error.to_string().starts_with("setting `hosts"), "{error}");
    assert!(error.to_string().contains("some.toml"), "{error}");
}

#[test]
fn a_file_that_is_no_toml_is_refused() {
    let error = Layer::defaults("hosts = [").unwrap_err();
    assert!(matches!(error, SettingsError::Layer { .. }), "{error}");
}

#[test]
fn names_are_listed() {
    let found = names(&known());
    let expected = ["hosts", "retrieval.k", "retrieval.name", "retrieval.percentile"];
    assert_eq!(found.into_iter().collect::<Vec<_>>(), expected);
}
