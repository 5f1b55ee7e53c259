use super::*;

#[test]
fn a_request_overrides_the_configuration_and_verifying_searches_wider() {
    let config = EditorConfig::default();
    let plain = RetrievalOverride { verify: Some(false), k: Some(3), ..RetrievalOverride::default() };
    let plan = RetrievalPlan::new(&config, &plain);
    assert_eq!((plan.enabled, plan.k, plan.params.k), (config.retrieval.enabled, 3, 3));
    let verified = RetrievalOverride { verify: Some(true), enabled: Some(false), ..plain };
    let plan = RetrievalPlan::new(&config, &verified);
    assert_eq!((plan.enabled, plan.k), (false, 3));
    assert_eq!(plan.params.k, config.retrieval.verify.candidates.max(3));
}
