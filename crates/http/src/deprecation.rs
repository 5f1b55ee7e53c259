//! Routes that are to go: what the contract and each answer say of it.
//!
//! It is said where the route is registered ([`crate::policy::Policy::deprecated`]). From there the contract
//! takes `deprecated: true` and `x-sunset`, and answers take the headers `Deprecation` (RFC 9745) and
//! `Sunset` (RFC 8594).

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use time::Date;
use time::format_description::StaticFormatDescription;
use time::macros::format_description;
use utoipa::openapi::Deprecated;
use utoipa::openapi::extensions::ExtensionsBuilder;
use utoipa::openapi::path::Operation;

const DEPRECATION: HeaderName = HeaderName::from_static("deprecation");
const SUNSET: HeaderName = HeaderName::from_static("sunset");
/// The form of dates in headers: midnight of a day.
const HTTP_DATE: StaticFormatDescription =
    format_description!("[weekday repr:short], [day] [month repr:short] [year] 00:00:00 GMT");
const DAY: StaticFormatDescription = format_description!("[year]-[month]-[day]");

/// Since when a route is no longer meant to be used, and when it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deprecation {
    /// The day from which clients are told.
    pub since: Date,
    /// The day from which it may be gone.
    pub sunset: Date,
}

impl Deprecation {
    /// Tells the client of an answer.
    pub(crate) fn tell(self, headers: &mut HeaderMap) {
        let since = format!("@{}", self.since.midnight().assume_utc().unix_timestamp());
        let values = [(DEPRECATION, Some(since)), (SUNSET, self.sunset.format(HTTP_DATE).ok())];
        for (name, value) in values {
            if let Some(value) = value.and_then(|value| HeaderValue::from_str(&value).ok()) {
                headers.insert(name, value);
            }
        }
    }

    /// Writes it into the contract.
    pub(crate) fn write(self, operation: &mut Operation) {
        operation.deprecated = Some(Deprecated::True);
        let sunset = self.sunset.format(DAY).unwrap_or_default();
        let extensions = ExtensionsBuilder::new().add("x-sunset", sunset).build();
        match &mut operation.extensions {
            Some(known) => known.merge(extensions),
            none => *none = Some(extensions),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use axum::body::Body;
    use axum::http::{Request, StatusCode};
    use axum::middleware::from_fn_with_state;
    use time::macros::date;
    use tower::ServiceExt as _;
    use utoipa_axum::routes;

    use crate::body::BodyBudget;
    use crate::limits::Archives;
    use crate::policy::{Given, Policy, Routes, attach};

    #[utoipa::path(get, path = "/old", responses((status = 200, description = "Old.")))]
    async fn old() -> &'static str {
        "old"
    }

    #[utoipa::path(get, path = "/new", responses((status = 200, description = "New.")))]
    async fn new() -> &'static str {
        "new"
    }

    #[tokio::test]
    async fn a_route_that_is_to_go_says_so_in_contract_and_answer() {
        let going = Policy::OPEN.deprecated(date!(2026 - 12 - 01), date!(2027 - 06 - 30));
        let routes: Routes = Routes::default().route(going, routes!(old)).route(Policy::OPEN, routes!(new));
        let (router, contract, policies) = routes.split();
        let contract = serde_json::to_value(contract).unwrap();
        assert_eq!(contract["paths"]["/old"]["get"]["deprecated"], true);
        assert_eq!(contract["paths"]["/old"]["get"]["x-sunset"], "2027-06-30");
        assert!(contract["paths"]["/new"]["get"].get("deprecated").is_none());
        assert!(
            policies.all()[1].2.to_string().ends_with("; deprecated since 2026-12-01, gone from 2027-06-30")
        );

        let memory = reasonedit_resilience::MemoryBudget::new(4 << 20, std::time::Duration::ZERO);
        let budget = BodyBudget::new(memory, 1 << 20, std::time::Duration::from_secs(1));
        let given = Given { policies: Arc::new(policies), budget, archives: Archives::new(1) };
        let router = router.layer(from_fn_with_state(given, attach));
        let ask = async |path: &str| {
            let request = Request::get(path).body(Body::empty()).unwrap();
            router.clone().oneshot(request).await.unwrap()
        };
        let answer = ask("/old").await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["deprecation"], "@1796083200");
        assert_eq!(answer.headers()["sunset"], "Wed, 30 Jun 2027 00:00:00 GMT");
        let answer = ask("/new").await;
        assert!(!answer.headers().contains_key("deprecation") && !answer.headers().contains_key("sunset"));
    }
}
