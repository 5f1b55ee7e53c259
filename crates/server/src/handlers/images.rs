//! `/images`.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use reasonedit_access::Caller;
use reasonedit_api::image::CropParams;
use reasonedit_api::problems::LookupProblems;
use reasonedit_api::{File, codebook_name, image_id, require_all_codebooks, require_image};
use reasonedit_dto::erasure::ErasureDto;
use reasonedit_editor::{CodebookName, EditorError};
use reasonedit_http::answers::AnswerMemory;
use reasonedit_http::audit::Audited;
use reasonedit_http::json::Query;
use reasonedit_http::problem::{Problem, ProblemBody, Result};
use reasonedit_imaging::{ImageFormat, ImagingError, PixelBox, PixelRules};

use crate::handlers::jobs::codebook_given;
use crate::state::AppState;

/// The bytes behind an id never change; `private`, since a token may have been needed to see them.
const CACHE: HeaderValue = HeaderValue::from_static("private, max-age=31536000, immutable");

/// A part is of pixels, and how they are read changes when a codebook moves over.
const CACHE_PART: HeaderValue = HeaderValue::from_static("private, max-age=3600");

/// Get an uploaded picture, or a part of it
///
/// The whole picture as it was uploaded, if a codebook that the token is for has a live edit of it; with `x`,
/// `y`, `width` and `height` that part of the upright picture as PNG, as the keys of the codebook were made
/// of it.
#[utoipa::path(
    get, path = "/images/{id}", operation_id = "get_image", tag = "images",
    params(("id" = String, Path, description = "BLAKE3 of the uploaded bytes in hex."), CropParams),
    responses(
        (status = 200, description = "The picture.", content((File = "image/png"), (File = "image/*"))),
        (status = 304, description = "As known by `If-None-Match`."),
        (status = 404, description = "No picture has this id.", body = ProblemBody, content_type = "application/problem+json"),
        LookupProblems,
    ),
)]
pub(crate) async fn get(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    audited: Audited,
    Path(id): Path<String>,
    Query(params): Query<CropParams>,
    memory: AnswerMemory,
    headers: HeaderMap,
) -> Result<Response> {
    // The whole picture is the same in every codebook that holds it.
    let codebook = codebook_given(&caller, &audited, params.codebook.as_deref())?;
    let area = area_of(&params)?;
    let known = image_id(&id).ok_or_else(|| Problem::not_found("No image has an id like this."))?;
    audited.image(known);
    let editor = state.editor()?;
    require_image(caller.scope(), editor, known)?;
    let (bytes, content_type, tag, cache, permit) = match area {
        None => {
            // Before it is read: many that wait for their clients are what fills memory.
            let permit = memory.take(editor.image_bytes(known).await?)?;
            let (bytes, format) = editor.image(known).await?;
            (bytes, media_type(format), format!("\"{id}\""), CACHE, Some(Extension(permit)))
        }
        Some(area) => {
            let codebook =
                audited.codebook(codebook_name(&caller, codebook.as_ref().map(CodebookName::as_str))?);
            let (bytes, rules) = editor.crop(&codebook, known, area).await.map_err(crop_problem)?;
            let by = if rules == PixelRules::First { String::new() } else { format!("-{rules:?}") };
            (bytes, "image/png", format!("\"{id}-{area}{by}\""), CACHE_PART, None)
        }
    };
    let common = [
        (header::CACHE_CONTROL, cache),
        (header::ETAG, HeaderValue::from_str(&tag).map_err(|error| Problem::internal(&error))?),
    ];
    let unchanged = headers.get(header::IF_NONE_MATCH).and_then(|v| v.to_str().ok()).is_some_and(|known| {
        known == "*" || known.split(',').any(|k| k.trim().trim_start_matches("W/") == tag)
    });
    if unchanged {
        return Ok((StatusCode::NOT_MODIFIED, common).into_response());
    }
    Ok((common, [(header::CONTENT_TYPE, content_type)], permit, bytes).into_response())
}

