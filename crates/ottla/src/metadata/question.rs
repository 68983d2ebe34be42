//! One metadata request to one broker.

use ottla_codec::messages::metadata::{MetadataRequest, MetadataRequestTopic, MetadataResponse};
use ottla_codec::{ErrorCode, Message};
use ottla_connection::Connection;
use tokio::time::Instant;

use crate::error::{Error, Result};

/// What to ask for.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    /// The topics by name; `None` for all there are.
    pub(crate) topics: Option<Vec<String>>,
    /// Whether the broker may create topics that do not exist.
    pub(crate) allow_auto_create: bool,
}

impl Question {
    /// Asks over this connection.
    ///
    /// # Errors
    ///
    /// The connection's, or what the broker says of the whole request. What it says of one topic stays in
    /// the answer.
    ///
    /// # Cancel safety
    ///
    /// A drop forgets the answer only.
    pub(crate) async fn ask(
        &self,
        connection: &Connection,
        deadline: Instant,
    ) -> Result<MetadataResponse> {
        let version = connection
            .versions()
            .pick::<MetadataRequest>(MetadataRequest::VERSIONS)?;
        let named = |name: &String| MetadataRequestTopic {
            name: Some(name.clone()),
            ..Default::default()
        };
        let request = MetadataRequest {
            topics: (self.topics.as_ref()).map(|names| names.iter().map(named).collect()),
            // Before version 4 there was no way to say no.
            allow_auto_topic_creation: self.allow_auto_create || version < 4,
            ..Default::default()
        };
        let response = connection.request(&request, version, deadline).await?;
        match ErrorCode::from_code(response.error_code) {
            ErrorCode::None => Ok(response),
            error => Err(Error::broker("Metadata", error, None)),
        }
    }
}
