//! `POST /v1/chat/completions`.

use std::time::Instant;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use reasonedit_access::Caller;
use reasonedit_api::events::{Events, first_event, next_event};
use reasonedit_api::{call, codebook_name, put_in_front};
use reasonedit_editor::QueryEvent;
use reasonedit_http::audit::Audited;
use reasonedit_http::payload::JsonPayload;
use reasonedit_http::problem::{Problem, Result};
use reasonedit_http::request_id::RequestId;
use reasonedit_http::shares::Asked;
use time::OffsetDateTime;
use tracing::Span;
use ulid::Ulid;

use super::OpenAi;
use super::errors::{ChatErrors, placed};
use super::input::{ChatInput, Prepared};
use super::models::Served;
use super::output::{
    CompletionChoice, CompletionDto, CompletionUsageDto, Head, LogprobsDto, ProvenanceDto, ReplyDto,
    RequestSummary,
};
use super::rules::InputRules;
use super::stream::{self, ReplyContext};

/// Digits of the model's fingerprint that clients are told.
const FINGERPRINT: usize = 10;

/// Reply to a conversation
///
/// As `OpenAI` documents it, for chat clients that take a base URL. What the codebook knows about the user's
/// last turn and its picture (else the last picture before it) is put in front of that turn's text; turns
/// before reach the model as they are, with up to as many pictures as the configuration allows: of more the
/// oldest are left out, and `reasonedit.omitted_pictures` names them. Without any picture the model answers
/// by itself, and `reasonedit.skipped` says so. A last message of the assistant's is gone on with: the answer
/// is what comes behind it. What the answer rests on stands under `reasonedit`. With `stream` it comes as
/// server-sent events: chunks, then `[DONE]`; a failure on the way is an event named `error`. An answer is
/// made greedily unless a `temperature` is asked for. A reasoning model thinks first, as much as
/// `reasoning_effort` allows: `reasoning_content` has what.
#[utoipa::path(
    post, path = "/v1/chat/completions", operation_id = "create_chat_completion", tag = "openai",
    request_body(content = ChatInput),
    responses(
        (status = 200, description = "The answer, at once or, as data of events, in `ChatCompletionChunk`s.",
            content((CompletionDto = "application/json"), (String = "text/event-stream"))),
        ChatErrors,
    ),
)]
pub(crate) async fn complete(
    State(openai): State<OpenAi>,
    asked: Asked,
    Extension(request_id): Extension<RequestId>,
    Extension(caller): Extension<Caller>,
    audited: Audited,
    JsonPayload { value: input, held: _held }: JsonPayload<ChatInput>,
) -> Result<Response> {
    let served = Served::new(&openai, caller.clone()).await?;
    let own = input.reasonedit.as_ref();
    let mut codebook = served.codebook(&input.model)?;
    if let Some(name) = own.and_then(|own| own.codebook.as_deref()) {
        let named = codebook_name(&caller, Some(name))
            .map_err(|problem| problem.relocated(|pointer| Some(format!("/reasonedit{pointer}"))))?;
        if input.model != served.name && named != codebook {
            let detail = "`model` names another codebook.";
            return Err(Problem::invalid("/reasonedit/codebook", detail));
        }
        codebook = named;
    }
    audited.codebook(&codebook);
    let explain = own.and_then(|own| own.explain).unwrap_or(false);
    let streams = input.stream.unwrap_or(false);
    let usage = input.stream_options.as_ref().and_then(|options| options.include_usage).unwrap_or(false);
    let head = Head {
        id: format!("chatcmpl-{}", Ulid::new()),
        created: OffsetDateTime::now_utc().unix_timestamp(),
        model: input.model.clone(),
        fingerprint: format!("fp_{}", served.fingerprint.get(..FINGERPRINT).unwrap_or(&served.fingerprint)),
    };

    let config = served.editor.config();
    let info = served.editor.model().await?;
    let rules = InputRules {
        pictures: config.limits.pictures,
        older_pictures: openai.config.older_pictures,
        characters: config.limits.conversation_chars,
        positions: info.max_positions,
        vocabulary: info.vocabulary,
        thinking: served.editor.thinks().await?.then_some(&config.answer),
        fetcher: &openai.service.fetcher,
    };
    let Prepared { request, choices_at, omitted_pictures } = input.request(&rules).await?;
    request.images().for_each(|image| audited.image(image.id()));
    let summary = RequestSummary {
        request_id: request_id.to_string(),
        codebook: codebook.to_string(),
        image: request.subject().map(|(turn, part)| format!("/messages/{turn}/content/{part}")),
        omitted_pictures,
        says: !request.question().trim().is_empty(),
        retrieves: request.retrieval.enabled.unwrap_or(config.retrieval.enabled),
        explain,
    };
    let logprobs = request.decoding.alternatives.is_some();
    let events = served
        .editor
        .chat_stream(&codebook, request, call::interactive(asked))
        .map_err(|error| placed(error.into(), &choices_at))?;
    let context = ReplyContext { head, summary, choices_at: choices_at.clone(), logprobs, usage };
    let answer = if streams {
        stream::answer(events, context, &audited, asked.deadline, openai.service.keep_alive).await
    } else {
        whole(events, context, &audited, asked.deadline).await.map(|whole| Json(whole).into_response())
    };
    answer.map_err(|problem| placed(problem, &choices_at))
}

/// Waits for the whole answer: the same pieces that a stream brings.
async fn whole(
    mut events: Events,
    context: ReplyContext,
    audited: &Audited,
    deadline: Instant,
) -> Result<CompletionDto> {
    let ReplyContext { head, summary, logprobs, .. } = context;
    let (mut grounds, mut content, mut tokens) = (ProvenanceDto::default(), String::new(), Vec::new());
    let mut next = first_event(&mut events).await?;
    let outcome = loop {
        match next {
            QueryEvent::Retrieval(report, verification) => {
                put_in_front(audited, &report);
                grounds = summary.grounds(&report, verification.as_ref());
            }
            QueryEvent::Thinking(_) => {}
            QueryEvent::Token { text, tokens: more, .. } => {
                content.push_str(&text);
                tokens.extend(more);
            }
            QueryEvent::Done(outcome) => break *outcome,
        }
        next = next_event(&mut events, deadline.into(), &Span::current()).await?;
    };
    let reasoning = outcome.reasoning.as_ref();
    // A stream had to tell the pieces before the whole was known to have no form.
    if reasoning.is_some_and(|reasoning| reasoning.fault.is_some()) {
        content.clone_from(&outcome.answer);
    }
    let message = ReplyDto {
        role: "assistant",
        content,
        reasoning_content: reasoning.map(|reasoning| reasoning.thinking.clone()),
        refusal: (),
    };
    let choice = CompletionChoice {
        index: 0,
        message,
        logprobs: logprobs.then(|| LogprobsDto::new(&tokens)),
        finish_reason: outcome.finish.into(),
    };
    Ok(CompletionDto {
        id: head.id,
        object: "chat.completion",
        created: head.created,
        model: head.model,
        choices: vec![choice],
        usage: CompletionUsageDto::new(outcome.usage, reasoning),
        system_fingerprint: head.fingerprint,
        reasonedit: summary.figures(outcome, grounds),
    })
}
