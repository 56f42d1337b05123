//! Files that came with a message: always as a download, never shown in the browser.

use std::{fmt::Write as _, sync::Arc};

use axum::{
    extract::State,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use serde_json::Value;
use throughline_workflows::ids::MessageId;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use super::{
    super::{Edge, auth::Caller, extract::At, problem::Problem},
    conversations::readable,
};

pub(super) fn routes() -> OpenApiRouter<Arc<Edge>> {
    OpenApiRouter::new().routes(routes!(download))
}

/// A file of a message.
#[utoipa::path(
    get, path = "/api/v1/conversations/{id}/attachments/{message_id}/{part}", tag = "conversations",
    params(
        ("id" = Uuid, Path), ("message_id" = Uuid, Path),
        ("part" = u32, Path, description = "The number at the end of the attachment's `url`")
    ),
    responses((status = 200, body = Vec<u8>, content_type = "application/octet-stream"), Problem)
)]
async fn download(
    State(edge): State<Arc<Edge>>,
    caller: Caller,
    At((id, message_id, part)): At<(Uuid, Uuid, u32)>,
) -> Result<Response, Problem> {
    let unknown = || Problem::unknown("attachment");
    let timeline = readable(&edge, &caller, id).await?;
    let message = timeline.message(MessageId(message_id)).ok_or_else(unknown)?.to_json();
    let ours = |attachment: &&Value| part_of(attachment) == Some(part);
    let attachments = message.get("attachments").and_then(Value::as_array).ok_or_else(unknown)?;
    let attachment = attachments.iter().find(ours).ok_or_else(unknown)?;
    let text = |name: &str| attachment.get(name).and_then(Value::as_str).unwrap_or_default();
    let content = edge.engine.blob(&caller.tenant, text("blob")).await;
    let content = content.map_err(Problem::unreadable)?.ok_or_else(unknown)?;
    let media_type = HeaderValue::from_str(text("media_type"))
        .unwrap_or(HeaderValue::from_static("application/octet-stream"));
    let headers = [
        (header::CONTENT_TYPE, media_type),
        (header::CONTENT_DISPOSITION, disposition(text("name"))),
        (header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox")),
        (header::CACHE_CONTROL, HeaderValue::from_static("private, no-store")),
    ];
    Ok((headers, content).into_response())
}

/// A message whose attachments in our own store are named by the path they are downloaded from.
pub(super) fn linked(mut message: Value) -> Value {
    let text =
        |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (id, conversation) = (text(&message, "id"), text(&message, "conversation_id"));
    let attachments = message.get_mut("attachments").and_then(Value::as_array_mut);
    for attachment in attachments.into_iter().flatten() {
        let Some(part) = part_of(attachment) else { continue };
        if let Value::Object(fields) = attachment {
            fields.remove("blob");
            let url = format!("/api/v1/conversations/{conversation}/attachments/{id}/{part}");
            fields.insert("url".to_owned(), Value::String(url));
        }
    }
    message
}

/// The number at the end of a blob's key.
fn part_of(attachment: &Value) -> Option<u32> {
    let key = attachment.get("blob")?.as_str()?;
    key.rsplit('/').next()?.parse().ok()
}

/// `attachment` with the name as RFC 6266 writes one that need not be ASCII.
fn disposition(name: &str) -> HeaderValue {
    let mut encoded = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b".-_".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a text cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    HeaderValue::from_str(&format!("attachment; filename*=UTF-8''{encoded}"))
        .unwrap_or(HeaderValue::from_static("attachment"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_file_in_our_store_is_named_by_its_path() {
        let message = json!({
            "id": "m", "conversation_id": "c",
            "attachments": [{"name": "a", "blob": "default/m/2"}, {"name": "b", "url": "https://example.com/b"}],
        });
        let linked = linked(message);
        assert_eq!(linked["attachments"][0]["url"], "/api/v1/conversations/c/attachments/m/2");
        assert_eq!(linked["attachments"][0].get("blob"), None);
        assert_eq!(linked["attachments"][1]["url"], "https://example.com/b");
    }

    #[test]
    fn a_name_cannot_break_out_of_its_header() {
        assert_eq!(disposition("a\"b\r\nc.txt"), "attachment; filename*=UTF-8''a%22b%0D%0Ac.txt");
    }
}
