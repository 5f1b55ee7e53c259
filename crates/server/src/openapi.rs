//! What the contract says beside its routes.

use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

use reasonedit_dto::job::BatchLineDto;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "ReasonEdit",
        description = "Edits to a vision-language model by human reasoning, kept in a codebook. The model's weights never change.\n\n\
            Errors are problem documents (RFC 9457). `X-Request-Id` is accepted or made, and returned. Several codebooks live side by side: \
            `?codebook=NAME`. Bodies may be encoded (`Content-Encoding`: gzip, zstd, deflate).",
        license(name = "MIT OR Apache-2.0", identifier = "MIT OR Apache-2.0"),
    ),
    tags(
        (name = "edits", description = "Corrections, and taking them back."),
        (name = "query", description = "Answers that take the corrections into account."),
        (name = "feedback", description = "What people say of answers."),
        (name = "codebook", description = "What the corrections have become."),
        (name = "modularity", description = "Which layer and which weight embed pictures and texts, and moving to them."),
        (name = "jobs", description = "Work in the background: progress, results, cancelling."),
        (name = "images", description = "Uploaded pictures."),
        (name = "access", description = "Who may do what: tokens with roles, for all codebooks or some."),
        (name = "service", description = "Health, metrics, this document."),
    ),
    // A line of what is JSON Lines, which a document of this version can't say itself.
    components(schemas(BatchLineDto)),
    security((), ("bearer" = [])),
    modifiers(&BearerScheme),
)]
pub(crate) struct ApiDoc;

struct BearerScheme;

impl Modify for BearerScheme {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let components = openapi.components.get_or_insert_default();
        let mut http = Http::new(HttpAuthScheme::Bearer);
        http.description = Some("Needed where the service asks for tokens. `x-required-role` of an operation says which role a token needs: reader, contributor, editor or admin, each of which may do what those before may.".to_owned());
        components.add_security_scheme("bearer", SecurityScheme::Http(http));
    }
}
