//! A small integration beside those of the list: a route, a metric and a secret of its own, and nothing else
//! of the service knows of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::State;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use reasonedit_http::policy::{Policy, Routes};
use reasonedit_http::problem::Result;
use reasonedit_integration::{
    Integration, IntegrationConfig, IntegrationError, LEFT_OUT, MetricFamily, MetricKind, MetricSample,
    ServiceContext, Unusable,
};
use reasonedit_server::{Server, ServerConfig};
use serde::{Deserialize, Serialize};
use utoipa::openapi::OpenApi;
use utoipa_axum::routes;

use crate::common::get;
use crate::model::editor_on;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct CounterConfig {
    secret: String,
}

#[derive(Clone)]
struct Counter {
    service: ServiceContext,
    asked: Arc<AtomicU64>,
}

impl IntegrationConfig for CounterConfig {
    fn validate(&self) -> Result<(), Unusable> {
        if self.secret.is_empty() {
            return Err(("counter.secret", "must not be empty".to_owned()));
        }
        Ok(())
    }

    fn masked(&self) -> Self {
        Self { secret: LEFT_OUT.to_owned() }
    }

    fn contract() -> OpenApi {
        counter_routes().split().1
    }

    fn integrate(&self, service: &ServiceContext) -> Result<Arc<dyn Integration>, IntegrationError> {
        Ok(Arc::new(Counter { service: service.clone(), asked: Arc::default() }))
    }
}

/// Count
#[utoipa::path(
    get, path = "/integrations/counter", operation_id = "count", tag = "counter",
    responses((status = 200, description = "How often it was asked.", body = String)),
)]
async fn count(State(counter): State<Counter>) -> Result<String> {
    counter.service.editor.ready()?;
    Ok((counter.asked.fetch_add(1, Ordering::Relaxed) + 1).to_string())
}

fn counter_routes() -> Routes<Counter> {
    Routes::default().route(Policy::READER, routes!(count))
}

impl Integration for Counter {
    fn routes(&self) -> Routes {
        counter_routes().with_state(self.clone())
    }

    fn metrics(&self) -> BoxFuture<'_, Vec<MetricFamily>> {
        let asked = MetricSample { labels: Vec::new(), value: self.asked.load(Ordering::Relaxed) as f64 };
        let family = MetricFamily {
            name: "reasonedit_counter_asked_total".to_owned(),
            kind: MetricKind::Counter,
            help: "Times it was asked.",
            samples: vec![asked],
        };
        std::future::ready(vec![family]).boxed()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_integration_is_registered_in_one_place() {
    let data = tempfile::tempdir().unwrap();
    let settings: CounterConfig = serde_json::from_str(r#"{"secret": "hunter2"}"#).unwrap();
    assert_eq!(settings.validate(), Ok(()));
    assert!(CounterConfig::default().validate().is_err());
    assert!(!serde_json::to_string(&settings.masked()).unwrap().contains("hunter2"));
    let (server, slot) =
        Server::with(ServerConfig::default(), |service| Ok(vec![settings.integrate(service)?])).unwrap();
    let router = server.router();
    get(&router, "/integrations/counter").await.problem(503);

    let editor = editor_on(data.path()).await;
    assert!(slot.fill(editor.clone(), &data.path().join("jobs")).unwrap());
    for expected in ["1", "2"] {
        assert_eq!(get(&router, "/integrations/counter").await.text().trim(), expected);
    }
    let metrics = get(&router, "/metrics").await.text();
    assert!(metrics.contains("reasonedit_counter_asked_total 2"), "{metrics}");
    let contract = get(&router, "/openapi.json").await.json();
    assert_eq!(contract["paths"]["/integrations/counter"]["get"]["operationId"], "count");
    editor.engine().shutdown().await;
}

#[test]
fn no_secret_of_an_integration_is_shown() {
    let mut config = ServerConfig { auth_tokens: vec!["hunter1".to_owned()], ..ServerConfig::default() };
    config.label_studio.token = Some("hunter2".to_owned());
    let shown = serde_json::to_string(&config.masked()).unwrap();
    assert!(!shown.contains("hunter") && shown.matches(LEFT_OUT).count() == 2, "{shown}");
}
