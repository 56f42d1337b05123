//! Extractors that every handler shares. Each refuses with a problem that names what is at fault.

use std::{fmt, str::FromStr, sync::Arc, time::Duration};

use axum::{
    extract::{FromRequestParts, Path, Query, RawPathParams, path::ErrorKind, rejection::PathRejection},
    http::{Uri, request::Parts},
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use utoipa::{IntoParams, ToSchema};
use uuid::Uuid;

use super::{
    Edge,
    problem::{Kind, Problem},
};

/// How long `min_seq` waits.
const CATCH_UP: Duration = Duration::from_secs(2);
/// Rows on a page where nothing is said.
const PAGE_SIZE: usize = 20;
/// Rows on a page at most.
const PAGE_SIZE_MAX: usize = 200;

/// Joins everything that one request leads to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trace(pub(crate) Uuid);

/// The id in the path; one that is none answers 404, like one that nobody has.
pub(crate) struct Id(pub(crate) Uuid);

impl FromRequestParts<Arc<Edge>> for Id {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, edge: &Arc<Edge>) -> Result<Self, Problem> {
        Ok(Self(named(parts, edge, "id").await?))
    }
}

/// The part of the path of this name, read as a `T`; what is none answers 404.
///
/// # Errors
/// 404.
pub(crate) async fn named<T: FromStr>(parts: &mut Parts, edge: &Arc<Edge>, name: &str) -> Result<T, Problem> {
    let params = RawPathParams::from_request_parts(parts, edge)
        .await
        .map_err(|_| Problem::with(Kind::NotFound, "The path is not text."))?;
    let text = params.iter().find(|(param, _)| *param == name).map(|(_, value)| value).unwrap_or_default();
    text.parse().map_err(|_| no_such(name, text))
}

/// What stands in the path for `name` cannot be one.
fn no_such(name: &str, text: &str) -> Problem {
    let looks = if name.ends_with("id") { "; an id is a UUID, as the lists show it" } else { "" };
    Problem::with(Kind::NotFound, format!("{text:?} is no {}{looks}.", name.replace('_', " ")))
}

/// Everything in the path, as a tuple or a struct.
pub(crate) struct At<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Arc<Edge>> for At<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, edge: &Arc<Edge>) -> Result<Self, Problem> {
        let Path(value) =
            Path::from_request_parts(parts, edge).await.map_err(|error| unreadable_path(&error))?;
        Ok(Self(value))
    }
}

/// Which part of the path cannot be read.
fn unreadable_path(error: &PathRejection) -> Problem {
    if let PathRejection::FailedToDeserializePathParams(error) = error {
        match error.kind() {
            ErrorKind::ParseErrorAtKey { key, value, .. }
            | ErrorKind::DeserializeError { key, value, .. } => {
                return no_such(key, value);
            }
            _ => {}
        }
    }
    Problem::with(Kind::NotFound, "The path cannot be read.")
}

/// The query of the URL, without what [`Paging`] reads.
pub(crate) struct Asked<T>(pub(crate) T);

impl<T: DeserializeOwned + Send> FromRequestParts<Arc<Edge>> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _edge: &Arc<Edge>) -> Result<Self, Problem> {
        let given = parts.uri.query().unwrap_or_default();
        let own = url::form_urlencoded::parse(given.as_bytes())
            .filter(|(name, value)| !PAGING.contains(&name.as_ref()) && !value.is_empty());
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(own).finish();
        let uri = Uri::builder().path_and_query(format!("/?{query}")).build();
        let uri = uri.map_err(|error| Problem::with(Kind::Malformed, format!("The query: {error}.")))?;
        let Query(value) = Query::try_from_uri(&uri)
            .map_err(|error| Problem::with(Kind::Malformed, format!("The query: {}.", cause(&error))))?;
        Ok(Self(value))
    }
}

/// The innermost reason, without the frames around it.
fn cause(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// What [`Paging`] reads of a query.
const PAGING: [&str; 3] = ["page", "page_size", "min_seq"];

/// Which page of a list. Reading it waits until the list shows `min_seq`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paging {
    page: usize,
    page_size: usize,
}

/// The query parameters of [`Paging`], as the API document shows them.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct PagingParams {
    /// Which page, from 1.
    #[param(minimum = 1, default = 1)]
    page: Option<usize>,
    /// Rows on a page, 1 to 200.
    #[param(minimum = 1, maximum = 200, default = 20)]
    page_size: Option<usize>,
    /// Wait up to 2 s until the list shows this write; `seq` of an earlier answer.
    min_seq: Option<u64>,
}

impl FromRequestParts<Arc<Edge>> for Paging {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, edge: &Arc<Edge>) -> Result<Self, Problem> {
        let Query(PagingParams { page, page_size, min_seq }) = Query::try_from_uri(&parts.uri)
            .map_err(|error| Problem::with(Kind::Malformed, format!("The query: {}.", cause(&error))))?;
        let page = page.unwrap_or(1);
        let page_size = page_size.unwrap_or(PAGE_SIZE);
        if page == 0 || page > usize::MAX / PAGE_SIZE_MAX {
            return Err(Problem::with(Kind::Malformed, "page counts from 1.").field("page"));
        }
        if page_size == 0 || page_size > PAGE_SIZE_MAX {
            let detail = format!("page_size is 1 to {PAGE_SIZE_MAX}.");
            return Err(Problem::with(Kind::Malformed, detail).field("page_size"));
        }
        if let Some(seq) = min_seq {
            edge.engine.views().wait_for(seq, CATCH_UP).await?;
        }
        Ok(Self { page, page_size })
    }
}

impl Paging {
    /// Rows before this page.
    pub(crate) fn skip(self) -> usize {
        (self.page - 1) * self.page_size
    }

    /// Rows on this page at most.
    pub(crate) fn take(self) -> usize {
        self.page_size
    }

    /// This page, cut out of all rows.
    pub(crate) fn cut<T>(self, rows: Vec<T>) -> Listed<T> {
        let total = rows.len();
        let items = rows.into_iter().skip(self.skip()).take(self.take()).collect();
        self.listed(items, total)
    }

    /// This page of `total` rows.
    pub(crate) fn listed<T>(self, items: Vec<T>, total: usize) -> Listed<T> {
        Listed { items, page: self.page, page_size: self.page_size, total }
    }
}

/// One page of a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Listed<T> {
    /// The rows of the page, in order.
    pub(crate) items: Vec<T>,
    /// Which page, from 1.
    page: usize,
    /// Rows on a page at most.
    page_size: usize,
    /// Rows on all pages.
    total: usize,
}

/// Reads a word of the query or of a body, naming the field where it is none.
///
/// # Errors
/// 422 with what is allowed.
pub(crate) fn word<T>(field: &str, text: &str) -> Result<T, Problem>
where
    T: FromStr,
    T::Err: fmt::Display,
{
    text.parse().map_err(|error: T::Err| Problem::invalid(field, format!("{error}.")))
}

/// Reads an optional word.
///
/// # Errors
/// 422 with what is allowed.
pub(crate) fn optional_word<T>(field: &str, text: Option<&str>) -> Result<Option<T>, Problem>
where
    T: FromStr,
    T::Err: fmt::Display,
{
    text.map(|text| word(field, text)).transpose()
}
