use super::*;

#[test]
fn defaults_are_in_range_and_nonsense_is_refused() {
    let good = CodebookConfig::default();
    good.validate().unwrap();
    let changes: [fn(&mut CodebookConfig); 8] = [
        |c| c.gate.percentile = f64::NAN,
        |c| c.gate.reservoir = 1,
        |c| c.merge.overlap = 1.5,
        |c| c.hubness.neighbours = 0,
        |c| c.retrieval.reject_percentile = Some(-1.0),
        |c| c.lookup.statement_text_weight = f64::NAN,
        |c| c.familiarity.percentile = 101.0,
        |c| c.familiarity.pictures = 1,
    ];
    for change in changes {
        let mut config = good;
        change(&mut config);
        assert!(matches!(config.validate(), Err(CodebookError::InvalidConfig(_))), "{config:?}");
    }
}
