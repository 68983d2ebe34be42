//! Requests that have no method of their own.

use ottla_codec::Request;

use crate::Admin;
use crate::client::{ADMIN, Target};
use crate::error::Result;

impl Admin {
    /// Sends one request as it is, in the newest version that both sides know, and returns the answer as
    /// it is: error codes are the caller's to read. To the broker with id `node`, or to any one.
    ///
    /// The request types are those of the `ottla-codec` crate and change with it: this call is outside of
    /// what this crate keeps stable.
    ///
    /// # Errors
    ///
    /// When no answer came within the request timeout; nothing is tried twice.
    ///
    /// # Cancel safety
    ///
    /// After a drop the request may or may not have been carried out.
    pub async fn raw_request<R: Request>(
        &self,
        node: Option<i32>,
        request: &R,
    ) -> Result<R::Response> {
        let deadline = self.core.request_deadline(self.deadline());
        self.core.metadata.ready(deadline).await?;
        let target = node.map_or_else(|| self.core.any_target(), Target::Node);
        self.core.call(target, ADMIN, request, deadline).await
    }
}
