//! `/v1/models`: one model for each codebook, so that clients choose codebooks where they choose models.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::{Extension, Json};
use reasonedit_access::Caller;
use reasonedit_editor::{CodebookName, CodebookSummary, Editor};
use reasonedit_http::problem::{Problem, ProblemKind, Result};
use serde::Serialize;
use utoipa::ToSchema;

use super::OpenAi;
use super::errors::{ErrorBody, LookupErrors};

/// The models that can be asked.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OpenAiModelList)]
pub(crate) struct ModelListDto {
    /// Always `list`.
    object: &'static str,
    /// The default codebook's first.
    data: Vec<ListedModelDto>,
}

/// The loaded model with one of the codebooks.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = OpenAiModel)]
pub(crate) struct ListedModelDto {
    /// The model's name with the default codebook, `NAME@CODEBOOK` with another.
    #[schema(example = "demo@skin")]
    id: String,
    /// Always `model`.
    object: &'static str,
    /// Seconds since 1970: with the default codebook when the model was loaded, with another when the oldest
    /// of its live edits was made.
    created: i64,
    /// Always `reasonedit`.
    owned_by: &'static str,
    /// This service's own part.
    reasonedit: OwnModelDto,
}

/// A model's codebook.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ReasonEditModel)]
pub(crate) struct OwnModelDto {
    /// Its name.
    codebook: String,
    /// Live edits.
    edits: usize,
}

/// The loaded model under the name it is served by.
pub(super) struct Served<'a> {
    pub(super) editor: &'a Editor,
    pub(super) name: String,
    /// BLAKE3 (hex) of configuration, tokenizer and weights.
    pub(super) fingerprint: String,
    caller: Caller,
    /// Seconds since 1970.
    loaded: i64,
}

impl<'a> Served<'a> {
    /// # Errors
    /// 503 while the model is being loaded.
    pub(super) async fn new(openai: &'a OpenAi, caller: Caller) -> Result<Self> {
        let editor = openai.service.editor.ready()?;
        let info = editor.model().await?;
        Ok(Self {
            editor,
            name: openai.config.model.clone().unwrap_or_else(|| info.name.clone()),
            fingerprint: info.fingerprint.clone(),
            caller,
            loaded: openai.service.editor.since().map_or(0, time::OffsetDateTime::unix_timestamp),
        })
    }

    /// The codebook that is meant by a model's name.
    ///
    /// # Errors
    /// 404 for another model, and for a codebook that isn't there or that the caller's token is not for; 503
    /// for one that is set aside.
    pub(super) fn codebook(&self, model: &str) -> Result<CodebookName> {
        let name = match model.strip_prefix(self.name.as_str()) {
            Some("") => Some(CodebookName::default()),
            Some(rest) => rest.strip_prefix('@').and_then(|name| name.parse().ok()),
            None => None,
        };
        let unknown = || {
            let detail = format!("The model `{model}` does not exist; GET /v1/models lists those that do.");
            Problem::at(ProblemKind::NotFound, "/model", detail)
        };
        let name = name.filter(|name| self.shows(name)).ok_or_else(unknown)?;
        match self.editor.known_codebook(&name).map_err(Problem::from) {
            Ok(_) => Ok(name),
            Err(problem) if problem.kind() == ProblemKind::NotFound => Err(unknown()),
            // It is there, and damaged say.
            Err(problem) => Err(problem),
        }
    }

    /// Whether the caller's token is for the codebook.
    fn shows(&self, name: &CodebookName) -> bool {
        self.caller.scope().holds(name.as_str())
    }

    fn describe(&self, codebook: &CodebookSummary) -> ListedModelDto {
        let name = &codebook.name;
        let is_default = *name == CodebookName::default();
        let oldest = codebook.oldest_edit.map(time::OffsetDateTime::unix_timestamp);
        ListedModelDto {
            id: if is_default { self.name.clone() } else { format!("{}@{name}", self.name) },
            object: "model",
            created: oldest.filter(|_| !is_default).unwrap_or(self.loaded),
            owned_by: "reasonedit",
            reasonedit: OwnModelDto { codebook: name.to_string(), edits: codebook.edits },
        }
    }
}

/// List models
///
/// One for each codebook that the token is for: the model's name with the default codebook, `NAME@CODEBOOK`
/// with the others.
#[utoipa::path(
    get, path = "/v1/models", operation_id = "list_models", tag = "openai",
    responses((status = 200, description = "The models.", body = ModelListDto), LookupErrors),
)]
pub(crate) async fn list(
    State(openai): State<OpenAi>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<ModelListDto>> {
    let served = Served::new(&openai, caller).await?;
    let mut codebooks = served.editor.open_codebooks();
    codebooks.sort_by_key(|codebook| codebook.name != CodebookName::default());
    let data = codebooks
        .iter()
        .filter(|codebook| served.shows(&codebook.name))
        .map(|codebook| served.describe(codebook))
        .collect();
    Ok(Json(ModelListDto { object: "list", data }))
}

/// Get a model
#[utoipa::path(
    get, path = "/v1/models/{id}", operation_id = "get_model", tag = "openai",
    params(("id" = String, Path, description = "One of `GET /v1/models`.")),
    responses(
        (status = 200, description = "The model.", body = ListedModelDto),
        (status = 404, description = "No such model, or no such codebook.", body = ErrorBody),
        LookupErrors,
    ),
)]
pub(crate) async fn get(
    State(openai): State<OpenAi>,
    Extension(caller): Extension<Caller>,
    path: std::result::Result<Path<String>, PathRejection>,
) -> Result<Json<ListedModelDto>> {
    let id = path.map(|Path(id)| id).unwrap_or_default();
    found(&openai, caller, &id).await
}

/// As [`get`], of a name with a slash in it.
pub(super) async fn get_of_owner(
    State(openai): State<OpenAi>,
    Extension(caller): Extension<Caller>,
    path: std::result::Result<Path<(String, String)>, PathRejection>,
) -> Result<Json<ListedModelDto>> {
    let id = path.map(|Path((owner, name))| format!("{owner}/{name}")).unwrap_or_default();
    found(&openai, caller, &id).await
}

async fn found(openai: &OpenAi, caller: Caller, id: &str) -> Result<Json<ListedModelDto>> {
    let served = Served::new(openai, caller).await?;
    let codebook = served.editor.known_codebook(&served.codebook(id)?)?;
    Ok(Json(served.describe(&codebook)))
}
