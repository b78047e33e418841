//! Uploads of what an order stores once, as far as they are the same for all of it.

use std::future::Future;
use std::time::Duration;

use axum::http::StatusCode;

use super::api::ArtifactApi;
use super::errors::RequestError;
use super::once::OncePut;
use super::orders::Owner;
use super::store::PutError;
use super::usage::Place;
use crate::index::OrderKey;

/// An upload of a file that its order does not have yet, as far as the head of its request tells.
pub(super) struct OnceUpload<'a> {
    /// Uid of the order.
    pub(super) order: &'a str,
    /// Name of the order.
    pub(super) key: &'a OrderKey,
    /// What the file counts as.
    pub(super) place: Place,
    /// The most bytes that may come.
    pub(super) size: u64,
    /// The longest time that it may take.
    pub(super) longest: Duration,
}

impl OnceUpload<'_> {
    /// Makes room for the body, stores it, and returns 201 where it was stored, and 200 where there was one before.
    ///
    /// - **Guarantees:** nothing of the body is read before there is room for it.
    ///
    /// # Errors
    ///
    /// [`RequestError`]; `too_large` where the body has more bytes than it may have.
    pub(super) async fn store(
        self,
        api: &ArtifactApi,
        put: impl Future<Output = Result<OncePut, PutError>>,
        too_large: RequestError,
    ) -> Result<StatusCode, RequestError> {
        let Self { order, key, place, size, longest } = self;
        let reservation = api.usage.reserve(&api.quota, order, &key.namespace, place, size)?;
        api.store.check_room(api.usage.coming())?;
        api.store.owner_note(order, &Owner::of(key)).await?;
        match tokio::time::timeout(longest, put).await.map_err(|_| RequestError::Slow)? {
            Ok(OncePut::Stored(size)) => {
                reservation.stored(size);
                Ok(StatusCode::CREATED)
            }
            Ok(OncePut::Before) => Ok(StatusCode::OK),
            Err(PutError::TooLarge) => Err(too_large),
            Err(error) => Err(error.into()),
        }
    }
}
