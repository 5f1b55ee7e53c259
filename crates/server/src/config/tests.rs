use super::*;

fn field_of(config: &ServerConfig) -> &'static str {
    match config.validate() {
        Err(ConfigError::Unusable { field, .. }) => field,
        Ok(()) => "",
    }
}

#[test]
fn the_default_is_usable_and_survives_serialisation() {
    let config = ServerConfig::default();
    assert_eq!(config.validate(), Ok(()));
    let text = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<ServerConfig>(&text).unwrap(), config);
}

#[test]
fn unknown_settings_are_refused() {
    assert!(serde_json::from_str::<ServerConfig>(r#"{"bnid": "127.0.0.1:1"}"#).is_err());
    assert!(serde_json::from_str::<ServerConfig>(r#"{"limits": {"bodies": 1}}"#).is_err());
}

#[test]
fn unusable_values_are_named() {
    let with = |change: fn(&mut ServerConfig)| {
        let mut config = ServerConfig::default();
        change(&mut config);
        config
    };
    assert_eq!(field_of(&with(|c| c.auth_tokens = vec![String::new()])), "auth_tokens");
    assert_eq!(field_of(&with(|c| c.auth_tokens = vec!["a b".to_owned()])), "auth_tokens");
    assert_eq!(field_of(&with(|c| c.hosts = vec!["https://a.example".to_owned()])), "hosts");
    assert_eq!(field_of(&with(|c| c.hosts = vec!["a.example".to_owned()])), "");
    assert_eq!(field_of(&with(|c| c.cors_origins = vec!["*".to_owned()])), "cors_origins");
    assert_eq!(field_of(&with(|c| c.cors_origins = vec!["https://a.example/".to_owned()])), "cors_origins");
    assert_eq!(field_of(&with(|c| c.cors_origins = vec!["https://a.example".to_owned()])), "");
    assert_eq!(
        field_of(&with(|c| c.allowed_image_hosts = vec!["a.example/x".to_owned()])),
        "allowed_image_hosts"
    );
    assert_eq!(field_of(&with(|c| c.allowed_image_hosts = vec!["a.example:8443".to_owned()])), "");
    let tauri = vec!["tauri://localhost".to_owned(), "null".to_owned()];
    assert_eq!(field_of(&ServerConfig { cors_origins: tauri, ..ServerConfig::default() }), "");
    assert_eq!(field_of(&with(|c| c.trusted_proxies = vec!["proxy".to_owned()])), "trusted_proxies");
    assert_eq!(field_of(&with(|c| c.trusted_proxies = vec!["10.0.0.0/8".to_owned()])), "");
    assert_eq!(field_of(&with(|c| c.path_prefix = "//evil.example".to_owned())), "path_prefix");
    assert_eq!(field_of(&with(|c| c.path_prefix = "/reasonedit/".to_owned())), "");
    assert_eq!(field_of(&with(|c| c.limits.requests = 0)), "limits.requests");
    assert_eq!(field_of(&with(|c| c.limits.bodies_in_memory_bytes = 1)), "limits.bodies_in_memory_bytes");
    assert_eq!(field_of(&with(|c| c.limits.answers_in_memory_bytes = 1)), "limits.answers_in_memory_bytes");
    assert_eq!(field_of(&with(|c| c.limits.caller_percent = 0)), "limits.caller_percent");
    assert_eq!(field_of(&with(|c| c.limits.caller_percent = 101)), "limits.caller_percent");
    assert_eq!(field_of(&with(|c| c.limits.memory_bytes = 512 << 20)), "limits.memory_bytes");
    assert_eq!(field_of(&with(|c| c.limits.connections = 10_000)), "limits.memory_bytes");
}