/// Erase a picture
///
/// And every edit about it, in whichever codebook, live or taken back: for good, also from backups that are
/// made or restored from now on. That those edits were made and erased stays in the history.
#[utoipa::path(
    delete, path = "/images/{id}", operation_id = "erase_image", tag = "images",
    params(("id" = String, Path, description = "BLAKE3 of the uploaded bytes in hex.")),
    responses(
        (status = 200, description = "Erased.", body = ErasureDto),
        (status = 404, description = "No picture has this id.", body = ProblemBody, content_type = "application/problem+json"),
        LookupProblems,
    ),
)]
pub(crate) async fn erase(
    State(state): State<AppState>,
    Extension(caller): Extension<Caller>,
    audited: Audited,
    Path(id): Path<String>,
) -> Result<Json<ErasureDto>> {
    require_all_codebooks(&caller)?;
    let image = image_id(&id).ok_or_else(|| Problem::not_found("No image has an id like this."))?;
    audited.image(image);
    let erased = state.editor()?.erase_image(image, caller.name()).await?;
    erased.edits.iter().for_each(|(_, edit)| audited.edit(*edit));
    Ok(Json(ErasureDto::from(erased)))
}

/// A box outside the picture is told of the query, whichever way the editor puts it.
fn crop_problem(error: EditorError) -> Problem {
    let at = "/x,y,width,height";
    match error {
        EditorError::Invalid(fields) if fields.iter().all(|f| f.pointer.is_empty()) => {
            Problem::invalid(at, fields.first().map_or("not inside the picture", |f| f.detail.as_str()))
        }
        EditorError::Image(error @ ImagingError::BoxOutside { .. }) => {
            Problem::invalid(at, error.to_string())
        }
        other => other.into(),
    }
}

/// The box that is asked for: all four numbers or none.
fn area_of(params: &CropParams) -> Result<Option<PixelBox>> {
    match (params.x, params.y, params.width, params.height) {
        (None, None, None, None) => Ok(None),
        (Some(x), Some(y), Some(width), Some(height)) => {
            if width == 0 || height == 0 {
                let name = if width == 0 { "/width" } else { "/height" };
                return Err(Problem::invalid(name, "must be at least 1"));
            }
            Ok(Some(PixelBox { x, y, width, height }))
        }
        (x, y, width, _) => {
            let missing = match (x, y, width) {
                (None, _, _) => "x",
                (_, None, _) => "y",
                (_, _, None) => "width",
                _ => "height",
            };
            Err(Problem::invalid(format!("/{missing}"), "A crop needs all of x, y, width and height."))
        }
    }
}

fn media_type(format: ImageFormat) -> &'static str {
    match format {
        ImageFormat::Jpeg => "image/jpeg",
        ImageFormat::Png => "image/png",
        ImageFormat::WebP => "image/webp",
        ImageFormat::Gif => "image/gif",
        ImageFormat::Bmp => "image/bmp",
        ImageFormat::Tiff => "image/tiff",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crop_has_four_numbers_or_none() {
        let params = |x, y, width, height| CropParams { x, y, width, height, codebook: None };
        assert_eq!(area_of(&params(None, None, None, None)).unwrap(), None);
        assert_eq!(
            area_of(&params(Some(1), Some(2), Some(3), Some(4))).unwrap(),
            Some(PixelBox { x: 1, y: 2, width: 3, height: 4 })
        );
        let pointer = |p: CropParams| area_of(&p).unwrap_err().body().errors[0].pointer.clone();
        assert_eq!(pointer(params(None, Some(2), Some(3), Some(4))), "/x");
        assert_eq!(pointer(params(Some(1), None, None, None)), "/y");
        assert_eq!(pointer(params(Some(1), Some(2), None, Some(4))), "/width");
        assert_eq!(pointer(params(Some(1), Some(2), Some(3), None)), "/height");
        assert_eq!(pointer(params(Some(1), Some(2), Some(0), Some(1))), "/width");
        assert_eq!(pointer(params(Some(1), Some(2), Some(1), Some(0))), "/height");
    }
}
