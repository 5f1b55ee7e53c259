use super::*;
use crate::report::ModularityReport;
use crate::select::TapReport;
use crate::testing::report;

/// Elements open and close as XML wants it, and nothing outside is referred to.
fn assert_well_formed(svg: &str) {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = svg;
    while let Some(start) = rest.find('<') {
        let end = start + rest[start..].find('>').unwrap();
        let tag = &rest[start + 1..end];
        let name = tag.trim_start_matches('/').split([' ', '/']).next().unwrap();
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name));
        } else if !tag.ends_with('/') {
            open.push(name);
        }
        assert_eq!(tag.matches('"').count() % 2, 0, "{tag}");
        rest = &rest[end + 1..];
    }
    assert!(open.is_empty(), "{open:?}");
    assert!(!svg.contains("NaN") && !svg.contains("inf"), "a coordinate is no number");
    for outside in ["href", "<style", "<script", "url("] {
        assert!(!svg.contains(outside), "{outside}");
    }
}

#[test]
fn figures_are_well_formed_and_say_what_was_chosen() {
    let report = report();
    let (layers, weights, network) = (layers(&report), weights(&report), network(&report).unwrap().unwrap());
    for svg in [&layers, &weights, &network] {
        assert_well_formed(svg);
    }
    assert!(layers.contains("chosen: vision.1"));
    assert!(weights.contains("chosen: λ = 4<"));
    for weight in ["λ = 0.4<", "λ = 4<", "λ = 40<"] {
        assert!(network.contains(weight), "{weight}");
    }
    // Text from outside stays text.
    assert!(network.contains("What is &lt;this&gt;?") && network.contains("How many &amp; where?"));
    // A line per modality and pooling in the first and the last row, one in the middle.
    assert_eq!(layers.matches("<polyline").count(), 2 * (2 + 1 + 2));
    assert_eq!(weights.matches("<polyline").count(), 4);
    // Nine nodes in three panels, each with its letter, and three letters in the legend.
    assert_eq!(network.matches(">A<").count(), 3 * 3 + 1);
}

#[test]
fn odd_reports_can_be_drawn() {
    let whole = report();
    let one_tap: Vec<TapReport> = whole.taps[1..2].to_vec();
    let one = ModularityReport {
        taps: one_tap,
        weights: whole.weights[3..4].to_vec(),
        network: None,
        ..whole.clone()
    };
    assert_well_formed(&layers(&one));
    assert_well_formed(&weights(&one));
    assert_eq!(network(&one), Ok(None));
    let none = ModularityReport { taps: vec![], weights: vec![], ..one };
    assert_well_formed(&layers(&none));
    assert_well_formed(&weights(&none));
    let mut torn = whole;
    if let Some(sample) = torn.network.as_mut() {
        sample.images.pop();
    }
    assert!(network(&torn).is_err());
}
